/* SPDX-License-Identifier: BSD-2-Clause */
/* The sections of a configuration that are not pools and VIPs. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/connection_table.h>
#include <fluxpin/fragment_table.h>

#include "configuration_internal.h"

enum {
	FRAMES_LOW = 1024,
	FRAMES_HIGH = 1 << 20,
	INTERFACES_MAX = 1024,
	ICMP_RATE_HIGH = 1000000,
};

#define IDLE_HIGH_NS	 (9 * 3600 * NANOSECONDS_PER_SECOND)
#define TIMEOUT_LOW_NS	 (10 * NANOSECONDS_PER_MILLISECOND)
#define TIMEOUT_HIGH_NS	 (60 * NANOSECONDS_PER_SECOND) /* RFC 8200 section 4.5 */
#define INTERVAL_LOW_NS	 (10 * NANOSECONDS_PER_MILLISECOND)
#define INTERVAL_HIGH_NS (3600 * NANOSECONDS_PER_SECOND)

static void read_family(struct reader *reader, const struct value *value, bool want_ipv4,
			struct address *address)
{
	char buffer[ADDRESS_TEXT_SIZE];
	struct address read;

	if (!value_address(reader, value, &read))
		return;
	if (address_is_ipv4(&read) == want_ipv4)
		*address = read;
	else
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be an %s address, found %s", value->key,
			     want_ipv4 ? "IPv4" : "IPv6", address_format(&read, buffer));
}

void configuration_read_source_address(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "ipv4", KEY_STRING, false },
		{ "ipv6", KEY_STRING, false },
	};
	struct value values[COUNT_OF(keys)];

	if (!group->setting)
		return;
	value_read_group(reader, group, "source_address", keys, COUNT_OF(keys), values);
	read_family(reader, &values[0], true, &reader->configuration->source_ipv4);
	read_family(reader, &values[1], false, &reader->configuration->source_ipv6);
}

/* The connection table's clock counts seconds, and half of its range must hold an idle time. */
static void read_idle(struct reader *reader, const struct value *value, uint64_t *idle_ns)
{
	_Static_assert(IDLE_HIGH_NS <= CONNECTION_MAX_IDLE * NANOSECONDS_PER_SECOND,
		       "an idle time that the connection table cannot measure");
	uint64_t read;

	if (!value_duration(reader, value, NANOSECONDS_PER_SECOND, IDLE_HIGH_NS, &read))
		return;
	if (read % NANOSECONDS_PER_SECOND != 0)
		reader_error(reader, value->node->value_position, "\"%s\" must be whole seconds",
			     value->key);
	else
		*idle_ns = read;
}

void configuration_read_connections(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "capacity", KEY_INTEGER, false },
		{ "tcp_idle", KEY_DURATION, false },
		{ "udp_idle", KEY_DURATION, false },
		{ "tcp_syn_idle", KEY_DURATION, false },
		{ "tcp_closing_idle", KEY_DURATION, false },
		{ "other_idle", KEY_DURATION, false },
		{ "new_rate", KEY_INTEGER, false },
	};
	const struct connection_settings defaults = CONNECTION_DEFAULT_SETTINGS;
	struct configuration *configuration = reader->configuration;
	struct value values[COUNT_OF(keys)];

	configuration->connections.capacity = 1048576;
	configuration->connections.tcp_idle_ns = defaults.tcp_idle * NANOSECONDS_PER_SECOND;
	configuration->connections.tcp_syn_idle_ns = defaults.tcp_syn_idle * NANOSECONDS_PER_SECOND;
	configuration->connections.tcp_closing_idle_ns =
		defaults.tcp_closing_idle * NANOSECONDS_PER_SECOND;
	configuration->connections.udp_idle_ns = defaults.udp_idle * NANOSECONDS_PER_SECOND;
	configuration->connections.other_idle_ns = defaults.other_idle * NANOSECONDS_PER_SECOND;
	if (!group->setting)
		return;
	value_read_group(reader, group, "connections", keys, COUNT_OF(keys), values);
	value_integer(reader, &values[0], CONNECTION_MIN_CAPACITY, CONNECTION_MAX_CAPACITY,
		      &configuration->connections.capacity);
	read_idle(reader, &values[1], &configuration->connections.tcp_idle_ns);
	read_idle(reader, &values[2], &configuration->connections.udp_idle_ns);
	read_idle(reader, &values[3], &configuration->connections.tcp_syn_idle_ns);
	read_idle(reader, &values[4], &configuration->connections.tcp_closing_idle_ns);
	read_idle(reader, &values[5], &configuration->connections.other_idle_ns);
	value_integer(reader, &values[6], 0, CONNECTION_MAX_NEW_RATE,
		      &configuration->connections.new_rate);
}

