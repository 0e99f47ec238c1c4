/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel says of a network interface, and the few things that fluxpin sets on one.
 * Netlink and ethtool ioctls; no state is kept. Thread: start-up and control; every call makes
 * system calls.
 */
#ifndef FLUXPIN_INTERFACE_H
#define FLUXPIN_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct interface {
	char name[IF_NAMESIZE];
	char driver[32]; /* "" when ethtool does not say */
	int index;
	uint32_t mtu; /* bytes of IP packet */
	uint8_t mac[6];
	bool is_up; /* administratively */
	bool has_carrier;
	uint32_t queue_count; /* receive queues: combined + rx channels; without ethtool channels,
			       * the rx-N folders in sysfs, or 1 */
	uint32_t transmit_count; /* transmit queues: combined + tx channels; 0: unknown */
};

/*
 * Looks an interface of this network namespace up by name.
 * Returns 0; -ENODEV when there is none; another negative errno from the kernel.
 */
int interface_query(const char *name, struct interface *interface);

/* Sets or reads by index; return 0 or the kernel's negative errno. */
int interface_set_mac(int index, const uint8_t mac[static 6]);
int interface_set_mtu(int index, uint32_t mtu);
int interface_set_up(int index, bool up);
int interface_set_queue_length(int index, uint32_t packets);
int interface_set_alias(int index, const char *alias);

/* Off: the interface neither asks nor answers ARP and ND (IFF_NOARP). */
int interface_set_arp(int index, bool on);

/* No IPv6 addresses made by the kernel: addrgenmode none (IFLA_INET6_ADDR_GEN_MODE). */
int interface_disable_ipv6(int index);

/*
 * Redirects every frame that arrives on `from` to the ingress of `to`: a clsact qdisc on `from`
 * with a u32 filter that matches everything and a mirred redirect. mirred marks the packet, so that
 * generic XDP on `to` leaves it alone (bpf_redirect would loop). Both are interface indexes.
 * Returns 0 or the kernel's negative errno. Goes away with `from`.
 */
int interface_redirect_ingress(int from, int to);

/*
 * The preferred IPv4 source address of the interface: its first global address.
 * Returns 0 or -EADDRNOTAVAIL.
 */
int interface_source_ipv4(int index, uint32_t *ipv4_be);

/* Offloads that are on and that merge packets ("rx-gro-hw", "rx-lro"), or hide VLAN tags
 * ("rx-vlan-hw-parse"), as what turns them off: "rx-lro off rx-vlan-hw-parse off" behind
 * `ethtool -K NAME`, "" when none are on. Plain software GRO is harmless in front of XDP and not
 * listed. Returns 0 or negative errno. */
int interface_harmful_offloads(const char *name, char *list, uint32_t size);

struct interface_channels {
	uint32_t combined;
	uint32_t receive;  /* those that only receive */
	uint32_t transmit; /* those that only transmit */
};

/* The channels as ethtool -l shows them. Returns 0, or negative errno where the driver has none. */
int interface_channels(const char *name, struct interface_channels *channels);

/*
 * Which receive queues the NIC spreads packets over (the indirection table of RSS, ethtool -x):
 * is_used[q] is set for queues below `count`. Returns 0, or negative errno where the driver does
 * not say.
 */
int interface_spread(const char *name, bool *is_used, uint32_t count);

/* As interface_harmful_offloads, of the features given by the names that the kernel has for them.
 */
int interface_active_offloads(const char *name, const char *const *features, uint32_t feature_count,
			      char *list, uint32_t size);

/* What the driver says that it can do with XDP (NETDEV_XDP_ACT_* of linux/netdev.h). */
#define INTERFACE_XDP_BASIC	0x01
#define INTERFACE_XDP_REDIRECT	0x02
#define INTERFACE_XDP_ZERO_COPY 0x08

/* Returns 0; -EOPNOTSUPP before Linux 6.3, which does not say; another negative errno. */
int interface_xdp_features(int index, uint64_t *features);

/* What holds interrupts back after a poll (Documentation/networking/napi.rst of the kernel). */
struct interface_deferral {
	uint32_t hard_irqs;	   /* napi_defer_hard_irqs: polls in a row that may find nothing */
	uint64_t flush_timeout_ns; /* gro_flush_timeout: until the kernel polls by itself */
};

/*
 * Of a NAPI instance, by netlink. Returns 0; -ENOENT when there is none of this number;
 * -EOPNOTSUPP before Linux 6.13, which does not say; another negative errno.
 */
int interface_napi_deferral(uint32_t napi, struct interface_deferral *deferral);

/* Of the device, from sysfs. Returns 0; -ENODEV when sysfs shows another network namespace; another
 * negative errno. */
int interface_deferral(const char *name, int index, struct interface_deferral *deferral);

/* How a device stands to others. */
struct interface_relations {
	char kind[16];	    /* "veth", "vlan", ...; "" for most hardware */
	int master;	    /* index of the bridge or bond that it is a port of; 0: none */
	int peer;	    /* of a veth: the other end, in its own namespace; 0: none */
	int peer_namespace; /* number that this namespace has for the peer's; -1: this one */
	bool has_arp;
	bool is_loopback;
};

int interface_relations(int index, struct interface_relations *relations);

#endif
