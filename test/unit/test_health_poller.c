/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors whose numbers are used again, as those of probes are all the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/control/health_internal.h"

struct fixture {
	uv_loop_t loop;
	struct poller poller;
	int first[2]; /* socket pairs: the poller has their [0] */
	int second[2];
	int quiet[2];
	uint32_t stale;
	uint32_t ready;
};

static void on_closed(uv_handle_t *handle)
{
	(void)handle;
}

static void on_quiet(void *context, int descriptor, uint32_t events)
{
	struct fixture *fixture = context;

	(void)descriptor;
	(void)events;
	fixture->stale++;
}

/* Both are ready in one batch: the one that is served first closes the other, whose number goes to
 * a socket that has nothing to say. */
static void on_ready(void *context, int descriptor, uint32_t events)
{
	struct fixture *fixture = context;
	int other = descriptor == fixture->first[0] ? fixture->second[0] : fixture->first[0];
	char byte;

	(void)events;
	fixture->ready++;
	assert_int_equal(read(descriptor, &byte, 1), 1);
	poller_forget(&fixture->poller, other);
	assert_int_equal(dup2(fixture->quiet[0], other), other);
	assert_int_equal(poller_watch(&fixture->poller, other, EPOLLIN, on_quiet, context), 0);
}

static void test_a_stale_event_is_nobodys(void **state)
{
	struct fixture fixture = { 0 };
	int *pairs[] = { fixture.first, fixture.second, fixture.quiet };

	(void)state;
	assert_int_equal(uv_loop_init(&fixture.loop), 0);
	assert_int_equal(poller_open(&fixture.poller, &fixture.loop), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(write(pairs[i][1], "x", 1), 1);
		assert_int_equal(
			poller_watch(&fixture.poller, pairs[i][0], EPOLLIN, on_ready, &fixture), 0);
	}
	uv_run(&fixture.loop, UV_RUN_ONCE);
	uv_run(&fixture.loop, UV_RUN_NOWAIT);
	assert_int_equal(fixture.ready, 1);
	assert_int_equal(fixture.stale, 0);
	/* The one that has the number now is served. */
	assert_int_equal(write(fixture.quiet[1], "x", 1), 1);
	uv_run(&fixture.loop, UV_RUN_ONCE);
	assert_int_equal(fixture.stale, 1);
	poller_close(&fixture.poller, on_closed);
	uv_run(&fixture.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture.loop), 0);
	for (int i = 0; i < 3; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stale_event_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
