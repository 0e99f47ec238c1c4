/* SPDX-License-Identifier: BSD-2-Clause */
/* The checker: which probers there are, what a change of the configuration does, and tcp and udp
 * probes. */
#include "health_setup.h"

#include <fluxpin/clock.h>

#include <sys/resource.h>

#include "../../src/control/health_internal.h"

/* The state of 10.0.0.1 in the pool, reached with so many changes told. */
static void expect_state(struct checker *checker, enum health_state expected)
{
	run_until(checker, checker_read(checker, 0, 0).state == expected);
}

/* The probes before may have failed for another reason: on a busy machine for being late. */
static void expect_error(struct checker *checker, const char *expected)
{
	struct health_report report;

	run_until(checker, (report = checker_read(checker, 0, 0),
			    report.state == HEALTH_DOWN && report.error != NULL &&
				    strcmp(report.error, expected) == 0));
}

static void test_tcp(void **state)
{
	struct server server = { .manner = CLOSES };
	struct checker checker;
	struct health_report report;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(
		&checker,
		configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = %u;"), server.port));
	report = checker_read(&checker, 0, 0);
	assert_int_equal(report.state, HEALTH_UP);
	assert_null(report.error);
	run_probes(&checker, 0, 0, 3);
	report = checker_read(&checker, 0, 0);
	assert_int_equal(report.state, HEALTH_UP);
	assert_true(report.latency_ns > 0);
	assert_int_equal(report.probes_bad, 0);
	assert_int_equal(checker.changes, 0);
	server_stop(&server);
	expect_error(&checker, "connection refused");
	assert_int_equal(checker.changes, 1);
	assert_int_equal(checker_read(&checker, 0, 0).flaps, 1);
	server_start(&server, "10.0.0.1");
	expect_state(&checker, HEALTH_UP);
	assert_int_equal(checker.changes, 2);
	assert_null(checker_read(&checker, 0, 0).error);
	/* Connections end by RST: none is left waiting. 06 is TIME_WAIT. */
	assert_string_equal(output_of("awk '$4 == \"06\"' /proc/net/tcp"), "");
	checker_close(&checker);
	server_stop(&server);
}

/* Open descriptors of this process. */
static int descriptors(void)
{
	int count = 0;

	for (int i = 0; i < 1024; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

/* A host that does not answer: a neighbour that is not there. */
static void test_tcp_timeout(void **state)
{
	struct checker checker;
	int count;

	(void)state;
	need_namespace();
	run("ip link add d0 type veth peer name d1 && ip addr add 192.0.2.1/24 dev d0 && ip link "
	    "set d0 up && ip link set d1 up && ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 "
	    "dev d0");
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("192.0.2.2", "type = \"tcp\"; port = 1;")));
	expect_error(&checker, "no answer within 20ms");
	count = descriptors();
	run_probes(&checker, 0, 0, 10);
	/* One may be under way, at either time. */
	assert_in_range(descriptors(), count - 1, count + 1);
	checker_configure(&checker,
			  configuration_of(POOL_OF("198.51.100.1", "type = \"tcp\"; port = 1;")));
	expect_error(&checker, "network is unreachable");
	checker_close(&checker);
}

static void test_udp(void **state)
{
	struct server server = { .is_udp = true, .answer = "pong 1" };
	struct checker checker;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"udp\"; port = %u; send = "
							       "\"ping\"; expect = \"pong\"; "
							       "initial = \"down\";"),
					   server.port));
	expect_state(&checker, HEALTH_UP);
	assert_string_equal(server.request, "ping");
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"udp\"; port = %u; send = "
							       "\"ping\"; expect = \"pong 12\";"),
					   server.port));
	expect_error(&checker, "the answer does not begin as expected");
	/* Any answer. */
	checker_configure(&checker, configuration_of(POOL_OF("10.0.0.1", "type = \"udp\"; port = "
									 "%u; send = \"p\";"),
						     server.port));
	expect_state(&checker, HEALTH_UP);
	server.manner = SILENT;
	expect_error(&checker, "no answer within 20ms");
	server.manner = ANSWERS;
	expect_state(&checker, HEALTH_UP);
	server_stop(&server);
	/* By ICMP, at once. */
	expect_error(&checker, "connection refused");
	checker_close(&checker);
}

/* A server on the loop itself, which then holds the loop up: between its look at sockets and that
 * at timers, like a reload by the control socket. */
struct holder {
	uv_check_t handle;
	int socket;
	uint32_t held_up; /* times */
};

