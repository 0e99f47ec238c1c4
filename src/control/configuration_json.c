/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <fluxpin/configuration_json.h>

#include "configuration_internal.h"

static json_t *duration(uint64_t nanoseconds)
{
	char text[32];

	return nanoseconds == 0 ? json_null() : json_string(duration_format(nanoseconds, text));
}

/* A string that may be missing, or be a path that is no UTF-8. */
static json_t *text(const char *string)
{
	json_t *value = string != NULL ? json_string(string) : NULL;

	return value != NULL ? value : json_null();
}

static json_t *address(const struct address *value)
{
	char buffer[ADDRESS_TEXT_SIZE];

	return address_is_zero(value) ? json_null() : json_string(address_format(value, buffer));
}

static json_t *prefix(const struct prefix *value)
{
	char buffer[ADDRESS_TEXT_SIZE];

	return json_string(prefix_format(value, buffer));
}

static json_t *listen_address(const struct listen_address *value)
{
	char buffer[ADDRESS_TEXT_SIZE];

	if (value->port == 0)
		return json_null();
	return json_sprintf(address_is_ipv4(&value->address) ? "%s:%u" : "[%s]:%u",
			    address_format(&value->address, buffer), value->port);
}

static json_t *addresses(const struct address *list, uint32_t count)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(array, address(&list[i]));
	return array;
}

static json_t *prefixes(const struct prefix *list, uint32_t count)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(array, prefix(&list[i]));
	return array;
}

static json_t *numbers(const uint16_t *list, uint32_t count)
{
	char buffer[256];

	return list == NULL ? json_null()
			    : json_string(number_list_format(list, count, buffer, sizeof(buffer)));
}

static json_t *interfaces(const struct configuration *configuration)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < configuration->interface_count; i++) {
		const struct interface_configuration *each = &configuration->interfaces[i];

		json_array_append_new(
			array,
			json_pack("{s:s, s:o, s:o, s:s, s:b, s:I, s:o}", "name", each->name,
				  "queues", numbers(each->queues, each->queue_count), "cpus",
				  numbers(each->cpus, each->cpu_count), "mode",
				  xdp_mode_name(each->mode), "busy_poll", each->busy_poll.is_on,
				  "busy_poll_budget", (json_int_t)each->busy_poll.budget,
				  "busy_poll_idle", duration(each->busy_poll.idle_ns)));
	}
	return array;
}

/* As hexadecimal digits: any bytes. */
static json_t *bytes(const struct byte_string *string)
{
	char *digits = string->bytes != NULL ? malloc(2 * (size_t)string->length + 1) : NULL;
	json_t *value;

	if (digits == NULL)
		return json_null();
	digits[0] = '\0';
	for (uint32_t i = 0; i < string->length; i++)
		sprintf(digits + (size_t)2 * i, "%02x", string->bytes[i]);
	value = json_string(digits);
	free(digits);
	return value;
}

static json_t *statuses(const struct health_check_configuration *check)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < check->status_count; i++)
		json_array_append_new(array, json_sprintf("%u-%u", check->statuses[i].low,
							  check->statuses[i].high));
	return array;
}

static json_t *health_check(const struct health_check_configuration *check)
{
	json_t *object = json_pack("{s:s}", "type", health_check_names[check->type]);

	if (check->type == HEALTH_CHECK_NONE)
		return object;
	json_object_update_new(
		object,
		json_pack("{s:s, s:I, s:s, s:o, s:o, s:I, s:I, s:o}", "via",
			  health_check_via_names[check->via], "port", (json_int_t)check->port,
			  "initial", check->starts_down ? "down" : "up", "interval",
			  duration(check->interval_ns), "timeout", duration(check->timeout_ns),
			  "rise", (json_int_t)check->rise, "fall", (json_int_t)check->fall,
			  "source", address(&check->source)));
	json_object_update_new(
		object,
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "path",
			  text(check->path), "host", text(check->host), "sni", text(check->sni),
			  "ca_file", text(check->ca_file), "body", text(check->body), "status",
			  statuses(check), "insecure", check->insecure, "send", bytes(&check->send),
			  "expect", bytes(&check->expect), "vip", text(check->vip_name),
			  "vip_address", address(&check->vip)));
	return object;
}

static json_t *backends(const struct configuration *configuration,
			const struct pool_configuration *pool)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct backend_configuration *backend = &pool->backends[i];
		const struct pool_configuration *origin = &configuration->pools[backend->origin];

		json_array_append_new(array,
				      json_pack("{s:s, s:o, s:I, s:s*}", "name", backend->name,
						"address", address(&backend->address), "weight",
						(json_int_t)backend->weight, "of_pool",
						origin != pool ? origin->name : NULL));
	}
	return array;
}

