/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slow path: a multi-queue TAP device per NIC. Each worker writes the frames that are not
 * for a VIP into its own queue; a filter on the TAP redirects them to the ingress of the NIC, so
 * that the kernel sees them arrive where they did. Nothing is read back: what the kernel sends
 * leaves by the NIC itself.
 *
 * The device is not persistent: it goes away with the last of its descriptors, even after SIGKILL.
 */
#ifndef FLUXPIN_TAP_H
#define FLUXPIN_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/interface.h>

struct tap; /* one device with its queues; owned by the control thread */

/*
 * Creates "fluxpin-IFINDEX" for the NIC with queue_count queues: the NIC's MAC and MTU, IPv6 off,
 * no ARP, up, redirected to the NIC. Thread: control; makes system calls, allocates. Returns 0, or
 * negative errno after logging what failed; -EBUSY when a device of that name exists.
 */
int tap_open(const struct interface *nic, uint32_t queue_count, struct tap **tap);

/*
 * Non-blocking descriptor of queue 0 .. queue_count - 1. Owned by the tap. A TAP has at most 256
 * queues; beyond that, workers share a descriptor, which writing to from several threads allows.
 */
int tap_queue(const struct tap *tap, uint32_t queue);

/* The device's name and interface index. */
const char *tap_name(const struct tap *tap);
int tap_index(const struct tap *tap);

/* Follows a change of the NIC's MAC or MTU. Returns 0 or negative errno. */
int tap_follow(struct tap *tap, const struct interface *nic);

/*
 * Writes one Ethernet frame, unchanged, to a queue's descriptor. Thread: worker. One write(2),
 * never waits. Returns true when the kernel took the whole frame; false with errno EIO when the TAP
 * is down, EINVAL when the frame is shorter than an Ethernet header. The write delivers the frame
 * there and then, so there is no queue that could be full.
 */
bool tap_write(int queue, const uint8_t *frame, uint32_t length);

void tap_close(struct tap *tap);

#endif
