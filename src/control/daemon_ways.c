/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a probe that failed could leave this host at all: what is lost to a link of its own says
 * nothing about a backend.
 *
 * A probe goes the kernel's way, by whatever device that names, which need not be a NIC that is
 * served; one through the tunnel goes by the first such NIC that leads to the backend. Where there
 * is no route, the fault is this host's if a NIC has no carrier, since its routes go with it, or if
 * there is a route to no backend; one that lacks a route among others that have one was taken out
 * of the routing on purpose, and its failure counts. A NIC without carrier is no excuse for a
 * backend that has answered since: it was not by that NIC.
 */
#include <net/if.h>
#include <stdio.h>

#include <fluxpin/backend_path.h>

#include "daemon_internal.h"

/* Backends that are looked at, spread over all, before it is said that none has a way. */
#define SAMPLES 64

/* Without regard to what was before. */
#define NOW UINT64_MAX

/* How long that holds. */
#define NONE_NS UINT64_C(1000000000)

static void tell_device(const struct daemon *daemon, int device, char *reason, size_t size)
{
	const char *what = "has no carrier";
	char name[IF_NAMESIZE];

	if (neighbours_had_carrier(daemon->neighbours, device, NOW))
		what = "had no carrier until just now";
	else if (!neighbours_is_up(daemon->neighbours, device))
		what = "is down";
	if (if_indextoname((unsigned int)device, name) == NULL)
		snprintf(name, sizeof(name), "number %d", device);
	snprintf(reason, size, "%s %s", name, what);
}

/* Finds a NIC without carrier by which the backend may have been reached until then. */
static bool find_cut_nic(const struct daemon *daemon, const struct health_failure *failure,
			 int *device)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		*device = daemon->nics[i].index;
		if (!neighbours_had_carrier(daemon->neighbours, *device, failure->since_ns) &&
		    neighbours_lost_carrier(daemon->neighbours, *device, failure->good_ns))
			return true;
	}
	return false;
}

static bool has_way(const struct daemon *daemon, uint32_t place, bool is_ipv4)
{
	const struct forwarding_backend *backend = &daemon->tables->backends[place];
	const struct pool_configuration *pool = &daemon->configuration->pools[backend->pool];
	const struct address *address = &pool->backends[backend->backend].address;
	enum own_way way;
	int device;

	/* Other load balancers are often on the link, whatever has become of the routes. */
	return !pool->is_peers && address_is_ipv4(address) == is_ipv4 &&
	       neighbours_own_way(daemon->neighbours, address, NULL, NOW, &way, &device) == 0 &&
	       way == OWN_WAY_OPEN;
}

/* Whether there is a way to any backend of the family: most often to the same as last time. */
static bool has_any_way(struct daemon *daemon, bool is_ipv4)
{
	uint32_t count = daemon->tables->backend_count, step = count / SAMPLES + 1;
	uint32_t *last = &daemon->seen.place[is_ipv4];
	uint64_t *none_ns = &daemon->seen.none_ns[is_ipv4], now_ns = clock_ns();

	if (*none_ns != 0 && now_ns - *none_ns < NONE_NS)
		return false;
	*none_ns = 0;
	if (*last < count && has_way(daemon, *last, is_ipv4))
		return true;
	for (uint32_t i = 0; i < count; i += step) {
		*last = i;
		if (has_way(daemon, i, is_ipv4))
			return true;
	}
	*none_ns = now_ns;
	return false;
}

static bool lacks_route(struct daemon *daemon, const struct address *address,
			const struct health_failure *failure, char *reason, size_t size)
{
	int device;

	if (find_cut_nic(daemon, failure, &device)) {
		tell_device(daemon, device, reason, size);
		return true;
	}
	if (has_any_way(daemon, address_is_ipv4(address)))
		return false;
	snprintf(reason, size, "this host has no route to any backend");
	return true;
}

/* By the NICs that may carry it, as daemon_health.c sends it. */
static bool is_tunnel_cut(struct daemon *daemon, const struct pool_configuration *pool,
			  const struct address *address, const struct health_failure *failure,
			  char *reason, size_t size)
{
	int cut = 0;

	for (uint32_t i = 0; i < daemon->device_count; i++) {
		const struct interface *nic = &daemon->nics[i];
		struct encapsulation_path path;
		struct next_hop next_hop;

		if (backend_path_find(daemon->configuration, pool, address, daemon->neighbours, nic,
				      false, &next_hop, &path) != 0)
			return false;
		/* Where there is a route, it is the neighbour or the backend that does not answer.
		 */
		if (next_hop.state == NEXT_HOP_NO_ROUTE ||
		    next_hop.state == NEXT_HOP_OTHER_INTERFACE)
			continue;
		if (neighbours_had_carrier(daemon->neighbours, nic->index, failure->since_ns))
			return false;
		cut = cut == 0 ? nic->index : cut;
	}
	if (cut == 0)
		return lacks_route(daemon, address, failure, reason, size);
	tell_device(daemon, cut, reason, size);
	return true;
}

static bool is_cut(struct daemon *daemon, const struct pool_configuration *pool,
		   const struct address *address, const struct health_failure *failure,
		   char *reason, size_t size)
{
	const struct address *source = &pool->health_check.source;
	enum own_way way;
	int device;

	if (neighbours_own_way(daemon->neighbours, address, address_is_zero(source) ? NULL : source,
			       failure->since_ns, &way, &device) != 0 ||
	    way == OWN_WAY_OPEN)
		return false;
	if (way == OWN_WAY_MISSING)
		return lacks_route(daemon, address, failure, reason, size);
	tell_device(daemon, device, reason, size);
	return true;
}

static bool is_cut_off(void *context, const struct health_failure *failure, char *reason,
		       size_t size)
{
	struct daemon *daemon = context;
	const struct pool_configuration *of = &daemon->configuration->pools[failure->pool];
	const struct address *address = &of->backends[failure->backend].address;
	bool changed = false, is_cut_now;

	/* A link that has just gone down may not have been heard of: timers run before sockets. */
	if (neighbours_drain(daemon->neighbours, &changed) != 0 || changed)
		daemon_settle(daemon);
	if (of->health_check.via != HEALTH_CHECK_TUNNEL)
		return is_cut(daemon, of, address, failure, reason, size);
	neighbours_repeat(daemon->neighbours, true);
	is_cut_now = is_tunnel_cut(daemon, of, address, failure, reason, size);
	neighbours_repeat(daemon->neighbours, false);
	return is_cut_now;
}

void daemon_set_health_host(struct daemon *daemon)
{
	const struct health_host host = { .is_cut_off = is_cut_off, .context = daemon };

	health_set_host(daemon->health, &host);
}
