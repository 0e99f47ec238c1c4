/* SPDX-License-Identifier: BSD-2-Clause */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/log.h>
#include <fluxpin/process_lock.h>

#include "redirect_internal.h"

/* One fluxpin per NIC. */
static int lock_interface(const struct interface *nic, int *lock)
{
	char name[64];
	int error;

	snprintf(name, sizeof(name), REDIRECT_LOCK_NAME "%d", nic->index);
	error = process_lock_take(name, lock);
	if (error == -EBUSY)
		log_error("%s: another fluxpin serves this interface", nic->name);
	return error;
}

static bool is_ours(struct xdp_program *program)
{
	return redirect_is_our_name(xdp_program__name(program));
}

/* A dispatcher that outlived the bpffs in which its parts were pinned serves nobody. */
static int remove_orphaned_dispatcher(const struct interface *nic)
{
	struct bpf_prog_info info = { 0 };
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };
	uint32_t size = sizeof(info);
	int error = bpf_xdp_query(nic->index, 0, &query);
	int descriptor;

	if (error != 0 || query.prog_id == 0)
		return error;
	descriptor = bpf_prog_get_fd_by_id(query.prog_id);
	if (descriptor < 0)
		return descriptor;
	error = bpf_obj_get_info_by_fd(descriptor, &info, &size);
	close(descriptor);
	if (error != 0 || strcmp(info.name, REDIRECT_DISPATCHER_NAME) != 0)
		return error;
	log_warning("%s: removing an XDP dispatcher whose programs are gone", nic->name);
	return bpf_xdp_detach(nic->index,
			      query.attach_mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE
								    : XDP_FLAGS_DRV_MODE,
			      NULL);
}

/* Removes what a killed fluxpin left attached. We hold the lock, so no live one has the NIC. */
static int remove_leftover(const struct interface *nic)
{
	struct xdp_multiprog *attached = xdp_multiprog__get_from_ifindex(nic->index);
	struct xdp_program *program = NULL;
	int error = 0;

	if (libxdp_get_error(attached) != 0)
		return remove_orphaned_dispatcher(nic);
	if (xdp_multiprog__is_legacy(attached)) {
		program = xdp_multiprog__main_prog(attached);
		if (program != NULL && is_ours(program)) {
			log_info("%s: removing the XDP program that an earlier fluxpin left",
				 nic->name);
			error = xdp_multiprog__detach(attached);
		} else if (program != NULL) {
			log_error("%s: the XDP program \"%s\" is attached; detach it first (ip "
				  "link set "
				  "dev %s xdp off)",
				  nic->name, xdp_program__name(program), nic->name);
			error = -EBUSY;
		}
		goto out;
	}
	while ((program = xdp_multiprog__next_prog(program, attached)) != NULL) {
		if (!is_ours(program))
			continue;
		log_info("%s: removing the XDP program that an earlier fluxpin left", nic->name);
		error = xdp_program__detach(program, nic->index,
					    xdp_multiprog__attach_mode(attached), 0);
		break;
	}
out:
	xdp_multiprog__close(attached);
	return error;
}

static int open_program(struct redirect *redirect, uint32_t queue_count)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, options);
	struct bpf_program *unused;
	int error;

	redirect->skeleton = redirect_bpf__open();
	if (redirect->skeleton == NULL)
		return -errno;
	unused = redirect->only_vips ? redirect->skeleton->progs.fluxpin_redir
				     : redirect->skeleton->progs.fluxpin_redir_v;
	error = bpf_program__set_autoload(unused, false);
	if (error == 0)
		error = bpf_map__set_max_entries(redirect->skeleton->maps.sockets, queue_count);
	if (error != 0)
		return error;
	options.obj = redirect->skeleton->obj;
	options.prog_name = redirect->only_vips ? "fluxpin_redir_v" : "fluxpin_redir";
	redirect->program = xdp_program__create(&options);
	error = (int)libxdp_get_error(redirect->program);
	if (error != 0)
		redirect->program = NULL;
	return error;
}

int redirect_attach(const struct interface *nic, uint32_t queue_count, bool generic, bool only_vips,
		    struct redirect **result)
{
	struct redirect *redirect = calloc(1, sizeof(*redirect));
	int error;