static json_t *pools(const struct configuration *configuration)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (!pool->is_peers)
			json_array_append_new(
				array, json_pack("{s:s, s:s, s:b, s:I, s:s, s:o, s:o, s:o}", "name",
						 pool->name, "encapsulation",
						 encapsulation_name(pool->encapsulation),
						 "udp_checksum", pool->udp_checksum, "table_size",
						 (json_int_t)pool->table_size, "on_all_down",
						 all_down_names[pool->on_all_down], "slow_start",
						 duration(pool->slow_start_ns), "health_check",
						 health_check(&pool->health_check), "backends",
						 backends(configuration, pool)));
	}
	return array;
}

static const char *protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "any";
}

static json_t *vips(const struct configuration *configuration)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];

		json_array_append_new(
			array,
			json_pack("{s:s, s:o, s:s, s:I, s:s, s:b, s:b, s:s, s:s, s:b, s:I}", "name",
				  vip->name, "address", prefix(&vip->prefix), "protocol",
				  protocol_name(vip->protocol), "port", (json_int_t)vip->port,
				  "pool", configuration->pools[vip->pool].name, "fragments",
				  vip->fragments, "tracking", vip->tracking, "icmp_echo",
				  icmp_echo_names[vip->icmp_echo], "affinity",
				  affinity_names[vip->affinity], "announce", vip->announce,
				  "min_healthy", (json_int_t)vip->min_healthy));
	}
	return array;
}

static json_t *connections(const struct configuration *configuration)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:I}", "capacity",
			 (json_int_t)configuration->connections.capacity, "tcp_idle",
			 duration(configuration->connections.tcp_idle_ns), "tcp_syn_idle",
			 duration(configuration->connections.tcp_syn_idle_ns), "tcp_closing_idle",
			 duration(configuration->connections.tcp_closing_idle_ns), "udp_idle",
			 duration(configuration->connections.udp_idle_ns), "other_idle",
			 duration(configuration->connections.other_idle_ns), "new_rate",
			 (json_int_t)configuration->connections.new_rate);
}

static json_t *announce(const struct configuration *configuration)
{
	if (!configuration->announce.is_on)
		return json_null();
	return json_pack("{s:I, s:o, s:o}", "table", (json_int_t)configuration->announce.table,
			 "linger", duration(configuration->announce.linger_ns), "stall",
			 duration(configuration->announce.stall_ns));
}

static json_t *limits(const struct configuration *configuration)
{
	return json_pack("{s:o, s:{s:I, s:I}, s:{s:I, s:o}, s:{s:I, s:I}}", "connections",
			 connections(configuration), "icmp", "echo_rate",
			 (json_int_t)configuration->icmp.echo_rate, "error_rate",
			 (json_int_t)configuration->icmp.error_rate, "fragments", "capacity",
			 (json_int_t)configuration->fragments.capacity, "timeout",
			 duration(configuration->fragments.timeout_ns), "umem", "frames",
			 (json_int_t)configuration->umem.frames, "frame_size",
			 (json_int_t)configuration->umem.frame_size);
}

json_t *configuration_to_json(const struct configuration *configuration)
{
	char seed[17];
	json_t *document;

	snprintf(seed, sizeof(seed), "%016" PRIx64, configuration->hash_seed);
	document = json_pack("{s:s, s:{s:o, s:o}, s:o, s:s, s:{s:o, s:o}, s:o, s:{s:o, s:o, s:o}, "
			     "s:o, s:o, s:o}",
			     "hash_seed", seed, "source_address", "ipv4",
			     address(&configuration->source_ipv4), "ipv6",
			     address(&configuration->source_ipv6), "interfaces",
			     interfaces(configuration), "slow_path",
			     slow_path_names[configuration->slow_path], "decapsulation", "sources",
			     prefixes(configuration->decapsulation.sources,
				      configuration->decapsulation.source_count),
			     "addresses",
			     addresses(configuration->decapsulation.addresses,
				       configuration->decapsulation.address_count),
			     "peers", addresses(configuration->peers, configuration->peer_count),
			     "metrics", "textfile", text(configuration->metrics.textfile),
			     "interval", duration(configuration->metrics.interval_ns), "listen",
			     listen_address(&configuration->metrics.listen), "control",
			     text(configuration->control), "pools", pools(configuration), "vips",
			     vips(configuration));
	if (document != NULL &&
	    (json_object_set_new(document, "announce", announce(configuration)) != 0 ||
	     json_object_update_new(document, limits(configuration)) != 0)) {
		json_decref(document);
		return NULL;
	}
	return document;
}
