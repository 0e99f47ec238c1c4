/* SPDX-License-Identifier: BSD-2-Clause */
/* Announced prefixes as ip(8) shows them, in a network namespace of the test's own. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <fluxpin/announce.h>

#include "namespace.h"

#define TABLE_NUMBER 179
#define TABLE	     "179"
#define LIST	     "ip route show table " TABLE "; ip -6 route show table " TABLE " 2>/dev/null"

#define ROUTE_1	   "blackhole 203.0.113.1 proto 213 metric 213 \n"
#define ROUTE_2	   "blackhole 203.0.113.2 proto 213 metric 213 \n"
#define ROUTE_NET  "blackhole 198.51.100.0/24 proto 213 metric 213 \n"
#define ROUTE_IPV6 "blackhole 2001:db8::1 dev lo proto 213 metric 213 pref medium\n"

static struct prefix prefix(const char *text)
{
	struct prefix result;

	assert_int_equal(prefix_parse(text, &result), 0);
	return result;
}

/* With more than one of them: 203.0.113.1, 203.0.113.2, 198.51.100.0/24, 2001:db8::1. */
static struct announce *open_with(uint32_t count)
{
	const struct prefix prefixes[] = { prefix("203.0.113.1"), prefix("203.0.113.2"),
					   prefix("198.51.100.0/24"), prefix("2001:db8::1") };
	struct announce *announce;

	assert_int_equal(announce_open(TABLE_NUMBER, &announce), 0);
	assert_int_equal(announce_set(announce, prefixes, count), 0);
	return announce;
}

static void wait_for(const char *command, const char *expected)
{
	uint64_t end = milliseconds() + 5000;

	while (strcmp(output_of(command), expected) != 0 && milliseconds() < end)
		pause_milliseconds(5);
	assert_string_equal(output_of(command), expected);
}

static void test_routes_are_what_is_asked_for(void **state)
{
	const struct prefix two = prefix("203.0.113.2");
	struct announce *announce;

	(void)state;
	need_namespace();
	announce = open_with(4);
	assert_string_equal(output_of(LIST), ROUTE_NET ROUTE_1 ROUTE_2 ROUTE_IPV6);
	assert_int_equal(announce_count(announce), 4);
	assert_true(announce_has(announce, &two));
	assert_int_equal(announce_set(announce, &two, 1), 0);
	assert_string_equal(output_of(LIST), ROUTE_2);
	assert_int_equal(announce_count(announce), 1);
	announce_withdraw(announce);
	assert_string_equal(output_of(LIST), "");
	assert_false(announce_has(announce, &two));
	assert_int_equal(announce_set(announce, &two, 1), 0);
	assert_string_equal(output_of(LIST), ROUTE_2);
	/* No rule leads there: the host's own way is as it was. */
	assert_string_equal(output_of("ip route get 203.0.113.2 2>&1"),
			    "RTNETLINK answers: Network is unreachable\n");
	announce_close(announce);
	assert_string_equal(output_of(LIST), "");
}

static void test_what_others_remove_is_put_back(void **state)
{
	struct announce *announce;

	(void)state;
	need_namespace();
	announce = open_with(4);
	run("ip route flush table " TABLE);
	run("ip -6 route flush table " TABLE);
	assert_int_equal(announce_drain(announce), 0);
	assert_string_equal(output_of(LIST), ROUTE_NET ROUTE_1 ROUTE_2 ROUTE_IPV6);
	/* Its own withdrawals and additions, all in what is read then, are no removals. */
	announce_withdraw(announce);
	assert_int_equal(announce_drain(announce), 0);
	assert_string_equal(output_of(LIST), "");
	announce_close(announce);
}

