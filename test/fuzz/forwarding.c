/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarding states, made from a configuration as replay makes them:
 *
 *     0  MTU 1500
 *     1  MTU 600: most packets exceed it; the way out is under two VLAN tags
 *     2  MTU 1280; the first backend of each odd kind is down, that of each even one is drained
 *     3  MTU 1500; frames to other stations are theirs, and every third next hop is unresolved
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fluxpin/configuration.h>
#include <fluxpin/backend_overrides.h>
#include <fluxpin/forwarding_builder.h>

#include "../unit/packets.h"
#include "harness.h"

#define TEXT_MOST 16384

const uint8_t fuzz_lb_ipv6[16] = { 0xfd, [15] = 5 };
const uint8_t fuzz_tunnel_ipv6[16] = { 0xfd, 0x09, [15] = 1 };

const uint8_t fuzz_egress_tags[8] = { 0x88, 0xa8, 0x0f, 0xff, 0x81, 0x00, 0x01, 0x02 };

static struct fuzz_forwarding states[FUZZ_STATES];
static uint32_t vip_limit, backend_limit;

struct text {
	char bytes[TEXT_MOST];
	size_t length;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...)
{
	size_t room = TEXT_MOST - text->length;
	va_list arguments;
	int written;

	va_start(arguments, format);
	written = vsnprintf(text->bytes + text->length, room, format, arguments);
	va_end(arguments);
	if (written < 0 || (size_t)written >= room)
		fuzz_violation("the configuration needs more room");
	text->length += (size_t)written;
}

static void add_pool(struct text *text, int kind)
{
	static const char *const encapsulations[] = { "gre", "ipip", "gue", "gue", "l2" };

	add(text,
	    "%s{ name = \"p%d\"; encapsulation = \"%s\"; udp_checksum = %s;"
	    " table_size = 251; backends = (",
	    kind > 1 ? ",\n" : "", kind, encapsulations[(kind - 1) / 2],
	    kind == 7 || kind == 8 ? "true" : "false");
	for (int i = 0; i < 2; i++) {
		add(text, "%s { name = \"b%d\"; address = \"", i > 0 ? "," : "", i);
		if (kind % 2 == 1)
			add(text, "10.1.%d.%d\"; }", i, kind);
		else
			add(text, "fd01::%d:%x\"; }", i, kind);
	}
	add(text, " ); }");
}

static void add_vip(struct text *text, int kind, bool is_ipv6, const char *protocol, int port)
{
	static const char *const echo[] = { "reply", "forward", "drop" };

	add(text, is_ipv6 ? ",\n{ address = \"2001:db8::%x\";" : ",\n{ address = \"203.0.113.%d\";",
	    kind);
	add(text,
	    " protocol = \"%s\"; port = %d; pool = \"p%d\"; fragments = %s;"
	    " icmp_echo = \"%s\"; tracking = %s; affinity = \"%s\"; }",
	    protocol, port, kind, kind % 5 != 3 ? "true" : "false", echo[kind % 3],
	    kind % 4 != 2 ? "true" : "false", kind % 4 == 0 ? "source" : "5tuple");
}

static void write_configuration(struct text *text)
{
	add(text, "hash_seed = \"0123456789abcdef\";\n"
		  "source_address = { ipv4 = \"10.0.0.5\"; ipv6 = \"fd00::5\"; };\n");
	add(text, "decapsulation = { sources = ( \"10.9.0.1\", \"fd09::1\" );"
		  " addresses = ( \"10.0.0.5\", \"fd00::5\" ); };\n");
	add(text, "pools = (\n");
	for (int kind = 1; kind <= FUZZ_KINDS; kind++)
		add_pool(text, kind);
	add(text, " );\nvips = (\n"
		  "{ address = \"192.0.2.0/24\"; protocol = \"any\"; pool = \"p1\"; },\n"
		  "{ address = \"2001:db8:b::/64\"; protocol = \"any\"; pool = \"p1\"; }");
	for (int kind = 1; kind <= FUZZ_KINDS; kind++)
		for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
			if (kind <= 4) {
				add_vip(text, kind, is_ipv6, "any", 0);
				continue;
			}
			add_vip(text, kind, is_ipv6, "tcp", 80);
			add_vip(text, kind, is_ipv6, "udp", 53);
		}
	add(text, " );\n");
}

static struct configuration *read_configuration(void)
{
	struct configuration *configuration = NULL;
	static struct text text;
	struct findings findings;
	int file = memfd_create("fluxpin.conf", MFD_CLOEXEC), error;
	char name[64];

	text.length = 0;
	write_configuration(&text);
	if (file < 0 || write(file, text.bytes, text.length) != (ssize_t)text.length)
		fuzz_violation("the configuration cannot be written");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	error = configuration_read(name, &configuration, &findings);
	if (error != 0) {
		findings_print(&findings, stderr);
		fuzz_violation("the configuration is refused");
	}
	findings_release(&findings);
	close(file);
	return configuration;
}