static void answer_and_hold_up(uv_check_t *handle)
{
	struct holder *holder = handle->data;
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	char request[16];

	if (recvfrom(holder->socket, request, sizeof(request), MSG_DONTWAIT,
		     (struct sockaddr *)&peer, &length) < 0)
		return;
	assert_int_equal(sendto(holder->socket, "pong", 4, 0, (struct sockaddr *)&peer, length), 4);
	pause_milliseconds(150);
	holder->held_up++;
}

/* What came while the loop was held up for longer than the timeout is taken all the same. */
static void test_held_up(void **state)
{
	struct holder holder = { .socket = socket(AF_INET, SOCK_DGRAM, 0) };
	struct sockaddr_storage own;
	socklen_t length = fill_own(&own, "10.0.0.1", 7);
	struct checker checker;

	(void)state;
	need_namespace();
	assert_int_equal(bind(holder.socket, (struct sockaddr *)&own, length), 0);
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of("hash_seed = \"1\"; pools = ( { name = \"p\"; backends "
					   "= ( { address = \"10.0.0.1\"; } ); health_check = { "
					   "type = \"udp\"; send = \"ping\"; expect = \"pong\"; "
					   "interval = \"100ms\"; timeout = \"100ms\"; rise = 1; "
					   "fall = 1; port = 7; }; } );"));
	uv_check_init(&checker.loop, &holder.handle);
	holder.handle.data = &holder;
	uv_check_start(&holder.handle, answer_and_hold_up);
	run_until(&checker, checker_read(&checker, 0, 0).probes_good == 3 ||
				    checker_read(&checker, 0, 0).probes_bad > 0);
	assert_int_equal(checker_read(&checker, 0, 0).probes_bad, 0);
	assert_true(holder.held_up >= 3);
	/* Only once a probe: a server that is silent is found out. */
	uv_check_stop(&holder.handle);
	run_until(&checker, checker_read(&checker, 0, 0).state == HEALTH_DOWN);
	uv_close((uv_handle_t *)&holder.handle, NULL);
	checker_close(&checker);
	close(holder.socket);
}

static void test_source(void **state)
{
	struct server server = { .manner = CLOSES };
	struct checker checker;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = %u; source "
							       "= \"10.9.8.7\";"),
					   server.port));
	run_until(&checker, server.connections > 0);
	assert_string_equal(server.peer, "10.9.8.7");
	checker_close(&checker);
	server_stop(&server);
}

/* What is this host's own fault says nothing about the backend. */
static void test_undecided(void **state)
{
	struct health_totals totals;
	struct checker checker;

	(void)state;
	need_namespace();
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = 1; source = "
							       "\"192.0.2.77\";")));
	run_until(&checker, (health_read_totals(checker.health, &totals), totals.undecided >= 5));
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
	assert_int_equal(checker_read(&checker, 0, 0).probes_bad, 0);
	assert_string_equal(checker_read(&checker, 0, 0).error, "cannot assign requested address");
	assert_int_equal(checker.changes, 0);
	checker_close(&checker);
}

struct host {
	bool is_cut_off;
	uint32_t asked;
	uint64_t since_ns;
	uint64_t good_ns;
};

static bool is_cut_off(void *context, const struct health_failure *failure, char *reason,
		       size_t size)
{
	struct host *host = context;

	assert_int_equal(failure->pool, 0);
	assert_int_equal(failure->backend, 0);
	host->asked++;
	host->since_ns = failure->since_ns;
	host->good_ns = failure->good_ns;
	snprintf(reason, size, "no way");
	return host->is_cut_off;
}