void configuration_read_icmp(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "echo_rate", KEY_INTEGER, false },
		{ "error_rate", KEY_INTEGER, false },
	};
	struct configuration *configuration = reader->configuration;
	struct value values[COUNT_OF(keys)];

	configuration->icmp.echo_rate = 1000;
	configuration->icmp.error_rate = 1000;
	if (!group->setting)
		return;
	value_read_group(reader, group, "icmp", keys, COUNT_OF(keys), values);
	value_integer(reader, &values[0], 0, ICMP_RATE_HIGH, &configuration->icmp.echo_rate);
	value_integer(reader, &values[1], 0, ICMP_RATE_HIGH, &configuration->icmp.error_rate);
}

void configuration_read_fragments(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "capacity", KEY_INTEGER, false },
		{ "timeout", KEY_DURATION, false },
	};
	struct configuration *configuration = reader->configuration;
	struct value values[COUNT_OF(keys)];

	configuration->fragments.capacity = 4096;
	configuration->fragments.timeout_ns = 2 * NANOSECONDS_PER_SECOND;
	if (!group->setting)
		return;
	value_read_group(reader, group, "fragments", keys, COUNT_OF(keys), values);
	value_integer(reader, &values[0], FRAGMENT_MIN_CAPACITY, FRAGMENT_MAX_CAPACITY,
		      &configuration->fragments.capacity);
	value_duration(reader, &values[1], TIMEOUT_LOW_NS, TIMEOUT_HIGH_NS,
		       &configuration->fragments.timeout_ns);
}

void configuration_read_umem(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "frames", KEY_INTEGER, false },
		{ "frame_size", KEY_INTEGER, false },
	};
	struct value values[COUNT_OF(keys)];
	uint32_t frames = 8192, frame_size = 2048;

	if (group->setting) {
		value_read_group(reader, group, "umem", keys, COUNT_OF(keys), values);
		if (value_integer(reader, &values[0], FRAMES_LOW, FRAMES_HIGH, &frames) &&
		    (frames & (frames - 1)) != 0)
			reader_error(reader, values[0].node->value_position,
				     "\"frames\" must be a power of two, found %u; the next one "
				     "is %u",
				     frames, 1u << (32 - __builtin_clz(frames)));
		if (value_integer(reader, &values[1], 0, INT32_MAX, &frame_size) &&
		    frame_size != 2048 && frame_size != 4096)
			reader_error(reader, values[1].node->value_position,
				     "\"frame_size\" must be 2048 or 4096, found %u", frame_size);
	}
	reader->configuration->umem.frames = frames;
	reader->configuration->umem.frame_size = frame_size;
}

void configuration_read_metrics(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "textfile", KEY_STRING, false },
		{ "interval", KEY_DURATION, false },
		{ "listen", KEY_STRING, false },
	};
	struct configuration *configuration = reader->configuration;
	struct value values[COUNT_OF(keys)];

	configuration->metrics.interval_ns = 10 * NANOSECONDS_PER_SECOND;
	if (!group->setting)
		return;
	value_read_group(reader, group, "metrics", keys, COUNT_OF(keys), values);
	value_path(reader, &values[0], PATH_MAX, &configuration->metrics.textfile);
	value_duration(reader, &values[1], INTERVAL_LOW_NS, INTERVAL_HIGH_NS,
		       &configuration->metrics.interval_ns);
	value_listen(reader, &values[2], &configuration->metrics.listen);
}

