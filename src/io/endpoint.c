/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/endpoint.h>

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "endpoint.skel.h"
#include "endpoint_internal.h"

#include "../../bpf/redirect.h"

static_assert(sizeof(ENDPOINT_PROGRAM_NAME) <= ENDPOINT_PROGRAM_NAME_SIZE, "not cut by the kernel");

static int refuse_foreign(const char *interface, const struct endpoint_attached *attached)
{
	if (strncmp(attached->information.name, REDIRECT_PROGRAM_NAME,
		    sizeof(REDIRECT_PROGRAM_NAME) - 1) == 0) {
		log_error("%s carries the program of fluxpin run (\"%s\", id %u), which is left "
			  "alone: this is a load balancer's NIC, not a backend's",
			  interface, attached->information.name, attached->information.id);
		return -EBUSY;
	}
	log_error("%s carries another XDP program, \"%s\" (id %u), which is left alone; detach it "
		  "with its own tool, or with: ip link set dev %s xdp%s off",
		  interface, attached->information.name, attached->information.id, interface,
		  attached->mode == ENDPOINT_MODE_GENERIC ? "generic" : "drv");
	return -EBUSY;
}

static int attach_new(const char *interface, int index, int program, enum endpoint_mode mode)
{
	int error = -EOPNOTSUPP;

	if (mode != ENDPOINT_MODE_GENERIC) {
		error = bpf_xdp_attach(index, program,
				       XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_DRV_MODE, NULL);
		if (error && mode == ENDPOINT_MODE_AUTO)
			log_warning("%s: no native XDP (%s), using generic XDP", interface,
				    strerror(-error));
	}
	if (error && mode != ENDPOINT_MODE_NATIVE)
		error = bpf_xdp_attach(index, program,
				       XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_SKB_MODE, NULL);
	if (error)
		log_error("%s: cannot attach in %s mode: %s", interface,
			  mode == ENDPOINT_MODE_NATIVE ? "native" : "skb", strerror(-error));
	return error;
}

/* Swaps an older version of our program for this one, with no packet between them. */
static int attach_replace(const char *interface, int index, int program,
			  const struct endpoint_attached *old)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = old->program);
	uint32_t mode =
		old->mode == ENDPOINT_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	int error = bpf_xdp_attach(index, program, XDP_FLAGS_REPLACE | mode, &options);

	if (error)
		log_error("%s: cannot replace program %u: %s", interface, old->information.id,
			  strerror(-error));
	return error;
}

/* Attaches where nothing or our program is attached. */
static int attach_over(const char *interface, int index, enum endpoint_mode mode,
		       const struct endpoint_attached *old, enum endpoint_outcome *outcome)
{
	struct bpf_prog_info information = { 0 };
	uint32_t size = sizeof(information);
	struct endpoint_bpf *skeleton;
	int program;
	int error;
	int map;

	skeleton = endpoint_bpf__open_and_load();
	if (!skeleton) {
		error = -errno;
		log_error("the kernel refused the XDP program: %s", strerror(-error));
		return error;
	}
	program = bpf_program__fd(skeleton->progs.fluxpin_endp);
	error = bpf_obj_get_info_by_fd(program, &information, &size);
	if (error)
		goto out;
	if (old->program >= 0 &&
	    memcmp(old->information.tag, information.tag, sizeof(information.tag)) == 0) {
		map = endpoint_open_map(old, ENDPOINT_ADDRESSES_NAME, ENDPOINT_MAX_ADDRESSES);
		error = map < 0 ? map : endpoint_refresh_addresses(interface, map);
		if (map >= 0)
			close(map);
		if (error == 0)
			*outcome = ENDPOINT_REFRESHED;
		goto out;
	}
	error = endpoint_refresh_addresses(interface, bpf_map__fd(skeleton->maps.addresses));
	if (error)
		goto out;
	error = old->program < 0 ? attach_new(interface, index, program, mode)
				 : attach_replace(interface, index, program, old);
	if (error == 0)
		*outcome = old->program < 0 ? ENDPOINT_ATTACHED : ENDPOINT_REPLACED;
out:
	endpoint_bpf__destroy(skeleton);
	return error;
}

int endpoint_attach(const char *interface, enum endpoint_mode mode, enum endpoint_outcome *outcome)
{
	struct endpoint_attached old;
	int index = endpoint_interface_index(interface);
	int error;

	if (index < 0)
		return index;
	error = endpoint_query_attached(interface, index, &old);
	if (error)
		return error;
	if (old.program >= 0 && !old.is_ours) {
		error = refuse_foreign(interface, &old);
	} else if (old.program >= 0 && mode != ENDPOINT_MODE_AUTO && mode != old.mode) {
		log_error("%s: already attached in %s mode; detach first to change to %s",
			  interface, endpoint_mode_name(old.mode), endpoint_mode_name(mode));
		error = -EEXIST;
	} else {
		error = attach_over(interface, index, mode, &old, outcome);
	}
	endpoint_close_attached(&old);
	return error;
}

int endpoint_detach(const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options);
	struct endpoint_attached old;
	uint32_t mode;
	int index = endpoint_interface_index(interface);
	int error;

	if (index < 0)
		return index;
	error = endpoint_query_attached(interface, index, &old);
	if (error)
		return error;
	if (old.program < 0) {
		log_error("%s: not attached", interface);
		error = -ENOENT;
	} else if (!old.is_ours) {
		refuse_foreign(interface, &old);
		error = -ENOENT;
	} else {
		/* The expected program, so that one attached meanwhile is not the one to go. */
		options.old_prog_fd = old.program;
		mode = old.mode == ENDPOINT_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
		error = bpf_xdp_detach(index, XDP_FLAGS_REPLACE | mode, &options);
		if (error)
			log_error("%s: cannot detach: %s", interface, strerror(-error));
	}
	endpoint_close_attached(&old);
	return error;
}

static const char *const mode_names[] = {
	[ENDPOINT_MODE_AUTO] = "auto",
	[ENDPOINT_MODE_NATIVE] = "native",
	[ENDPOINT_MODE_GENERIC] = "skb",
};

int endpoint_mode_parse(const char *text, enum endpoint_mode *mode)
{
	for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
		if (strcmp(text, mode_names[i]) == 0) {
			*mode = (enum endpoint_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *endpoint_mode_name(enum endpoint_mode mode)
{
	return mode_names[mode];
}
