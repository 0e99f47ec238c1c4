/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One probe on the wire: the SYN is sent by the path to a backend, and the answer, which comes from
 * the VIP to this host by whatever interface, is listened for beside the kernel. A TCP socket that
 * is bound and does not listen holds the port, so that no connection of the host's uses it; what
 * comes to it the kernel answers with RST.
 */
#ifndef FLUXPIN_PROBE_EXCHANGE_H
#define FLUXPIN_PROBE_EXCHANGE_H

#include <stdint.h>

#include <fluxpin/encapsulation.h>

#include "probe_packet.h"

struct probe_exchange {
	struct probe_flow flow; /* its source port and sequence are set by probe_exchange_run */
	const struct encapsulation_path *path;
	int interface; /* index of the NIC */
	uint64_t hash_seed;
	uint32_t packet_length; /* of the SYN; less than its headers: those alone */
};

/*
 * Sends the SYN, again after half a second, and waits a second in all. An answered connection is
 * reset. Returns 0 with *answer, of kind PROBE_OTHER when nothing came; negative errno when nothing
 * could be sent. Blocks.
 */
int probe_exchange_run(struct probe_exchange *exchange, struct probe_answer *answer);

#endif
