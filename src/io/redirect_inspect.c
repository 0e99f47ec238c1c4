/* SPDX-License-Identifier: BSD-2-Clause */
#include "redirect_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether a process has the abstract socket that is the NIC's lock (unix(7), /proc/net/unix). To
 * bind it for a moment would keep a fluxpin that starts at that moment from starting. */
static bool is_locked(const struct interface *nic)
{
	char wanted[64], line[512];
	size_t length = (size_t)snprintf(wanted, sizeof(wanted), " @" REDIRECT_LOCK_NAME "%d\n",
					 nic->index);
	FILE *file = fopen("/proc/self/net/unix", "re");
	bool is_found = false;

	if (file == NULL)
		return false;
	while (!is_found && fgets(line, sizeof(line), file) != NULL) {
		size_t line_length = strlen(line);

		is_found =
			line_length >= length && strcmp(line + line_length - length, wanted) == 0;
	}
	fclose(file);
	return is_found;
}

static int read_name(uint32_t id, char name[static REDIRECT_NAME_SIZE])
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int descriptor = bpf_prog_get_fd_by_id(id);
	int error;

	if (descriptor < 0)
		return descriptor;
	error = bpf_obj_get_info_by_fd(descriptor, &info, &size);
	close(descriptor);
	if (error == 0)
		snprintf(name, REDIRECT_NAME_SIZE, "%s", info.name[0] ? info.name : "unnamed");
	return error;
}

/* The program that a link puts into another program, by their numbers; false for other links. */
static bool read_extension(uint32_t link, uint32_t *program, uint32_t *into)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	int descriptor = bpf_link_get_fd_by_id(link);
	int error;

	if (descriptor < 0)
		return false;
	error = bpf_obj_get_info_by_fd(descriptor, &info, &size);
	close(descriptor);
	if (error != 0 || info.type != BPF_LINK_TYPE_TRACING)
		return false;
	*program = info.prog_id;
	*into = info.tracing.target_obj_id;
	return true;
}

bool redirect_is_extension(uint32_t program, uint32_t of)
{
	uint32_t link = 0, found, into;

	while (bpf_link_get_next_id(link, &link) == 0)
		if (read_extension(link, &found, &into) && found == program && into == of)
			return true;
	return false;
}

/*
 * The programs in libxdp's dispatcher, by the kernel's links (Linux 5.13): libxdp itself reads them
 * in the bpffs where they are pinned, and who only looks may have another one, or none.
 */
static void inspect_dispatcher(struct redirect_presence *presence)
{
	uint32_t link = 0, program, into, ours = 0, others = 0;
	char name[REDIRECT_NAME_SIZE];

	while (bpf_link_get_next_id(link, &link) == 0) {
		if (!read_extension(link, &program, &into) || into != presence->program_id ||
		    read_name(program, name) != 0)
			continue;
		if (redirect_is_our_name(name)) {
			ours++;
			continue;
		}
		snprintf(presence->name, sizeof(presence->name), "%s", name);
		others++;
	}
	if (ours > 0)
		presence->attached = REDIRECT_OURS;
	else if (others > 0)
		presence->attached = REDIRECT_DISPATCHER;
	presence->is_shared = ours > 0 && others > 0;
}

static void inspect_program(struct redirect_presence *presence)
{
	char name[REDIRECT_NAME_SIZE];

	if (read_name(presence->program_id, name) != 0) {
		presence->attached = REDIRECT_UNKNOWN;
		return;
	}
	snprintf(presence->name, sizeof(presence->name), "%s", name);
	if (redirect_is_our_name(name)) {
		presence->attached = REDIRECT_OURS;
		return;
	}
	presence->attached = REDIRECT_FOREIGN;
	if (strcmp(name, REDIRECT_DISPATCHER_NAME) == 0)
		inspect_dispatcher(presence);
}

int redirect_inspect(const struct interface *nic, struct redirect_presence *presence)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };
	struct redirect_presence result = { .is_locked = is_locked(nic) };
	int error = bpf_xdp_query(nic->index, 0, &query);

	if (error != 0)
		return error;
	result.program_id = query.prog_id != 0	     ? query.prog_id
			    : query.drv_prog_id != 0 ? query.drv_prog_id
						     : query.skb_prog_id;
	result.is_generic = result.program_id != 0 && result.program_id == query.skb_prog_id;
	if (result.program_id != 0)
		inspect_program(&result);
	*presence = result;
	return 0;
}
