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

#endif
