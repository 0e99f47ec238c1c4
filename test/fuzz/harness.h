/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets of the packet path share. A target says how a piece of the input becomes a
 * frame; everything else is here: three pipelines that share their work as workers of one NIC do,
 * ports of their own that check the owner of every frame, and what must hold whatever arrives.
 *
 * An input is a list of records: a control byte, a length (two bytes, little endian; the upper four
 * bits choose the frame's headroom) and that many bytes, from which the target builds one frame.
 * The control byte says what happens around it:
 *
 *     bits 0, 1   the batch ends behind this frame; with 2 and 3 all pipelines run idle, too
 *     bits 2, 3   the time that passes before: none, a millisecond, 2 seconds, 100 seconds
 *     bits 4, 5   the forwarding state of the batch: see forwarding.c
 *     bit 6       the ports refuse: all but one frame to send, every delivery, every allocation
 *     bit 7       the pipeline that the frame arrives at: the first or the second one
 *
 * A violation prints what it is and aborts, so that libFuzzer keeps the input.
 */
#ifndef FLUXPIN_FUZZ_HARNESS_H
#define FLUXPIN_FUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fluxpin/counters.h>
#include <fluxpin/forwarding.h>
#include <fluxpin/port.h>

#define FUZZ_PIPELINES	3
#define FUZZ_FRAME_MOST 4096 /* bytes of a frame; also the room of an allocated one */
#define FUZZ_HEADROOM	256  /* of allocated frames */
#define FUZZ_RECORDS	256  /* of one input; what follows is ignored */

/* The name of the libFuzzer entry, which has no header. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn void fuzz_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- harness.c ---- */

#define FUZZ_NO_FRAME UINT32_MAX

/* Writes a frame (FUZZ_FRAME_MOST bytes of room) from a record's bytes; returns its length, or
 * FUZZ_NO_FRAME when they are too few. */
typedef uint32_t fuzz_build(const uint8_t *data, uint32_t size, uint8_t *frame);

/* Runs all records of an input; the answer of LLVMFuzzerTestOneInput. */
int fuzz_run(const uint8_t *data, size_t size, fuzz_build *build);

/* ---- forwarding.c ---- */

/*
 * Kind k from 1 to FUZZ_KINDS: the VIPs 203.0.113.k and 2001:db8::k, their pool with the backends
 * 10.1.0.k and 10.1.1.k (k odd) or fd01::k and fd01::1:k (k even), and that encapsulation:
 * 1, 2 gre; 3, 4 ipip; 5, 6 gue; 7, 8 gue with UDP checksum; 9, 10 l2. VIPs 1 to 4 take every port
 * and protocol, the others TCP 80 and UDP 53. 192.0.2.0/24 and 2001:db8:b::/64 go to pool 1.
 */
#define FUZZ_KINDS  10
#define FUZZ_STATES 4

/* Addresses in network order. The load balancer's own, and a source whose tunnels it takes. */
#define FUZZ_LB_IPV4	 0x0a000005	   /* 10.0.0.5, in host order */
#define FUZZ_TUNNEL_IPV4 0x0a090001	   /* 10.9.0.1 */
extern const uint8_t fuzz_lb_ipv6[16];	   /* fd00::5 */
extern const uint8_t fuzz_tunnel_ipv6[16]; /* fd09::1 */

struct fuzz_forwarding {
	const struct forwarding *forwarding;
	uint32_t mtu;
	bool keeps_tags; /* else all leaves under fuzz_egress_tags */
};

extern const uint8_t fuzz_egress_tags[8]; /* two of them */

/* The states, made at the first call. */
const struct fuzz_forwarding *fuzz_forwardings(void);
uint32_t fuzz_vip_limit(void); /* above every VIP index */
uint32_t fuzz_backend_limit(void);

/* The kind that a VIP's or a backend's address belongs to; 0 for others. `length` is 4 or 16. */
uint32_t fuzz_kind_of_vip(const uint8_t *address, uint32_t length);
uint32_t fuzz_kind_of_backend(const uint8_t *address, uint32_t length);

/* ---- port.c ---- */

struct fuzz_port {
	struct port port;
	uint32_t id;
};

/* What became of the frames of an input, as the ports saw it. */
struct fuzz_tally {
	uint64_t received;
	uint64_t sent; /* packets of which a frame was sent, and not discarded later */
	uint64_t delivered;
	uint64_t dropped[DROP_REASON_COUNT];
	uint64_t held; /* copied, and nothing heard of since */
	uint64_t kept; /* received frames that are still with a pipeline */
	uint64_t forward_frames, forward_bytes, answer_frames;
	uint64_t refused; /* frames that send did not take */
};

void fuzz_port_open(struct fuzz_port *port, uint32_t id);

/* Queues a frame for the port's next receive. */
void fuzz_port_queue(struct fuzz_port *port, const uint8_t *frame, uint32_t length,
		     uint32_t headroom);
void fuzz_ports_refuse(bool refuse);
void fuzz_ports_set_way(uint32_t mtu, bool keeps_tags);

/* No more than `held` frames are with a pipeline. */
void fuzz_ports_check(uint64_t held);
const struct fuzz_tally *fuzz_ports_tally(void);

/* Frees all frames and forgets them. */
void fuzz_ports_clear(void);

/* ---- check.c ---- */

/*
 * Checks a frame that is sent for one that was received: a whole or split packet with the right
 * outer header, or an answer. Returns true for the former.
 */
bool fuzz_check_sent(const uint8_t *received, uint32_t received_length, const uint8_t *sent,
		     uint32_t sent_length, uint32_t mtu, bool keeps_tags);

/* ---- frames.c: frames of targets that fuzz what is inside ---- */

#define FUZZ_ETHERNET 14

/*
 * Writes Ethernet and IP headers in front of `length` bytes at frame + fuzz_header(is_ipv6); all
 * lengths and checksums are right. Addresses are 4 or 16 bytes. Returns the frame's length.
 */
uint32_t fuzz_header(bool is_ipv6);
uint32_t fuzz_write_headers(uint8_t *frame, bool is_ipv6, uint8_t protocol, const uint8_t *source,
			    const uint8_t *destination, uint32_t length);

/* The address of the VIP of kind `kind`, and a client's; 4 or 16 bytes. */
void fuzz_vip(bool is_ipv6, uint32_t kind, uint8_t *address);
void fuzz_client(bool is_ipv6, uint8_t number, uint8_t *address);

/* The Internet checksum over an IP pseudo-header and `length` bytes at `l4`. */
uint16_t fuzz_transport_sum(const uint8_t *ip, uint8_t protocol, const uint8_t *l4,
			    uint32_t length);

#endif
