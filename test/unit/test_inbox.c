/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fluxpin/inbox.h>

#define SLOTS	   8
#define FRAME_SIZE 100
#define PUTTERS	   3
#define ROUNDS	   20000

static int open_inbox(void **state)
{
	struct inbox *inbox = aligned_alloc(64, sizeof(*inbox));
	void *memory = aligned_alloc(64, inbox_size(SLOTS, FRAME_SIZE));

	if (inbox == NULL || memory == NULL)
		return -1;
	inbox_initialise(inbox, memory, SLOTS, FRAME_SIZE);
	*state = inbox;
	return 0;
}

static int close_inbox(void **state)
{
	struct inbox *inbox = *state;

	free(inbox->slots);
	free(inbox);
	return 0;
}

/* A frame whose length and bytes follow from a number. */
static bool put(struct inbox *inbox, uint64_t number)
{
	uint8_t data[FRAME_SIZE];
	struct frame frame = { .data = data,
			       .address = number,
			       .length = (uint32_t)(number % (FRAME_SIZE + 1)) };
	struct inbox_note note = { .hops = (uint8_t)(number * 7),
				   .record = { number % 3 == 0, (uint16_t)(number * 5),
					       (uint16_t)(number * 11) } };

	memset(data, (uint8_t)number, sizeof(data));
	return inbox_put(inbox, &frame, &note, 0);
}

static uint64_t take(struct inbox *inbox)
{
	struct inbox_note note;
	struct frame frame;
	uint64_t number;

	if (!inbox_take(inbox, &frame, &note))
		return UINT64_MAX;
	number = frame.address;
	assert_int_equal(note.hops, (uint8_t)(number * 7));
	assert_int_equal(note.record.is_known, number % 3 == 0);
	assert_int_equal(note.record.backend, (uint16_t)(number * 5));
	assert_int_equal(note.record.generation, (uint16_t)(number * 11));
	assert_int_equal(frame.length, number % (FRAME_SIZE + 1));
	for (uint32_t i = 0; i < frame.length; i++)
		assert_int_equal(frame.data[i], (uint8_t)number);
	inbox_take_done(inbox);
	return number;
}

/* In order, however far it is filled; a full one refuses, and forgets nothing. */
static void test_order(void **state)
{
	struct inbox *inbox = *state;
	uint64_t in = 0, out = 0;

	assert_true(take(inbox) == UINT64_MAX);
	for (int round = 0; round < 1000; round++) {
		for (int i = 0; i < round % (SLOTS + 1); i++)
			assert_true(put(inbox, in++));
		if (round % (SLOTS + 1) == SLOTS)
			assert_false(put(inbox, in));
		while (out < in)
			assert_int_equal(take(inbox), out++);
		assert_true(take(inbox) == UINT64_MAX);
	}
}

static void test_too_long(void **state)
{
	struct inbox *inbox = *state;
	uint8_t data[FRAME_SIZE + 1] = { 0 };
	struct frame frame = { .data = data, .length = FRAME_SIZE + 1 };
	struct inbox_note note = { 0 };

	assert_false(inbox_put(inbox, &frame, &note, 0));
	frame.length = FRAME_SIZE;
	assert_true(inbox_put(inbox, &frame, &note, 0));
}

/* Whoever leaves some room is refused before others are. */
static void test_reserve(void **state)
{
	struct inbox *inbox = *state;
	uint8_t data = 0;
	struct frame frame = { .data = &data, .length = 1 };
	struct inbox_note note = { 0 };
	uint32_t in = 0;

	for (int round = 0; round < 3 * SLOTS; round++) {
		while (inbox_put(inbox, &frame, &note, 3))
			in++;
		assert_int_equal(in, SLOTS - 3);
		assert_true(inbox_put(inbox, &frame, &note, 2));
		assert_false(inbox_put(inbox, &frame, &note, 2));
		assert_true(inbox_put(inbox, &frame, &note, 0));
		for (int i = 0; i < 3; i++) {
			assert_true(inbox_take(inbox, &frame, &note));
			frame.data = &data;
			inbox_take_done(inbox);
		}
		in -= 1;
	}
}

/* Who goes to sleep is woken for what comes then, by one of the putters; not for what came before.
 */