static void test_refresh_mends_what_was_not_reported(void **state)
{
	const struct prefix wide = prefix("198.51.100.0/24");
	struct announce *announce;

	(void)state;
	need_namespace();
	announce = open_with(2);
	/* One of somebody else that is in the way, and one that looks like ours. */
	run("ip route add unreachable 198.51.100.0/24 proto 98 metric 213 table " TABLE);
	run("ip route add blackhole 192.0.2.1 proto 213 metric 213 table " TABLE);
	announce_refresh(announce);
	assert_string_equal(output_of(LIST),
			    "unreachable 198.51.100.0/24 proto 98 metric 213 \n" ROUTE_1 ROUTE_2);
	assert_int_equal(announce_set(announce, &wide, 1), 0);
	assert_false(announce_has(announce, &wide));
	run("ip route del unreachable 198.51.100.0/24 table " TABLE);
	announce_refresh(announce);
	assert_string_equal(output_of(LIST), ROUTE_NET);
	assert_true(announce_has(announce, &wide));
	announce_close(announce);
}

/* What is written to standard error meanwhile goes to a file. */
static int capture_errors(int *own)
{
	int file = memfd_create("errors", MFD_CLOEXEC);

	*own = dup(STDERR_FILENO);
	assert_true(file >= 0 && *own >= 0);
	assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
	return file;
}

static uint32_t count_captured(int file, int own, const char *words)
{
	char text[65536] = "";
	uint32_t count = 0;

	assert_int_equal(dup2(own, STDERR_FILENO), STDERR_FILENO);
	close(own);
	assert_true(pread(file, text, sizeof(text) - 1, 0) >= 0);
	close(file);
	for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words))
		count++;
	return count;
}

/* The daemon drains ten times a second: what stays as it is, is told once and not tried so often.
 */
static void test_what_is_in_the_way_is_told_once(void **state)
{
	const struct prefix wide = prefix("198.51.100.0/24");
	struct announce *announce;
	int file, own;

	(void)state;
	need_namespace();
	announce = open_with(0);
	run("ip route add unreachable 198.51.100.0/24 proto 98 metric 213 table " TABLE);
	file = capture_errors(&own);
	assert_int_equal(announce_set(announce, &wide, 1), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(announce_drain(announce), 0);
	announce_refresh(announce);
	assert_int_equal(count_captured(file, own, "is in the way"), 1);
	assert_false(announce_has(announce, &wide));
	run("ip route del unreachable 198.51.100.0/24 table " TABLE);
	announce_refresh(announce);
	assert_string_equal(output_of(LIST), ROUTE_NET);
	announce_close(announce);
}

static void test_leftovers_go_and_nothing_else(void **state)
{
	const char *others = "default dev lo proto 213 scope link metric 213 \n"
			     "blackhole 192.0.2.2 proto 213 \n"
			     "blackhole 192.0.2.3 proto bird metric 213 \n";
	struct announce *announce;
	uint32_t removed = 99;

	(void)state;
	need_namespace();
	run("ip route add default dev lo proto 213 metric 213 table " TABLE);
	run("ip route add blackhole 192.0.2.2 proto 213 table " TABLE);
	run("ip route add blackhole 192.0.2.3 proto 12 metric 213 table " TABLE);
	run("ip route add blackhole 192.0.2.4 proto 213 metric 213 table 180");
	run("ip route add blackhole 192.0.2.1 proto 213 metric 213 table " TABLE);
	run("ip -6 route add blackhole 2001:db8::9 proto 213 metric 213 table " TABLE);
	announce = open_with(0);
	assert_string_equal(output_of("ip route show table " TABLE), others);
	assert_string_equal(output_of("ip route show table 180"),
			    "blackhole 192.0.2.4 proto 213 metric 213 \n");
	assert_int_equal(announce_remove_leftovers(TABLE_NUMBER, &removed), -EBUSY);
	announce_close(announce);
	assert_int_equal(announce_remove_leftovers(180, &removed), 0);
	assert_int_equal(removed, 1);
	assert_string_equal(output_of("ip route show table 180"), "");
}

static void test_a_table_belongs_to_one(void **state)
{
	struct announce *first, *second = NULL;

	(void)state;
	need_namespace();
	first = open_with(1);
	assert_int_equal(announce_open(TABLE_NUMBER, &second), -EBUSY);
	assert_null(second);
	assert_int_equal(announce_open(4000000, &second), 0);
	assert_int_equal(announce_set(second, &(struct prefix){ .length = 0 }, 1), 0);
	assert_string_equal(output_of("ip -6 route show table 4000000"),
			    "blackhole default dev lo proto 213 metric 213 pref medium\n");
	announce_close(second);
	assert_string_equal(output_of(LIST), ROUTE_1);
	announce_close(first);
}

/* A process that announces, told by a byte, and then sleeps until it is killed. */
static pid_t start_announcer(void)
{
	int ready[2];
	char byte;
	pid_t process;

	assert_int_equal(pipe(ready), 0);
	process = fork();
	if (process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		open_with(2);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return process;
}

static void test_a_process_that_is_killed_leaves_nothing(void **state)
{
	pid_t process;

	(void)state;
	need_namespace();
	process = start_announcer();
	assert_string_equal(output_of(LIST), ROUTE_1 ROUTE_2);
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
	wait_for(LIST, "");
}

/* A process that is killed closes its descriptors one by one: the pipe may go before the lock. */
static void test_a_guard_waits_for_the_lock(void **state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
	int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "fluxpin/announce/%s",
			      TABLE);
	pid_t guard;

	(void)state;
	need_namespace();
	run("ip route add blackhole 203.0.113.1 proto 213 metric 213 table " TABLE);
	assert_int_equal(
		bind(lock, (struct sockaddr *)&name,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)),
		0);
	guard = fork();
	if (guard == 0) {
		close(lock);
		if (freopen("/dev/null", "r", stdin) == NULL)
			_exit(1);
		_exit(announce_guard(TABLE_NUMBER) == 0 ? 0 : 1);
	}
	pause_milliseconds(100);
	assert_string_equal(output_of(LIST), ROUTE_1);
	close(lock);
	assert_int_equal(waitpid(guard, &status, 0), guard);
	assert_int_equal(status, 0);
	assert_string_equal(output_of(LIST), "");
}

