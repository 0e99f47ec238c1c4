/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of neighbours share: a network of two namespaces, and the daemon's way of asking.
 */
#ifndef FLUXPIN_TEST_NEIGHBOURS_SETUP_H
#define FLUXPIN_TEST_NEIGHBOURS_SETUP_H

#include "namespace.h"

#include <net/if.h>
#include <sys/socket.h>

#include <fluxpin/address.h>
#include <fluxpin/neighbours.h>

#include "../../src/control/neighbours_internal.h"

/*
 * This namespace has e0 (10.0.0.9, fd00::9) and e1 (10.0.1.9, fd01::9); the peer has p0 at the
 * other end of e0 with the routers .1 and .2, and q0 at the other end of e1 with the router .1.
 */
static inline void make_network(void)
{
	run("sysctl -q net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
	run_in_peer("sysctl -q net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
	run("ip link add e0 address 02:00:00:00:00:09 type veth peer name p0 netns %d && "
	    "ip link add e1 type veth peer name q0 netns %d",
	    (int)namespace_peer, (int)namespace_peer);
	run_in_peer("sh -c 'ip link set p0 address 02:00:00:00:00:01 up && ip link set q0 up && "
		    "ip addr add 10.0.0.1/24 dev p0 && ip addr add 10.0.0.2/24 dev p0 && "
		    "ip addr add fd00::1/64 dev p0 && ip addr add fd00::2/64 dev p0 && "
		    "ip addr add 10.0.1.1/24 dev q0 && ip addr add fd01::1/64 dev q0'");
	run("ip link set e0 up && ip link set e1 up && "
	    "ip addr add 10.0.0.9/24 dev e0 && ip addr add fd00::9/64 dev e0 && "
	    "ip addr add 10.0.1.9/24 dev e1 && ip addr add fd01::9/64 dev e1");
	/* What the kernel has to say of that is said before a test begins. */
	run("for d in e0 e1; do for i in $(seq 100); do ip link show $d | grep -q 'state UP' && "
	    "continue 2; sleep 0.1; done; exit 1; done");
	/* Failures within a second or so. Only this namespace's e0 is set. */
	for (int family = 4; family <= 6; family += 2)
		run("cd /proc/sys/net/ipv%d/neigh/e0 && echo 200 > base_reachable_time_ms && "
		    "echo 1 > delay_first_probe_time && echo 100 > retrans_time_ms && "
		    "echo 0 > locktime",
		    family);
}

static inline struct neighbours *open_neighbours(void)
{
	struct neighbours *neighbours;

	assert_int_equal(neighbours_open(&neighbours), 0);
	return neighbours;
}

static inline struct address parse(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	return address;
}

static inline struct next_hop resolve(struct neighbours *neighbours, const char *destination,
				      const char *device)
{
	struct address address = parse(destination);
	struct next_hop next_hop;

	memset(&next_hop, 0xee, sizeof(next_hop));
	assert_int_equal(
		next_hop_resolve(neighbours, &address, (int)if_nametoindex(device), &next_hop), 0);
	return next_hop;
}

/* Whether a change is reported within the time. */
static inline bool is_change_reported(struct neighbours *neighbours, unsigned int duration)
{
	struct pollfd descriptor = { .fd = neighbours_descriptor(neighbours), .events = POLLIN };
	uint64_t end = milliseconds() + duration;
	bool is_changed = false;

	for (;;) {
		uint64_t now = milliseconds();
		bool changed = false;

		if (is_changed || now >= end)
			return is_changed;
		poll(&descriptor, 1, (int)(end - now));
		assert_int_equal(neighbours_drain(neighbours, &changed), 0);
		is_changed = changed;
	}
}

/* Lets what was set in motion settle, then forgets its reports. */
static inline void settle(struct neighbours *neighbours)
{
	bool changed;

	pause_milliseconds(300);
	assert_int_equal(neighbours_drain(neighbours, &changed), 0);
}

/* What the daemon does: asks, then asks again only when a change is reported. */
static inline struct next_hop await(struct neighbours *neighbours, const char *destination,
				    enum next_hop_state state, unsigned int duration)
{
	struct next_hop next_hop = resolve(neighbours, destination, "e0");
	uint64_t end = milliseconds() + duration;

	while (next_hop.state != state) {
		uint64_t now = milliseconds();

		if (now >= end || !is_change_reported(neighbours, (unsigned int)(end - now)))
			fail_msg("%s: %s instead of %s", destination,
				 next_hop_state_name(next_hop.state), next_hop_state_name(state));
		next_hop = resolve(neighbours, destination, "e0");
	}
	return next_hop;
}

static inline const char *neighbour_shown(const char *address)
{
	char command[128];

	snprintf(command, sizeof(command), "ip neigh show %s", address);
	return output_of(command);
}

#endif
