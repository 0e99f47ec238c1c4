/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ports: a ledger of every frame. Each lies in a heap block of its own of exactly its headroom
 * and length, which is freed when it is given back, so that AddressSanitizer sees every access
 * beyond it or too late.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define FRAMES_MOST  8192
#define NUMBER_SHIFT 16 /* of an address; below it, the offset of data in the block */

enum place {
	PLACE_QUEUE,
	PLACE_PIPELINE,
	PLACE_BACK
};

/* Of a packet, known by its received frame. */
enum fate {
	FATE_NONE,
	FATE_HELD,
	FATE_SENT,
	FATE_DELIVERED,
	FATE_DROPPED
};

struct entry {
	uint8_t *block;
	uint8_t *original; /* as received; NULL for an allocated frame */
	uint32_t length;
	uint32_t room; /* of the block behind the headroom */
	uint32_t headroom;
	uint32_t port;
	uint32_t origin; /* the entry of the packet: itself unless allocated */
	enum place place;
	enum fate fate; /* of entries that are their own origin */
	enum drop_reason reason;
};

static struct {
	struct entry entries[FRAMES_MOST];
	uint32_t count;
	uint32_t next[FUZZ_PIPELINES]; /* where to look for the port's next queued frame */
	bool refuses;
	uint32_t mtu;
	bool keeps_tags;
	struct fuzz_tally tally;
} ledger;

_Noreturn void fuzz_violation(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("VIOLATION: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	abort();
}

static uint32_t id_of(const struct port *port)
{
	return ((const struct fuzz_port *)port)->id;
}

static uint32_t number_of(uint64_t address)
{
	uint64_t number = address >> NUMBER_SHIFT;

	if (number >= ledger.count)
		fuzz_violation("address %llx is no frame's", (unsigned long long)address);
	return (uint32_t)number;
}

/* The packet that an address names; one that a port received. */
static struct entry *origin_of(uint64_t address)
{
	struct entry *entry = &ledger.entries[ledger.entries[number_of(address)].origin];

	if (entry->original == NULL)
		fuzz_violation("frame %u is no packet's", number_of(address));
	return entry;
}

/* The entry of a frame that the pipeline holds and now hands over to its port. */
static struct entry *take(const struct port *port, const struct frame *frame)
{
	struct entry *entry = &ledger.entries[number_of(frame->address)];
	uint64_t offset = frame->address & ((1u << NUMBER_SHIFT) - 1);

	if (entry->place != PLACE_PIPELINE)
		fuzz_violation("frame %u is not the pipeline's", number_of(frame->address));
	if (entry->port != id_of(port))
		fuzz_violation("frame %u goes to a port that it is not of",
			       number_of(frame->address));
	if (frame->data != entry->block + offset || frame->headroom != offset ||
	    offset + frame->length > entry->headroom + entry->room)
		fuzz_violation("frame %u: address, data, headroom and length disagree",
			       number_of(frame->address));
	return entry;
}

static void give_back(struct entry *entry)
{
	entry->place = PLACE_BACK;
	free(entry->block);
	entry->block = NULL;
}

static uint64_t *tally_of(const struct entry *origin)
{
	static uint64_t none;

	switch (origin->fate) {
	case FATE_HELD:
		return &ledger.tally.held;
	case FATE_SENT:
		return &ledger.tally.sent;
	case FATE_DELIVERED:
		return &ledger.tally.delivered;
	case FATE_DROPPED:
		return &ledger.tally.dropped[origin->reason];
	default:
		return &none;
	}
}

static void decide(struct entry *origin, enum fate fate, enum drop_reason reason)
{
	if (origin->fate == FATE_DELIVERED || origin->fate == FATE_DROPPED)
		fuzz_violation("frame %td has two ends", origin - ledger.entries);
	--*tally_of(origin);
	origin->fate = fate;
	origin->reason = reason;
	++*tally_of(origin);
}

static uint32_t receive(struct port *port, struct frame *frames, uint32_t capacity)
{
	uint32_t *next = &ledger.next[id_of(port)], count = 0;

	if (capacity == 0 || capacity > PORT_BATCH)
		fuzz_violation("receive of %u frames", capacity);
	for (; count < capacity && *next < ledger.count; ++*next) {
		struct entry *entry = &ledger.entries[*next];

		if (entry->port != id_of(port) || entry->place != PLACE_QUEUE)
			continue;
		entry->place = PLACE_PIPELINE;
		ledger.tally.received++;
		frames[count++] = (struct frame){
			.data = entry->block + entry->headroom,
			.address = (uint64_t)*next << NUMBER_SHIFT | entry->headroom,
			.length = entry->length,
			.headroom = entry->headroom,
		};
	}
	return count;
}

static uint32_t send_frames(struct port *port, const struct frame *frames, uint32_t count)
{
	uint32_t taken = ledger.refuses && count > 1 ? 1 : count;

	if (count == 0 || count > PORT_MOST_FRAMES)
		fuzz_violation("send of %u frames", count);
	ledger.tally.refused += count - taken;
	for (uint32_t i = 0; i < taken; i++) {
		struct entry *entry = take(port, &frames[i]);
		struct entry *origin = &ledger.entries[entry->origin];

		if (fuzz_check_sent(origin->original, origin->length, frames[i].data,
				    frames[i].length, ledger.mtu, ledger.keeps_tags)) {
			ledger.tally.forward_frames++;
			ledger.tally.forward_bytes += frames[i].length;
		} else {
			ledger.tally.answer_frames++;
		}
		if (origin->fate != FATE_SENT)
			decide(origin, FATE_SENT, 0);
		give_back(entry);
	}
	return taken;
}

static uint64_t deliver(struct port *port, const struct frame *frames, uint32_t count)
{
	if (count == 0 || count > PORT_BATCH)
		fuzz_violation("delivery of %u frames", count);
	for (uint32_t i = 0; i < count; i++) {
		struct entry *entry = take(port, &frames[i]);
		struct entry *origin = &ledger.entries[entry->origin];

		if (frames[i].length != origin->length ||
		    memcmp(frames[i].data, origin->original, origin->length) != 0)
			fuzz_violation("frame %u is delivered changed", entry->origin);
		if (!ledger.refuses)
			decide(origin, FATE_DELIVERED, 0);
	}
	return ledger.refuses ? 0 : UINT64_MAX >> (64 - count);
}

static bool allocate(struct port *port, uint64_t address, struct frame *frame)
{
	uint32_t origin = (uint32_t)(origin_of(address) - ledger.entries), number = ledger.count;
	struct entry *entry = &ledger.entries[number];

	if (ledger.refuses || number == FRAMES_MOST)
		return false;
	*entry = (struct entry){ .block = malloc(FUZZ_HEADROOM + FUZZ_FRAME_MOST),
				 .room = FUZZ_FRAME_MOST,
				 .headroom = FUZZ_HEADROOM,
				 .port = id_of(port),
				 .origin = origin,
				 .place = PLACE_PIPELINE };
	if (entry->block == NULL)
		abort();
	memset(entry->block, 0xa5, FUZZ_HEADROOM + FUZZ_FRAME_MOST);
	ledger.count++;
	*frame = (struct frame){ .data = entry->block + FUZZ_HEADROOM,
				 .address = (uint64_t)number << NUMBER_SHIFT | FUZZ_HEADROOM,
				 .length = FUZZ_FRAME_MOST,
				 .headroom = FUZZ_HEADROOM };
	return true;
}

static void recycle(struct port *port, const struct frame *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct entry *entry = take(port, &frames[i]);

		/* Neither sent nor delivered: another pipeline has a copy. */
		if (entry->original != NULL && entry->fate == FATE_NONE)
			decide(entry, FATE_HELD, 0);
		give_back(entry);
	}
}

