/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding our program, and its maps, through the interface that it is attached to. */
#include "endpoint_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/log.h>

/* Maps that a program of ours may use, those of the compiler included. */
#define MAPS_MAX 8

int endpoint_interface_index(const char *interface)
{
	unsigned int index = if_nametoindex(interface);

	if (index == 0) {
		int error = -errno;

		log_error("%s: %s", interface, strerror(-error));
		return error;
	}
	return (int)index;
}

int endpoint_query_attached(const char *interface, int index, struct endpoint_attached *attached)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct endpoint_attached found = { .program = -1 };
	uint32_t size = sizeof(found.information);
	uint32_t id;
	int error = bpf_xdp_query(index, 0, &query);

	if (error)
		goto failed;
	/* With programs at several layers, prog_id is 0 and each layer has its own. */
	id = query.prog_id	 ? query.prog_id
	     : query.drv_prog_id ? query.drv_prog_id
	     : query.hw_prog_id	 ? query.hw_prog_id
				 : query.skb_prog_id;
	if (id) {
		found.program = bpf_prog_get_fd_by_id(id);
		if (found.program < 0) {
			error = found.program;
			goto failed;
		}
		error = bpf_obj_get_info_by_fd(found.program, &found.information, &size);
		if (error) {
			close(found.program);
			goto failed;
		}
		found.mode = id == query.skb_prog_id ? ENDPOINT_MODE_GENERIC : ENDPOINT_MODE_NATIVE;
		found.is_ours = query.attach_mode != XDP_ATTACHED_MULTI &&
				strcmp(found.information.name, ENDPOINT_PROGRAM_NAME) == 0;
	}
	*attached = found;
	return 0;

failed:
	log_error("%s: cannot read the attached XDP program: %s", interface, strerror(-error));
	return error;
}

void endpoint_close_attached(struct endpoint_attached *attached)
{
	if (attached->program >= 0)
		close(attached->program);
}

int endpoint_open_map(const struct endpoint_attached *attached, const char *name, uint32_t entries)
{
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info program = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids };
	uint32_t size = sizeof(program);
	int error = bpf_obj_get_info_by_fd(attached->program, &program, &size);

	if (error)
		return error;
	for (uint32_t i = 0; i < program.nr_map_ids && i < MAPS_MAX; i++) {
		struct bpf_map_info map = { 0 };
		int descriptor = bpf_map_get_fd_by_id(ids[i]);

		if (descriptor < 0)
			return descriptor;
		size = sizeof(map);
		error = bpf_obj_get_info_by_fd(descriptor, &map, &size);
		if (error == 0 && strcmp(map.name, name) == 0 && map.max_entries == entries)
			return descriptor;
		close(descriptor);
		if (error)
			return error;
	}
	return -EPROTO;
}