static void read_numbers(struct reader *reader, const struct value *value, uint32_t limit,
			 bool sort, uint16_t **numbers, uint32_t *count, struct position *position)
{
	char error[NUMBER_LIST_ERROR_SIZE];
	const char *text;
	int status;

	if (!value_string(value, &text))
		return;
	*position = value->node->value_position;
	status = number_list_parse(text, limit, sort, numbers, count, error);
	if (status == -EINVAL)
		reader_error(reader, *position, "\"%s\" %s", value->key, error);
	else if (status != 0)
		reader->status = status;
}

static void read_interface(struct reader *reader, const struct value *element,
			   struct interface_configuration *interface)
{
	static const struct key keys[] = {
		{ "name", KEY_STRING, true },
		{ "queues", KEY_STRING, false },
		{ "cpus", KEY_STRING, false },
		{ "mode", KEY_STRING, false },
		{ "busy_poll", KEY_BOOLEAN, false },
		{ "busy_poll_budget", KEY_INTEGER, false },
		{ "busy_poll_idle", KEY_DURATION, false },
	};
	struct value values[COUNT_OF(keys)];
	uint32_t mode = XDP_MODE_AUTO;
	const char *name;

	if (!element->setting)
		return;
	value_read_group(reader, element, "an interface", keys, COUNT_OF(keys), values);
	if (value_string(&values[0], &name)) {
		interface->position = values[0].node->value_position;
		if (interface_name_is_valid(name))
			memcpy(interface->name, name, strlen(name) + 1);
		else
			reader_error(
				reader, interface->position,
				"\"%.40s\" is not the name of an interface: 1 to 15 characters "
				"without spaces, \"/\" and \":\"",
				name);
	}
	interface->queues_position = interface->position;
	interface->cpus_position = interface->position;
	read_numbers(reader, &values[1], CONFIGURATION_MAX_QUEUES - 1, true, &interface->queues,
		     &interface->queue_count, &interface->queues_position);
	read_numbers(reader, &values[2], CPU_NUMBER_MAX, false, &interface->cpus,
		     &interface->cpu_count, &interface->cpus_position);
	value_choice(reader, &values[3], xdp_mode_names, COUNT_OF(xdp_mode_names), &mode);
	interface->mode = (enum xdp_mode)mode;
	configuration_read_busy_poll(reader, &values[4], &interface->busy_poll);
}

static void check_interface_names(struct reader *reader)
{
	const struct configuration *configuration = reader->configuration;
	struct name_entry *entries =
		reader_allocate(reader, configuration->interface_count, sizeof(*entries));
	uint32_t count = 0;

	if (!entries)
		return;
	for (uint32_t i = 0; i < configuration->interface_count; i++) {
		const struct interface_configuration *interface = &configuration->interfaces[i];

		if (interface->name[0] != '\0')
			entries[count++] =
				(struct name_entry){ interface->name, interface->position, i };
	}
	names_check_unique(reader, entries, count, "interface");
	free(entries);
}

void configuration_read_interfaces(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0, count;

	if (!list->setting)
		return;
	count = list->node->child_count;
	if (count > INTERFACES_MAX) {
		reader_error(reader, list->node->value_position,
			     "too many interfaces: %u, at most %d", count, INTERFACES_MAX);
		return;
	}
	configuration->interfaces =
		reader_allocate(reader, count, sizeof(*configuration->interfaces));
	if (reader->status != 0)
		return;
	configuration->interface_count = count;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element =
			value_element(reader, list, &nodes[i], index, "an interface");

		read_interface(reader, &element, &configuration->interfaces[index]);
	}
	check_interface_names(reader);
}