/* A way that this host lacks is no fault of the backend; good probes count all the same. */
static void test_a_host_without_a_way(void **state)
{
	struct server server = { .answer = "" };
	struct host host = { .is_cut_off = true };
	const struct health_host of_host = { .is_cut_off = is_cut_off, .context = &host };
	struct health_totals totals;
	struct checker checker;
	uint64_t bad;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	health_set_host(checker.health, &of_host);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = 1;")));
	run_until(&checker, (health_read_totals(checker.health, &totals), totals.undecided >= 5));
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
	assert_int_equal(checker_read(&checker, 0, 0).probes_bad, 0);
	assert_true(checker_read(&checker, 0, 0).is_suspended);
	assert_string_equal(checker_read(&checker, 0, 0).error, "no way");
	assert_int_equal(totals.suspended, 1);
	assert_string_equal(totals.reason, "no way");
	assert_int_equal(checker.changes, 0);
	/* From the probe's start on; none was good. */
	assert_in_range(host.since_ns, 1, clock_ns());
	assert_int_equal(host.good_ns, 0);
	/* Whoever asks again asks for now alone. */
	health_look_again(checker.health);
	assert_true(host.since_ns == UINT64_MAX);
	host.is_cut_off = false;
	health_look_again(checker.health);
	expect_error(&checker, "connection refused");
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_DOWN);
	assert_false(checker_read(&checker, 0, 0).is_suspended);
	health_read_totals(checker.health, &totals);
	assert_int_equal(totals.suspended, 0);
	assert_null(totals.reason);
	/* Nobody is asked about a probe that was answered in time. */
	checker_configure(
		&checker,
		configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = %u;"), server.port));
	run_until(&checker, checker_read(&checker, 0, 0).state == HEALTH_UP);
	host.asked = 0;
	bad = checker_read(&checker, 0, 0).probes_bad;
	run_probes(&checker, 0, 0, 5);
	assert_int_equal(host.asked, checker_read(&checker, 0, 0).probes_bad - bad);
	/* It is told when the backend last answered, also when it was asked otherwise then. */
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = 1;")));
	host.good_ns = 0;
	run_until(&checker, checker_read(&checker, 0, 0).probes_bad > 0);
	assert_in_range(host.good_ns, 1, clock_ns());
	checker_close(&checker);
	server_stop(&server);
}

/* Whose checks could not be sent is asked again within a timeout, and not only an interval later;
 * a probe that is under way then is given up. */
static void test_a_way_again(void **state)
{
	static const char *const pool =
		"hash_seed = \"1\"; pools = ( { name = \"p\"; backends = ( { address = "
		"\"10.0.0.1\"; } ); health_check = { type = \"http\"; port = %u; interval = "
		"\"%s\"; "
		"timeout = \"%s\"; }; } );";
	const uint64_t timeout_ns = 20000000;
	struct server server = { .manner = SILENT };
	struct host host = { .is_cut_off = true };
	const struct health_host of_host = { .is_cut_off = is_cut_off, .context = &host };
	struct health_totals totals;
	struct checker checker;
	struct prober *prober;
	uint64_t due_ns;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	health_set_host(checker.health, &of_host);
	/* Between two probes: there is no server at port 1. The second time as the first. */
	checker_configure(&checker, configuration_of(pool, 1, "1s", "20ms"));
	prober = checker.health->probers[0];
	for (int i = 0; i < 2; i++) {
		host.is_cut_off = true;
		run_until(&checker, checker_read(&checker, 0, 0).is_suspended);
		due_ns = prober->due_ns;
		health_look_again(checker.health);
		assert_true(prober->due_ns == due_ns);
		host.is_cut_off = false;
		health_look_again(checker.health);
		assert_in_range(prober->due_ns, 1, clock_ns() + timeout_ns);
		/* Not put off by each change after that. */
		due_ns = prober->due_ns;
		health_look_again(checker.health);
		assert_true(prober->due_ns == due_ns);
		run_until(&checker, !checker_read(&checker, 0, 0).is_suspended);
	}
	/* While one is under way: the server says nothing. */
	host.is_cut_off = true;
	checker_configure(&checker, configuration_of(pool, server.port, "200ms", "200ms"));
	run_until(&checker, checker_read(&checker, 0, 0).is_suspended);
	run_until(&checker, (health_read_totals(checker.health, &totals), totals.under_way == 1));
	host.is_cut_off = false;
	health_look_again(checker.health);
	health_read_totals(checker.health, &totals);
	assert_int_equal(totals.under_way, 0);
	run_probes(&checker, 0, 0, 1);
	expect_error(&checker, "no answer within 200ms");
	/* And a check that goes is suspended no more. */
	host.is_cut_off = true;
	run_until(&checker, checker_read(&checker, 0, 0).is_suspended);
	checker_configure(&checker, configuration_of("hash_seed = \"1\";"));
	health_read_totals(checker.health, &totals);
	assert_int_equal(totals.suspended, 0);
	assert_int_equal(checker.health->cut_off, 0);
	checker_close(&checker);
	server_stop(&server);
}

static void test_no_descriptors(void **state)
{
	struct rlimit limit, none;
	struct health_totals totals;
	struct checker checker;

	(void)state;
	need_namespace();
	checker_open(&checker);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int http = 0; http < 2; http++) {
		uint64_t before;

		checker_configure(&checker, configuration_of(POOL_OF("10.0.0.1", "type = \"%s\"; "
										 "port = 1;"),
							     http ? "http" : "tcp"));
		none = limit;
		none.rlim_cur = 3;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		health_read_totals(checker.health, &totals);
		before = totals.undecided;
		run_until(&checker, (health_read_totals(checker.health, &totals),
				     totals.undecided >= before + 3));
		assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
		assert_string_equal(checker_read(&checker, 0, 0).error, "too many open files");
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		expect_error(&checker, "connection refused");
		checker_configure(&checker, configuration_of("hash_seed = \"1\";"));
	}
	checker_close(&checker);
}

