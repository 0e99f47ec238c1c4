/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a tracked flow, by what its client sends: backends answer clients directly, so the
 * other direction is never seen, and no sequence number can be checked.
 *
 *     SYN alone -----------> SYN --------- ACK ---> ESTABLISHED -- FIN, RST --> CLOSING
 *     ACK of a flow that -> TCP_ONCE ----- ACK -------^
 *       is not known
 *     UDP datagram --------> UDP_ONCE -- another -> UDP       (other protocols: likewise)
 *
 * - A SYN without ACK opens a new connection, whatever the state (RFC 9293 section 3.5): one that
 *   is sent again, and one of ports that are used again.
 * - A flow that is met in its middle, as after a restart, is tracked from an ACK on. One such
 *   packet proves nothing, nor does a first datagram: until the second packet the entry may be
 *   evicted, or a flood from random ports would fill the table with what nothing pushes out.
 * - After its FIN a client still acknowledges what the server sends, for as long as that takes (a
 *   half-closed connection, section 3.6.1). So CLOSING is no end: its idle time, a shorter one,
 *   begins anew with each packet, and the backend stays. The server's FIN shows only in the ACK
 *   that it gets, which looks like any other.
 * - A RST ends a connection at once (section 3.5.3), but whether it is valid only the server can
 *   tell: it makes the idle time shorter, nothing else, and no flow one to keep.
 * - A FIN or RST of a flow that is not known starts no entry.
 * - SYN together with FIN or RST opens nothing that a server keeps, and a segment without any of
 *   SYN, ACK, FIN and RST is dropped by it (section 3.10.7.4): these go where their flow goes, and
 *   change nothing.
 *
 * Thread: any. Constant tables, two reads for a packet.
 */
#ifndef FLUXPIN_CONNECTION_STATE_H
#define FLUXPIN_CONNECTION_STATE_H

#include <netinet/in.h>
#include <stdint.h>

#include <fluxpin/packet.h>

/* X(identifier, label in metrics, explanation). The order is that in which they make room for
 * others, as connection_table.h says. */
#define CONNECTION_STATES(X)                                                                   \
	X(EMPTY, "empty", "no entry")                                                          \
	X(SYN, "syn", "TCP: the client has sent nothing but SYNs")                             \
	X(TCP_ONCE, "tcp_once", "TCP: one packet was seen, from the middle of the connection") \
	X(UDP_ONCE, "udp_once", "UDP: one packet was seen")                                    \
	X(OTHER_ONCE, "other_once", "another protocol: one packet was seen")                   \
	X(ESTABLISHED, "established", "TCP: the client acknowledges")                          \
	X(CLOSING, "closing", "TCP: the client has sent FIN or RST")                           \
	X(UDP, "udp", "UDP")                                                                   \
	X(OTHER, "other", "another protocol")

enum connection_state {
#define X(identifier, label, explanation) CONNECTION_##identifier,
	CONNECTION_STATES(X)
#undef X
	CONNECTION_STATE_COUNT
};

/* What a packet says of its flow. */
enum connection_event {
	CONNECTION_EVENT_SYN, /* without ACK, FIN and RST */
	CONNECTION_EVENT_ACK, /* with data or without, and with SYN: a simultaneous open */
	CONNECTION_EVENT_FIN,
	CONNECTION_EVENT_RST,
	CONNECTION_EVENT_NONE, /* TCP flags that say nothing */
	CONNECTION_EVENT_UDP,
	CONNECTION_EVENT_OTHER,
	CONNECTION_EVENT_COUNT,
};

#define CONNECTION_EVENT_FLAGS (TCP_FLAG_FIN | TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK)

extern const uint8_t connection_event_by_flags[CONNECTION_EVENT_FLAGS + 1];
extern const uint8_t connection_next_state[CONNECTION_EVENT_COUNT][CONNECTION_STATE_COUNT];

static inline enum connection_event connection_event(uint8_t protocol, uint8_t tcp_flags)
{
	if (protocol == IPPROTO_TCP)
		return (enum connection_event)
			connection_event_by_flags[tcp_flags & CONNECTION_EVENT_FLAGS];
	return protocol == IPPROTO_UDP ? CONNECTION_EVENT_UDP : CONNECTION_EVENT_OTHER;
}

/* The state after the packet; EMPTY when there was no entry and none is to be made. */
static inline enum connection_state connection_next(uint8_t state, enum connection_event event)
{
	return (enum connection_state)connection_next_state[event][state];
}

const char *connection_state_label(enum connection_state state);

#endif