static void test_sleep(void **state)
{
	struct inbox *inbox = *state;

	assert_false(inbox_must_wake(inbox));
	assert_true(put(inbox, 1));
	assert_false(inbox_may_sleep(inbox));
	/* Awake, as it was before. */
	assert_false(inbox_must_wake(inbox));
	assert_int_equal(take(inbox), 1);
	assert_true(inbox_may_sleep(inbox));
	assert_true(put(inbox, 2));
	assert_true(inbox_must_wake(inbox));
	assert_false(inbox_must_wake(inbox));
	inbox_awake(inbox);
	assert_int_equal(take(inbox), 2);
	assert_false(inbox_must_wake(inbox));
}

struct putter {
	pthread_t thread;
	struct inbox *inbox;
	uint64_t id;
	uint64_t wakes;
};

static void *run_putter(void *argument)
{
	struct putter *putter = argument;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		while (!put(putter->inbox, i * PUTTERS + putter->id))
			sched_yield();
		putter->wakes += inbox_must_wake(putter->inbox);
	}
	return NULL;
}

/* Several putters at once: nothing is lost, doubled or torn, and each one's frames stay in order.
 * The taker believes inbox_may_sleep: were a wake-up lost, it would not come to an end. */
static void test_threads(void **state)
{
	struct inbox *inbox = *state;
	struct putter putters[PUTTERS];
	uint64_t next[PUTTERS] = { 0 }, taken = 0, slept = 0, woken = 0;

	for (uint64_t i = 0; i < PUTTERS; i++) {
		putters[i] = (struct putter){ .inbox = inbox, .id = i };
		assert_int_equal(pthread_create(&putters[i].thread, NULL, run_putter, &putters[i]),
				 0);
	}
	while (taken < PUTTERS * ROUNDS) {
		uint64_t number = take(inbox);

		if (number != UINT64_MAX) {
			assert_int_equal(number / PUTTERS, next[number % PUTTERS]++);
			taken++;
		} else if (inbox_may_sleep(inbox)) {
			slept++;
			/* A putter takes the flag down when it wakes. */
			while (__atomic_load_n(&inbox->sleeps, __ATOMIC_SEQ_CST) != 0)
				sched_yield();
		}
	}
	for (int i = 0; i < PUTTERS; i++) {
		pthread_join(putters[i].thread, NULL);
		woken += putters[i].wakes;
	}
	/* More wake-ups than sleeps: one came when the taker had just seen the frame. */
	assert_in_range(woken, slept, PUTTERS * ROUNDS);
	assert_true(take(inbox) == UINT64_MAX);
}

struct partner {
	pthread_t thread;
	struct inbox *inbox;
	uint64_t taken;	 /* frames that the taker has got */
	uint64_t looked; /* frames after which the putter has looked whether to wake */
};

static void *run_partner(void *argument)
{
	struct partner *partner = argument;

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		while (__atomic_load_n(&partner->taken, __ATOMIC_ACQUIRE) < i - 1)
			;
		if (!put(partner->inbox, i))
			abort();
		inbox_must_wake(partner->inbox);
		__atomic_store_n(&partner->looked, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* One frame at a time, so that no later one makes up for a wake-up that is lost: whoever still
 * sleeps when the putter has looked was not seen by it. */
static void test_no_wake_is_lost(void **state)
{
	struct partner partner = { .inbox = *state };
	uint64_t lost = 0;

#ifdef FLUXPIN_EMULATED
	/* Two threads that each do "stlr x; ldar y", crosswise, miss each other under qemu-aarch64
	 * 7.2 in 1 to 4 % of rounds, which the architecture forbids; never with "dmb ish". */
	print_message("skipped: the emulator lets a load-acquire pass an earlier store-release\n");
	skip();
#endif
	assert_int_equal(pthread_create(&partner.thread, NULL, run_partner, &partner), 0);
	for (uint64_t i = 1; i <= ROUNDS;) {
		if (take(*state) == UINT64_MAX) {
			if (!inbox_may_sleep(*state))
				continue;
			while (__atomic_load_n(&partner.inbox->sleeps, __ATOMIC_SEQ_CST) != 0) {
				if (__atomic_load_n(&partner.looked, __ATOMIC_ACQUIRE) < i)
					continue;
				lost += __atomic_load_n(&partner.inbox->sleeps, __ATOMIC_SEQ_CST) !=
					0;
				inbox_awake(*state);
			}
			continue;
		}
		__atomic_store_n(&partner.taken, i++, __ATOMIC_RELEASE);
	}
	pthread_join(partner.thread, NULL);
	assert_int_equal(lost, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_inbox, close_inbox)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order), TEST(test_too_long), TEST(test_reserve),
		TEST(test_sleep), TEST(test_threads),  TEST(test_no_wake_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