static void test_a_guard_that_is_gone_is_replaced(void **state)
{
	struct announce *announce;
	char command[128];
	pid_t process;

	(void)state;
	need_namespace();
	/* With it both are gone: what is left goes when the next one comes. */
	process = start_announcer();
	run("kill -KILL $(pgrep -P %d -f '^fluxpin announce')", process);
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
	announce = open_with(1);
	assert_string_equal(output_of(LIST), ROUTE_1);
	run("kill -KILL $(pgrep -P %d -f '^fluxpin announce')", getpid());
	snprintf(command, sizeof(command), "pgrep -r Z -c -P %d", getpid());
	wait_for(command, "1\n");
	announce_refresh(announce);
	snprintf(command, sizeof(command), "pgrep -c -P %d -f '^fluxpin announce'", getpid());
	wait_for(command, "1\n");
	announce_close(announce);
	wait_for(command, "0\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, namespace_enter, namespace_leave)
		TEST(test_routes_are_what_is_asked_for),
		TEST(test_what_others_remove_is_put_back),
		TEST(test_refresh_mends_what_was_not_reported),
		TEST(test_what_is_in_the_way_is_told_once),
		TEST(test_leftovers_go_and_nothing_else),
		TEST(test_a_table_belongs_to_one),
		TEST(test_a_process_that_is_killed_leaves_nothing),
		TEST(test_a_guard_waits_for_the_lock),
		TEST(test_a_guard_that_is_gone_is_replaced),
#undef TEST
	};

	/* The guard is this very program, started again as "announce --guard --table N". */
	if (argc == 5 && strcmp(argv[1], "announce") == 0)
		return announce_guard((uint32_t)atoi(argv[4])) == 0 ? 0 : 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
