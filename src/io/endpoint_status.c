/* SPDX-License-Identifier: BSD-2-Clause */
#include "endpoint_internal.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/log.h>

static_assert(ENDPOINT_COUNTER_COUNT <= ENDPOINT_COUNTERS_MAX, "every counter has room");

static int read_counters(const struct endpoint_attached *attached, struct endpoint_status *status)
{
	static const char *const names[] = {
#define COUNTER_NAME(symbol, label, description) label,
		ENDPOINT_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
	};
	static const char *const descriptions[] = {
#define COUNTER_DESCRIPTION(symbol, label, description) description,
		ENDPOINT_COUNTERS(COUNTER_DESCRIPTION)
#undef COUNTER_DESCRIPTION
	};
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values;
	int error = 0;
	int map;

	if (cpus < 0)
		return cpus;
	map = endpoint_open_map(attached, ENDPOINT_COUNTERS_NAME, ENDPOINT_COUNTER_COUNT);
	if (map < 0)
		return map;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		error = -ENOMEM;
	for (uint32_t i = 0; i < ENDPOINT_COUNTER_COUNT && error == 0; i++) {
		struct endpoint_counter *counter = &status->counters[i];

		error = bpf_map_lookup_elem(map, &i, values);
		counter->name = names[i];
		counter->description = descriptions[i];
		for (int cpu = 0; cpu < cpus && error == 0; cpu++)
			counter->frames += values[cpu];
	}
	status->counter_count = ENDPOINT_COUNTER_COUNT;
	free(values);
	close(map);
	return error;
}

static int read_addresses(const struct endpoint_attached *attached, struct endpoint_status *status)
{
	int map = endpoint_open_map(attached, ENDPOINT_ADDRESSES_NAME, ENDPOINT_MAX_ADDRESSES);
	int error;

	if (map < 0)
		return map;
	error = endpoint_compare_addresses(map, &status->address_count,
					   &status->missing_address_count);
	close(map);
	return error;
}

int endpoint_status(const char *interface, struct endpoint_status *status)
{
	struct endpoint_status read = { 0 };
	struct endpoint_attached attached;
	int index = endpoint_interface_index(interface);
	int error;

	if (index < 0)
		return index;
	error = endpoint_query_attached(interface, index, &attached);
	if (error)
		return error;
	if (attached.is_ours) {
		read.is_attached = true;
		read.mode = attached.mode;
		read.program_id = attached.information.id;
		error = read_counters(&attached, &read);
		if (error == 0)
			error = read_addresses(&attached, &read);
	} else if (attached.program >= 0) {
		snprintf(read.foreign_program, sizeof(read.foreign_program), "%s",
			 attached.information.name[0] ? attached.information.name : "unnamed");
	}
	endpoint_close_attached(&attached);
	if (error == -EPROTO)
		log_error("%s: another version of fluxpin attached the program; attach again to "
			  "replace it",
			  interface);
	else if (error)
		log_error("%s: cannot read the program's maps: %s", interface, strerror(-error));
	else
		*status = read;
	return error;
}