	if (redirect == NULL)
		return -ENOMEM;
	redirect->nic = *nic;
	redirect->mode = generic ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	redirect->only_vips = only_vips;
	redirect->lock = -1;
	error = lock_interface(nic, &redirect->lock);
	if (error == 0)
		error = remove_leftover(nic);
	if (error == 0)
		error = open_program(redirect, queue_count);
	if (error != 0)
		goto fail;
	error = xdp_program__attach(redirect->program, nic->index, redirect->mode, 0);
	if (error != 0) {
		log_debug("%s: %s XDP: %s", nic->name, generic ? "generic" : "native",
			  strerror(-error));
		goto fail;
	}
	redirect->attached = true;
	*result = redirect;
	return 0;
fail:
	redirect_detach(redirect);
	return error;
}

int redirect_set_socket(struct redirect *redirect, uint32_t queue, int socket)
{
	int map = bpf_map__fd(redirect->skeleton->maps.sockets);

	return bpf_map_update_elem(map, &queue, &socket, BPF_ANY);
}

int redirect_remove_socket(struct redirect *redirect, uint32_t queue)
{
	return bpf_map_delete_elem(bpf_map__fd(redirect->skeleton->maps.sockets), &queue);
}

/* The program's number in the kernel; 0 when it cannot be read. */
static uint32_t read_id(const struct redirect *redirect)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(xdp_program__fd(redirect->program), &info, &size) != 0)
		return 0;
	return info.id;
}

/*
 * Whether the program is on the NIC by itself, without libxdp's dispatcher, and in which mode.
 * libxdp would open the program by its number, which takes CAP_SYS_ADMIN; anybody may read it.
 */
static bool is_alone(const struct redirect *redirect, const struct bpf_xdp_query_opts *query)
{
	uint32_t id = read_id(redirect);

	return id != 0 && query->prog_id == id;
}

/* By itself or in libxdp's dispatcher. libxdp 1.3 is asked only where the kernel does not say:
 * each time it leaves descriptors of the programs open. */
static bool is_there(const struct redirect *redirect, const struct bpf_xdp_query_opts *query)
{
	return is_alone(redirect, query) ||
	       (query->prog_id != 0 && redirect_is_extension(read_id(redirect), query->prog_id));
}

bool redirect_is_native(const struct redirect *redirect)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };

	if (bpf_xdp_query(redirect->nic.index, 0, &query) == 0 && is_there(redirect, &query))
		return query.attach_mode == XDP_ATTACHED_DRV;
	return xdp_program__is_attached(redirect->program, redirect->nic.index) == XDP_MODE_NATIVE;
}

bool redirect_is_attached(const struct redirect *redirect)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };

	if (bpf_xdp_query(redirect->nic.index, 0, &query) != 0 || is_there(redirect, &query))
		return true;
	return query.prog_id != 0 &&
	       xdp_program__is_attached(redirect->program, redirect->nic.index) != XDP_MODE_UNSPEC;
}

static int detach(const struct redirect *redirect)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };
	struct bpf_xdp_attach_opts options = { .sz = sizeof(options) };
	int error = bpf_xdp_query(redirect->nic.index, 0, &query);

	if (error != 0 || query.prog_id == 0)
		return error;
	if (!is_alone(redirect, &query))
		return xdp_program__detach(redirect->program, redirect->nic.index, redirect->mode,
					   0);
	options.old_prog_fd = xdp_program__fd(redirect->program);
	return bpf_xdp_detach(redirect->nic.index,
			      XDP_FLAGS_REPLACE |
				      (query.attach_mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE
									     : XDP_FLAGS_DRV_MODE),
			      &options);
}

void redirect_detach(struct redirect *redirect)
{
	int error;

	if (redirect == NULL)
		return;
	if (redirect->attached) {
		error = detach(redirect);
		/* The NIC may be gone, or the operator may have been quicker. */
		if (error != 0 && error != -ENODEV && error != -ENOENT)
			log_warning("%s: detaching the XDP program: %s", redirect->nic.name,
				    strerror(-error));
	}
	if (redirect->program != NULL)
		xdp_program__close(redirect->program);
	redirect_bpf__destroy(redirect->skeleton);
	if (redirect->lock >= 0)
		close(redirect->lock);
	redirect_release_filters(redirect);
	free(redirect);
}