#define THREE_POOLS                                                                             \
	"hash_seed = \"1\"; pools = ("                                                          \
	"{ name = \"a\"; backends = ( { address = \"10.0.0.1\"; }, { address = \"10.0.0.2\"; }" \
	" ); health_check = { type = \"tcp\"; port = %u; interval = \"20ms\"; rise = 2; }; },"  \
	"{ name = \"b\"; backends = ( { address = \"10.0.0.3\"; }, { address = \"10.0.0.1\"; }" \
	" ); health_check = { rise = %u; interval = \"20ms\"; port = %u; type = \"tcp\"; }; }," \
	"{ name = \"c\"; backends = ( { address = \"10.0.0.1\"; } ); } );"

static uint32_t probers_of(const struct checker *checker)
{
	struct health_totals totals;

	health_read_totals(checker->health, &totals);
	return totals.probers;
}

static void test_one_prober_for_many_pools(void **state)
{
	struct server server = { .manner = CLOSES };
	struct checker checker;
	struct health_report a, b;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(&checker, configuration_of(THREE_POOLS, server.port, 2, server.port));
	assert_int_equal(probers_of(&checker), 3);
	assert_int_equal(checker_read(&checker, 2, 0).state, HEALTH_UNCHECKED);
	run_probes(&checker, 1, 1, 5);
	a = checker_read(&checker, 0, 0);
	b = checker_read(&checker, 1, 1);
	assert_int_equal(a.probes_good, b.probes_good);
	assert_int_equal(a.since_ns, b.since_ns);
	run_until(&checker, checker_read(&checker, 0, 1).state == HEALTH_DOWN);
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
	/* Another rise or port is another check. */
	checker_configure(&checker, configuration_of(THREE_POOLS, server.port, 3, server.port));
	assert_int_equal(probers_of(&checker), 4);
	checker_configure(&checker, configuration_of(THREE_POOLS, server.port, 2, 1));
	assert_int_equal(probers_of(&checker), 4);
	checker_configure(&checker, configuration_of(THREE_POOLS, server.port, 2, server.port));
	assert_int_equal(probers_of(&checker), 3);
	checker_close(&checker);
	server_stop(&server);
}

/* The same check and address: state, counters and rhythm stay, wherever the backend stands now. */
static void test_reload_keeps(void **state)
{
	struct checker checker;
	struct health_report before, after;

	(void)state;
	need_namespace();
	checker_open(&checker);
	checker_configure(&checker, configuration_of(THREE_POOLS, 1, 2, 1));
	run_until(&checker, checker_read(&checker, 0, 0).state == HEALTH_DOWN);
	before = checker_read(&checker, 0, 0);
	checker.changes = 0;
	checker_configure(&checker, configuration_of("hash_seed = \"1\"; pools = ( { name = \"z\"; "
						     "backends = ( { address = \"10.0.0.9\"; }, { "
						     "address = \"10.0.0.1\"; } ); health_check = "
						     "{ type = \"tcp\"; port = 1; interval = "
						     "\"20ms\"; }; } );"));
	after = checker_read(&checker, 0, 1);
	assert_int_equal(after.state, HEALTH_DOWN);
	assert_int_equal(after.since_ns, before.since_ns);
	assert_int_equal(after.probes_bad, before.probes_bad);
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
	assert_int_equal(checker.changes, 0);
	assert_int_equal(probers_of(&checker), 2);
	run_probes(&checker, 0, 1, 1);
	checker_close(&checker);
}

/* A backend whose check changed begins as it was: what is down stays down until it answers. */
static void test_reload_inherits(void **state)
{
	struct server server = { .manner = CLOSES };
	struct checker checker;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = 1;")));
	expect_state(&checker, HEALTH_DOWN);
	checker_configure(&checker, configuration_of(POOL_OF("10.0.0.1", "type = \"http\"; port = "
									 "1; initial = \"up\";")));
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_DOWN);
	assert_int_equal(checker_read(&checker, 0, 0).probes_bad, 0);
	checker_configure(
		&checker,
		configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = %u;"), server.port));
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_DOWN);
	expect_state(&checker, HEALTH_UP);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = %u; initial "
							       "= \"down\"; host = \"\\x61\";"),
					   server.port));
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
	/* Nothing is known of another address. */
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.2", "type = \"tcp\"; port = %u; initial "
							       "= \"down\";"),
					   server.port));
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_DOWN);
	checker_close(&checker);
	server_stop(&server);
}

