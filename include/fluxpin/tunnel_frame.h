/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One IP packet to one backend, encapsulated as the data plane does it and sent by the kernel's
 * packet socket (packet(7)): for probes of the control plane, which must go the way that a client's
 * packets go, past the kernel's routing. The interface may be one that a worker serves; what is
 * sent here does not pass through its rings.
 *
 * Thread: any; one call at a time on a socket. Sending makes one system call and never waits.
 */
#ifndef FLUXPIN_TUNNEL_FRAME_H
#define FLUXPIN_TUNNEL_FRAME_H

#include <stdint.h>

#include <fluxpin/encapsulation.h>

/* The longest packet that is sent so, IP header included. */
#define TUNNEL_FRAME_MAX_PACKET 1500

/* Room for it with all that stands in front. */
#define TUNNEL_FRAME_SIZE \
	(ENCAPSULATION_MAX_HEADER + PACKET_MAX_TAGS * VLAN_TAG_LENGTH + TUNNEL_FRAME_MAX_PACKET)

/* Opens a socket that sends only. Returns its descriptor, to be closed, or negative errno: -EPERM
 * without CAP_NET_RAW. */
int tunnel_frame_open(void);

/*
 * Builds the frame for a whole IPv4 or IPv6 packet, whose checksums are right, in `buffer`. The
 * tags are those of the path; it has none of its own. `hash_seed` is the configuration's: GUE's
 * source port is that of the packet's flow. *frame is set to the first byte of the frame, in
 * buffer. Returns its length; -EINVAL for what is no IP packet; -EMSGSIZE when it is longer than
 * TUNNEL_FRAME_MAX_PACKET, or than what the path's MTU leaves.
 */
int tunnel_frame_build(const struct encapsulation_path *path, uint64_t hash_seed,
		       const void *packet, uint32_t length,
		       uint8_t buffer[static TUNNEL_FRAME_SIZE], const uint8_t **frame);

/*
 * Builds the frame and sends it by the NIC `index`. Returns 0; what tunnel_frame_build returns;
 * -EAGAIN or -ENOBUFS when the kernel's queue is full; -ENETDOWN; another negative errno.
 */
int tunnel_frame_send(int socket, int index, const struct encapsulation_path *path,
		      uint64_t hash_seed, const void *packet, uint32_t length);

#endif