static void ignore_release(void *context, uint16_t index)
{
	(void)context;
	(void)index;
}

static struct forwarding_state *build(const struct configuration *configuration,
				      const struct backend_overrides *overrides,
				      struct registry *backends, struct registry *vips, int number)
{
	static const uint32_t mtus[FUZZ_STATES] = { 1500, 600, 1280, 1500 };
	struct interface nic = { .mtu = mtus[number] };
	const struct backend_sources sources = { .overrides = overrides };
	struct backend_states *services;
	struct forwarding_tables *tables;
	struct forwarding_state *state;

	registry_begin(backends);
	registry_begin(vips);
	if (backend_states_build(configuration, NULL, &sources, 0, &services) != 0 ||
	    forwarding_tables_build(configuration, backend_states_services(services), NULL,
				    backends, vips, &tables) != 0 ||
	    forwarding_state_build(configuration, tables, NULL, &nic, 1, (uint64_t)number + 1,
				   &state) != 0)
		fuzz_violation("the forwarding state cannot be built");
	backend_states_release(services);
	registry_commit(backends, ignore_release, NULL);
	registry_commit(vips, ignore_release, NULL);
	states[number] = (struct fuzz_forwarding){ .forwarding = &state->forwarding,
						   .mtu = nic.mtu,
						   .keeps_tags = true };
	return state;
}

static void lead_under_tags(struct forwarding_state *state, int number)
{
	for (uint32_t i = 0; i < state->tables->index_limit; i++) {
		struct destination *destination = &state->destinations[i];

		destination->keeps_tags = false;
		destination->tag_count = 2;
		destination->bare_limit = 0;
		memcpy(destination->tags, fuzz_egress_tags, sizeof(fuzz_egress_tags));
	}
	states[number].keeps_tags = false;
}

static void make_states(void)
{
	/* Kept: the states borrow from some of them, and none is to look leaked. */
	static struct configuration *configuration;
	static struct backend_overrides *overrides;
	static struct registry *backends, *vips;
	struct forwarding_state *state;
	char pool[8];

	configuration = read_configuration();
	if (registry_open(&backends) != 0 || registry_open(&vips) != 0 ||
	    backend_overrides_open(&overrides) != 0)
		abort();
	build(configuration, NULL, backends, vips, 0);
	lead_under_tags(build(configuration, NULL, backends, vips, 1), 1);
	state = build(configuration, NULL, backends, vips, 3);
	memcpy(state->interfaces[0].mac, test_own_mac, 6);
	state->interfaces[0].any_mac = false;
	for (uint32_t i = 0; i < state->tables->index_limit; i += 3) {
		state->destinations[i].state = DESTINATION_UNRESOLVED;
		state->destinations[i].bare_limit = 0;
	}
	for (int kind = 1; kind <= FUZZ_KINDS; kind++) {
		snprintf(pool, sizeof(pool), "p%d", kind);
		if (backend_overrides_set(overrides, pool, "b0",
					  kind % 2 == 1 ? BACKEND_DOWN : BACKEND_DRAINED, true))
			abort();
	}
	build(configuration, overrides, backends, vips, 2);
	vip_limit = registry_limit(vips);
	backend_limit = registry_limit(backends);
}

const struct fuzz_forwarding *fuzz_forwardings(void)
{
	if (states[0].forwarding == NULL)
		make_states();
	return states;
}

uint32_t fuzz_vip_limit(void)
{
	fuzz_forwardings();
	return vip_limit;
}

uint32_t fuzz_backend_limit(void)
{
	fuzz_forwardings();
	return backend_limit;
}

uint32_t fuzz_kind_of_vip(const uint8_t *address, uint32_t length)
{
	static const uint8_t network6[8] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x0b };
	static const uint8_t network4[3] = { 192, 0, 2 };
	uint32_t kind = address[length - 1];
	uint8_t vip[16];

	if (memcmp(address, length == 16 ? network6 : network4, length == 16 ? 8 : 3) == 0)
		return 1;
	fuzz_vip(length == 16, kind, vip);
	return kind >= 1 && kind <= FUZZ_KINDS && memcmp(vip, address, length) == 0 ? kind : 0;
}

uint32_t fuzz_kind_of_backend(const uint8_t *address, uint32_t length)
{
	uint32_t kind = address[length - 1];
	uint8_t backend[16] = { 10, 1, address[2] & 1, (uint8_t)kind };

	if (length == 16) {
		memset(backend, 0, sizeof(backend));
		backend[0] = 0xfd;
		backend[1] = 1;
		backend[13] = address[13] & 1;
		backend[15] = (uint8_t)kind;
	}
	if (kind < 1 || kind > FUZZ_KINDS || kind % 2 != (length == 4))
		return 0;
	return memcmp(backend, address, length) == 0 ? kind : 0;
}