/* A file that is not there: everything stays as it was. */
static void test_refused_configuration(void **state)
{
	struct server server = { .manner = CLOSES };
	struct configuration *bad;
	struct checker checker;
	uint64_t good;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(
		&checker,
		configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = %u;"), server.port));
	run_until(&checker, checker_read(&checker, 0, 0).probes_good > 0);
	bad = configuration_of(POOL_OF("10.0.0.1", "type = \"https\"; port = %u; ca_file = "
						   "\"/nonexistent\";"),
			       server.port);
	assert_int_equal(health_configure(checker.health, bad), -ENOENT);
	configuration_release(bad);
	assert_int_equal(probers_of(&checker), 1);
	good = checker_read(&checker, 0, 0).probes_good;
	assert_true(good > 0);
	run_until(&checker, checker_read(&checker, 0, 0).probes_good > good);
	assert_int_equal(checker_read(&checker, 0, 0).state, HEALTH_UP);
	assert_int_equal(checker_read(&checker, 0, 0).flaps, 0);
	checker_close(&checker);
	server_stop(&server);
}

/* A plan tells how backends will begin; one that is given up leaves no trace. */
static void test_a_plan_that_is_given_up(void **state)
{
	struct server server = { .manner = CLOSES };
	struct configuration *other;
	struct health_report before, after;
	struct health_plan *plan;
	struct checker checker;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"tcp\"; port = 1;")));
	expect_state(&checker, HEALTH_DOWN);
	/* Of four: one that keeps its check, one whose check changes, one that is new, one without.
	 */
	other = configuration_of(
		"hash_seed = \"1\"; pools = ("
		"{ name = \"a\"; health_check = { type = \"tcp\"; port = %u; initial = \"up\"; };"
		"  backends = ( { address = \"10.0.0.1\"; } ); },"
		"{ name = \"b\"; health_check = { type = \"http\"; port = 1; initial = \"down\"; };"
		"  backends = ( { address = \"10.0.0.2\"; } ); },"
		"{ name = \"c\"; backends = ( { address = \"10.0.0.3\"; } ); } );",
		server.port);
	for (int committed = 0; committed < 2; committed++) {
		before = checker_read(&checker, 0, 0);
		assert_int_equal(health_prepare(checker.health, other, &plan), 0);
		assert_int_equal(health_plan_read(plan, 0, 0), HEALTH_DOWN);
		assert_int_equal(health_plan_read(plan, 1, 0), HEALTH_DOWN);
		assert_int_equal(health_plan_read(plan, 2, 0), HEALTH_UNCHECKED);
		assert_int_equal(probers_of(&checker), 1);
		if (committed) {
			health_commit(plan);
			continue;
		}
		health_abandon(plan);
		after = checker_read(&checker, 0, 0);
		assert_int_equal(after.state, HEALTH_DOWN);
		assert_int_equal(after.probes_bad, before.probes_bad);
		assert_int_equal(after.since_ns, before.since_ns);
		assert_int_equal(after.flaps, 1);
		assert_int_equal(probers_of(&checker), 1);
		/* And it goes on. */
		run_probes(&checker, 0, 0, 2);
		assert_int_equal(server.connections, 0);
	}
	configuration_release(checker.configuration);
	checker.configuration = other;
	assert_int_equal(probers_of(&checker), 2);
	expect_state(&checker, HEALTH_UP);
	checker_close(&checker);
	server_stop(&server);
}

/* Configurations come and go while probes are under way; the sanitizers see what is left behind. */
static void test_changes_under_way(void **state)
{
	static const char *const types[] = { "tcp", "http", "https" };
	struct server server = { .manner = SILENT };
	struct checker checker;

	(void)state;
	need_namespace();
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	for (int i = 0; i < 60; i++) {
		checker_configure(&checker,
				  configuration_of(POOL_OF("10.0.0.1", "type = \"%s\"; port = %u; "
								       "insecure = true;"),
						   types[i % 3], server.port));
		for (int j = 0; j < 3; j++)
			uv_run(&checker.loop, UV_RUN_ONCE);
	}
	checker_close(&checker);
	server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tcp, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_tcp_timeout, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_udp, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_held_up, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_source, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_a_host_without_a_way, health_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_a_way_again, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_undecided, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_no_descriptors, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_one_prober_for_many_pools, health_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_reload_keeps, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_reload_inherits, health_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_changes_under_way, health_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_a_plan_that_is_given_up, health_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_refused_configuration, health_enter,
						namespace_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
