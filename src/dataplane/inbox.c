/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <fluxpin/inbox.h>

static uint32_t slot_size_of(uint32_t frame_size)
{
	/* Whole cache lines, so that two putters never write to the same one. */
	return ((uint32_t)sizeof(struct inbox_slot) + frame_size + 63) & ~63u;
}

size_t inbox_size(uint32_t slots, uint32_t frame_size)
{
	return (size_t)slots * slot_size_of(frame_size);
}

static struct inbox_slot *slot_at(const struct inbox *inbox, uint64_t position)
{
	size_t offset = (position & (inbox->slot_count - 1)) * (size_t)inbox->slot_size;

	return (struct inbox_slot *)(inbox->slots + offset);
}

void inbox_initialise(struct inbox *inbox, void *memory, uint32_t slots, uint32_t frame_size)
{
	*inbox = (struct inbox){
		.slots = memory,
		.slot_count = slots,
		.slot_size = slot_size_of(frame_size),
		.frame_size = frame_size,
	};
	for (uint32_t i = 0; i < slots; i++)
		slot_at(inbox, i)->sequence = i;
}

/* Slots are given back in their order: whether this one was, and with it all before it. */
static bool is_given_back(const struct inbox *inbox, uint64_t position)
{
	const struct inbox_slot *slot = slot_at(inbox, position);

	return __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) >= position;
}

/* The slot to write to, or NULL when the inbox is full but for the reserve. */
static struct inbox_slot *claim(struct inbox *inbox, uint32_t reserve, uint64_t *position)
{
	*position = __atomic_load_n(&inbox->head, __ATOMIC_RELAXED);
	for (;;) {
		struct inbox_slot *slot = slot_at(inbox, *position);
		/* Partner: the release in inbox_take_done, which gives the slot back. */
		uint64_t sequence = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);

		if (sequence < *position || !is_given_back(inbox, *position + reserve))
			return NULL;
		if (sequence > *position)
			*position = __atomic_load_n(&inbox->head, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(&inbox->head, position, *position + 1, false,
						     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return slot;
	}
}

bool inbox_put(struct inbox *inbox, const struct frame *frame, const struct inbox_note *note,
	       uint32_t reserve)
{
	struct inbox_slot *slot;
	uint64_t position;

	if (frame->length > inbox->frame_size)
		return false;
	slot = claim(inbox, reserve, &position);
	if (slot == NULL)
		return false;
	slot->origin = frame->address;
	slot->length = frame->length;
	slot->note = *note;
	memcpy(slot->data, frame->data, frame->length);
	/* Partner: the acquire in inbox_take. Sequentially consistent for inbox_must_wake. */
	__atomic_store_n(&slot->sequence, position + 1, __ATOMIC_SEQ_CST);
	return true;
}

bool inbox_take(struct inbox *inbox, struct frame *frame, struct inbox_note *note)
{
	struct inbox_slot *slot = slot_at(inbox, inbox->tail);

	/* Partner: the release in inbox_put. */
	if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) != inbox->tail + 1)
		return false;
	*frame = (struct frame){
		.data = slot->data,
		.address = slot->origin,
		.length = slot->length,
	};
	*note = slot->note;
	return true;
}

void inbox_take_done(struct inbox *inbox)
{
	struct inbox_slot *slot = slot_at(inbox, inbox->tail);

	/* Partner: the acquire in claim. */
	__atomic_store_n(&slot->sequence, inbox->tail + inbox->slot_count, __ATOMIC_RELEASE);
	inbox->tail++;
}

bool inbox_may_sleep(struct inbox *inbox)
{
	const struct inbox_slot *slot = slot_at(inbox, inbox->tail);

	/* The store comes before the load, as in a putter that of the sequence before that of
	 * `sleeps`: in the one order of all four, one load sees the other's store. */
	__atomic_store_n(&inbox->sleeps, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->sequence, __ATOMIC_SEQ_CST) != inbox->tail + 1)
		return true;
	inbox_awake(inbox);
	return false;
}

void inbox_awake(struct inbox *inbox)
{
	__atomic_store_n(&inbox->sleeps, 0, __ATOMIC_RELAXED);
}

bool inbox_must_wake(struct inbox *inbox)
{
	return __atomic_load_n(&inbox->sleeps, __ATOMIC_SEQ_CST) != 0 &&
	       __atomic_exchange_n(&inbox->sleeps, 0, __ATOMIC_SEQ_CST) != 0;
}
