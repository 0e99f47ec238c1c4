/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files explain*.c share. */
#ifndef FLUXPIN_EXPLAIN_INTERNAL_H
#define FLUXPIN_EXPLAIN_INTERNAL_H

#include <fluxpin/explain.h>

/* The longest frame that is made: Ethernet, IPv6, TCP. */
#define EXPLAIN_MOST_FRAME 74

/* explain_packet.c: whether the flow is one of echo requests. */
bool explain_is_echo(const struct explained_flow *flow);

/*
 * explain_packet.c: writes the Ethernet frame that stands for the flow (see explain.h), and returns
 * its length. Group addresses get a group MAC address, as on a wire.
 */
uint32_t explain_make_frame(const struct explained_flow *flow,
			    uint8_t frame[static EXPLAIN_MOST_FRAME]);

#endif
