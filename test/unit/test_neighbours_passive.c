/* SPDX-License-Identifier: BSD-2-Clause */
/* Who only looks leaves the kernel's neighbours as they are. */
#include "neighbours_setup.h"

/* Asks again whenever something changed, until the state is there. */
static struct next_hop await_passive(struct neighbours *neighbours, const char *destination)
{
	struct next_hop next_hop = await(neighbours, destination, NEXT_HOP_RESOLVED, 5000);

	assert_int_equal(next_hop.mac[5], 1);
	return next_hop;
}

static void test_unknown_neighbours_are_asked_for_once(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	assert_int_equal(neighbours_open_passive(&neighbours), 0);
	await_passive(neighbours, "10.0.0.1");
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "lladdr"));
	assert_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	assert_null(strstr(neighbour_shown("10.0.0.1"), "proto"));
	await_passive(neighbours, "fd00::1");
	assert_null(strstr(neighbour_shown("fd00::1"), "managed"));
	neighbours_close(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "lladdr"));
}

static void test_managed_entries_of_another_process_stay(void **state)
{
	struct neighbours *daemon = NULL, *neighbours;

	(void)state;
	need_namespace();
	make_network();
	daemon = open_neighbours();
	neighbours_begin_round(daemon);
	await(daemon, "10.0.0.1", NEXT_HOP_RESOLVED, 5000);
	neighbours_end_round(daemon);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	assert_int_equal(neighbours_open_passive(&neighbours), 0);
	await_passive(neighbours, "10.0.0.1");
	neighbours_close(neighbours);
	assert_non_null(strstr(neighbour_shown("10.0.0.1"), "managed"));
	neighbours_close(daemon);
	assert_string_equal(neighbour_shown("10.0.0.1"), "");
}

static void test_failed_entries_are_asked_for_again(void **state)
{
	struct neighbours *neighbours;

	(void)state;
	need_namespace();
	make_network();
	run("ip neigh replace 10.0.0.1 dev e0 nud failed");
	assert_int_equal(neighbours_open_passive(&neighbours), 0);
	await_passive(neighbours, "10.0.0.1");
	neighbours_close(neighbours);
}

#define IN_NETWORK(function) \
	cmocka_unit_test_setup_teardown(function, namespace_enter_with_peer, namespace_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_NETWORK(test_unknown_neighbours_are_asked_for_once),
		IN_NETWORK(test_managed_entries_of_another_process_stay),
		IN_NETWORK(test_failed_entries_are_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
