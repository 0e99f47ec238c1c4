/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inbox of a worker: a bounded queue of copies of frames, into which the other workers of the
 * same NIC put what may be its to decide on: fragments, and ICMP errors. Any number of workers put,
 * one takes; nobody waits: a full inbox refuses.
 *
 *     slot n of lap l:  free (sequence = l * slots + n)  -- put -->  full (that + 1)
 *                       ^                                                |
 *                       +-- take: sequence = (l + 1) * slots + n <-------+
 *
 * A putter claims the position `head` by compare-and-exchange when the slot there is free, copies
 * the frame and publishes it with a release of the sequence; the taker acquires it, and gives the
 * slot back with a release that the next putter's acquire pairs with. One that is interrupted
 * between claim and publication holds up what is behind it for as long, and nothing else.
 *
 * Sleep: the taker says that it will sleep and then looks once more; a putter publishes and then
 * looks whether it sleeps. All four are sequentially consistent, so at least one sees the other.
 * Waking is the caller's: the data plane makes no system calls.
 */
#ifndef FLUXPIN_INBOX_H
#define FLUXPIN_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fluxpin/packet.h>

/* What goes with a frame: as in struct packet. */
struct inbox_note {
	uint8_t hops;
	struct flow_record record;
};

struct inbox_slot {
	uint64_t sequence;
	uint64_t origin; /* the frame's address in the port that it came from */
	uint32_t length;
	struct inbox_note note;
	uint8_t data[]; /* frame_size bytes */
};

struct inbox {
	uint8_t *slots;
	uint32_t slot_count; /* a power of two */
	uint32_t slot_size;
	uint32_t frame_size;			      /* the longest frame */
	uint64_t head __attribute__((aligned(64)));   /* the next position to put at; shared */
	uint64_t tail __attribute__((aligned(64)));   /* the next one to take; the taker's */
	uint32_t sleeps __attribute__((aligned(64))); /* the taker sleeps, or is about to */
};

/* Bytes of memory for `slots` frames (a power of two) of at most frame_size bytes. */
size_t inbox_size(uint32_t slots, uint32_t frame_size);

/* Makes an empty inbox in zeroed memory, aligned to 64 bytes; it stays the caller's. */
void inbox_initialise(struct inbox *inbox, void *memory, uint32_t slots, uint32_t frame_size);

/* Copies a frame in, and leaves at least `reserve` slots free (fewer than there are). False when
 * there are not so many, or the frame is too long. Thread: any worker. */
bool inbox_put(struct inbox *inbox, const struct frame *frame, const struct inbox_note *note,
	       uint32_t reserve);

/* The oldest frame: data, length, and its origin as the address. It stays where it is until
 * inbox_take_done. False when there is none. Thread: the taker. */
bool inbox_take(struct inbox *inbox, struct frame *frame, struct inbox_note *note);
void inbox_take_done(struct inbox *inbox);

/* Thread: the taker. False: a frame has come, do not sleep. After waking, inbox_awake. */
bool inbox_may_sleep(struct inbox *inbox);
void inbox_awake(struct inbox *inbox);

/* After a put: whether the taker is to be woken, told to one of the putters. Thread: any worker. */
bool inbox_must_wake(struct inbox *inbox);

#endif
