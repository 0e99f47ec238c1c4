/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel sends from sockets with a certain mark, taken out of its hands as IP packets: a
 * TUN device, a routing table with nothing but a default route to it, and rules that lead marked
 * packets there. So a socket of this process can talk to an address by a way that the kernel knows
 * nothing of; what comes back is the kernel's as ever.
 *
 *     socket with SO_MARK ──> rule: mark M ──> table M: default ──> fluxpin-probeN ──> read
 *
 * Mark and table have the same number, PROBE_DEVICE_BASE + N, where N is that of the device, so
 * that several processes do not meet. Device and routes vanish with the process, the rules do not:
 * those without their device are removed by the next probe_device_open.
 *
 * Thread: one. Opening and closing make system calls on local sockets; takes CAP_NET_ADMIN.
 */
#ifndef FLUXPIN_PROBE_DEVICE_H
#define FLUXPIN_PROBE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#define PROBE_DEVICE_NAME  "fluxpin-probe"
#define PROBE_DEVICE_BASE  0x666c7800u /* "flx" */
#define PROBE_DEVICE_COUNT 100	       /* two digits fit the name */

/* Before the rule for the main table, 32766, and most others; after that for local addresses, 0. */
#define PROBE_DEVICE_RULE_PRIORITY 50

/* Of the device, so that packets have room for outer headers; the least that IPv6 allows. */
#define PROBE_DEVICE_MTU 1280

struct probe_device;

/* Returns 0 or negative errno. Without IPv6 in the kernel it serves IPv4 alone. */
int probe_device_open(struct probe_device **device);
void probe_device_close(struct probe_device *device);

/* What sockets need as SO_MARK. */
uint32_t probe_device_mark(const struct probe_device *device);

/* Readable when there is a packet. */
int probe_device_descriptor(const struct probe_device *device);

/* Takes a packet, without waiting. Returns its length; 0 when there is none; negative errno. */
int probe_device_read(struct probe_device *device, void *buffer, size_t size);

#endif