static void drop(struct port *port, const struct frame *frames, const uint8_t *reasons,
		 uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct entry *entry = take(port, &frames[i]);

		if (reasons[i] >= DROP_REASON_COUNT)
			fuzz_violation("drop for no reason, %u", reasons[i]);
		decide(&ledger.entries[entry->origin], FATE_DROPPED, (enum drop_reason)reasons[i]);
		give_back(entry);
	}
}

static void discard(struct port *port, uint64_t address, enum drop_reason reason)
{
	(void)port;
	if (reason < 0 || reason >= DROP_REASON_COUNT)
		fuzz_violation("discard for no reason, %d", (int)reason);
	decide(origin_of(address), FATE_DROPPED, reason);
}

static const struct port_operations operations = {
	.receive = receive,
	.send = send_frames,
	.deliver = deliver,
	.allocate = allocate,
	.recycle = recycle,
	.drop = drop,
	.discard = discard,
};

void fuzz_port_open(struct fuzz_port *port, uint32_t id)
{
	*port = (struct fuzz_port){ .port = { .operations = &operations }, .id = id };
}

void fuzz_port_queue(struct fuzz_port *port, const uint8_t *frame, uint32_t length,
		     uint32_t headroom)
{
	struct entry *entry = &ledger.entries[ledger.count];

	/* Records are few enough: allocations alone can fill the ledger. */
	if (ledger.count == FRAMES_MOST)
		return;
	*entry = (struct entry){ .block = malloc(headroom + length),
				 .original = malloc(length + 1),
				 .length = length,
				 .room = length,
				 .headroom = headroom,
				 .port = port->id,
				 .origin = ledger.count };
	if ((entry->block == NULL && headroom + length > 0) || entry->original == NULL)
		abort();
	memset(entry->block, 0x5a, headroom);
	memcpy(entry->block + headroom, frame, length);
	memcpy(entry->original, frame, length);
	ledger.count++;
}

void fuzz_ports_refuse(bool refuse)
{
	ledger.refuses = refuse;
}

void fuzz_ports_set_way(uint32_t mtu, bool keeps_tags)
{
	ledger.mtu = mtu;
	ledger.keeps_tags = keeps_tags;
}

void fuzz_ports_check(uint64_t held)
{
	uint64_t kept = 0;

	ledger.tally.kept = 0;
	for (uint32_t i = 0; i < ledger.count; i++) {
		if (ledger.entries[i].place == PLACE_PIPELINE) {
			kept++;
			ledger.tally.kept += ledger.entries[i].original != NULL;
		}
		if (ledger.entries[i].place == PLACE_BACK && ledger.entries[i].original != NULL &&
		    ledger.entries[i].fate == FATE_NONE)
			fuzz_violation("frame %u has no end", i);
	}
	if (kept != held)
		fuzz_violation("%llu frames are with a pipeline, which holds %llu",
			       (unsigned long long)kept, (unsigned long long)held);
}

const struct fuzz_tally *fuzz_ports_tally(void)
{
	return &ledger.tally;
}

void fuzz_ports_clear(void)
{
	for (uint32_t i = 0; i < ledger.count; i++) {
		free(ledger.entries[i].block);
		free(ledger.entries[i].original);
	}
	ledger.count = 0;
	memset(ledger.next, 0, sizeof(ledger.next));
	ledger.refuses = false;
	ledger.tally = (struct fuzz_tally){ 0 };
}
