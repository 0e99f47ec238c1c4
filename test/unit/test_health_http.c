/* SPDX-License-Identifier: BSD-2-Clause */
/* http probes: what is sent, what counts as good, and servers that misbehave. https is tested with
 * nginx in test/lab/test_health.py. */
#include "health_setup.h"

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nall is wel"

/* Probes a server until the state is known to be this one. */
static void check_server(struct server server, const char *check, enum health_state expected,
			 const char *error)
{
	struct checker checker;
	struct health_report report;

	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of("hash_seed = \"1\"; pools = ( { name = \"p\"; backends "
					   "= ( { address = \"10.0.0.1\"; } ); health_check = { "
					   "type = \"http\"; interval = \"300ms\"; timeout = "
					   "\"300ms\"; rise = 1; fall = 1; port = %u; initial = "
					   "\"%s\"; %s }; } );",
					   server.port, expected == HEALTH_UP ? "down" : "up",
					   check));
	run_until(&checker, checker_read(&checker, 0, 0).state == expected);
	report = checker_read(&checker, 0, 0);
	if (error == NULL)
		assert_null(report.error);
	else
		assert_string_equal(report.error, error);
	checker_close(&checker);
	server_stop(&server);
}

static void check_answer(const char *answer, enum manner manner, const char *check,
			 enum health_state expected, const char *error)
{
	check_server((struct server){ .answer = answer, .manner = manner }, check, expected, error);
}

static void test_request(void **state)
{
	struct server server = { .answer = OK_ANSWER };
	struct checker checker;
	char expected[512];

	(void)state;
	need_namespace();
	setenv("http_proxy", "http://10.0.0.9:1", 1);
	setenv("ALL_PROXY", "http://10.0.0.9:1", 1);
	server_start(&server, "10.0.0.1");
	checker_open(&checker);
	checker_configure(
		&checker,
		configuration_of(POOL_OF("10.0.0.1", "type = \"http\"; port = %u;"), server.port));
	run_probes(&checker, 0, 0, 2);
	snprintf(expected, sizeof(expected),
		 "GET / HTTP/1.1\r\nHost: 10.0.0.1:%u\r\nUser-Agent: fluxpin/" FLUXPIN_VERSION
		 "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		 server.port);
	assert_string_equal(server.request, expected);
	checker_configure(&checker, configuration_of(POOL_OF("10.0.0.1", "type = \"http\"; port = "
									 "%u; path = "
									 "\"/a/../b?c#d\"; host = "
									 "\"www.example.com\";"),
						     server.port));
	run_probes(&checker, 0, 0, 2);
	assert_non_null(strstr(server.request, "GET /a/../b?c#d HTTP/1.1\r\n"));
	assert_non_null(strstr(server.request, "\r\nHost: www.example.com\r\n"));
	assert_int_equal(checker_read(&checker, 0, 0).probes_bad, 0);
	assert_string_equal(output_of("awk '$4 == \"06\"' /proc/net/tcp | grep -c 0900000A"),
			    "0\n");
	checker_close(&checker);
	server_stop(&server);
}

static void test_statuses(void **state)
{
	(void)state;
	need_namespace();
	check_answer(OK_ANSWER, ANSWERS, "", HEALTH_UP, NULL);
	check_answer("HTTP/1.0 204 None\r\n\r\n", ANSWERS, "", HEALTH_UP, NULL);
	/* Not followed: there is nothing at that address. */
	check_answer("HTTP/1.1 302 Found\r\nLocation: http://10.0.0.9:1/\r\nContent-Length: "
		     "0\r\n\r\n",
		     ANSWERS, "", HEALTH_UP, NULL);
	check_answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", ANSWERS, "", HEALTH_DOWN,
		     "HTTP status 503, expected 200-399");
	check_answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", ANSWERS,
		     "status = ( \"500-510\" );", HEALTH_UP, NULL);
	check_answer(OK_ANSWER, ANSWERS, "status = ( 201, \"300-302\", 500 );", HEALTH_DOWN,
		     "HTTP status 200, expected 201, 300-302, 500");
}

static void test_body(void **state)
{
	(void)state;
	need_namespace();
	check_answer(OK_ANSWER, ANSWERS, "body = \"is wel\";", HEALTH_UP, NULL);
	check_answer(OK_ANSWER, ANSWERS, "body = \"is well\";", HEALTH_DOWN,
		     "the body lacks \"is well\"");
	/* Of the headers nothing is the body's. */
	check_answer(OK_ANSWER, ANSWERS, "body = \"OK\";", HEALTH_DOWN, "the body lacks \"OK\"");
	check_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n is "
		     "w\r\n3\r\nell\r\n0\r\n\r\n",
		     ANSWERS, "body = \"all is well\";", HEALTH_UP, NULL);
}

/* Nothing that a server sends costs more than 64 KiB, or more time than the timeout. */
static void test_endless(void **state)
{
	static char body[20000];
	struct server server = { .begin = "HTTP/1.1 200 OK\r\n",
				 .answer = "X-Long: 0123456789\r\n",
				 .manner = ENDLESS };

	(void)state;
	need_namespace();
	check_server(server, "", HEALTH_DOWN, "more than 64 KiB of headers");
	check_answer("HTTP/1.1 100 Continue\r\n\r\n", ENDLESS, "", HEALTH_DOWN,
		     "more than 64 KiB of headers");
	memset(body, 'x', sizeof(body) - 1);
	body[0] = 'a';
	body[sizeof(body) - 2] = 'z';
	server.begin = "HTTP/1.1 200 OK\r\n\r\n";
	server.answer = body;
	check_server(server, "", HEALTH_UP, NULL);
	check_server(server, "body = \"xzax\";", HEALTH_UP, NULL);
	check_server(server, "body = \"axz\";", HEALTH_DOWN,
		     "the first 64 KiB of the body lacks \"axz\"");
}

static void test_broken(void **state)
{
	(void)state;
	need_namespace();
	check_answer("", SILENT, "", HEALTH_DOWN, "no answer within 300ms");
	check_answer("", ANSWERS, "", HEALTH_DOWN, "the connection was closed without an answer");
	check_answer("", CLOSES, "", HEALTH_DOWN, "the connection was closed without an answer");
	check_answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ANSWERS, "", HEALTH_DOWN,
		     "the connection was closed in mid-answer");
	check_answer("SSH-2.0-OpenSSH_9.2p1\r\n", ANSWERS, "", HEALTH_DOWN,
		     "the answer is not HTTP/1");
	check_answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nall is wel", SILENT, "",
		     HEALTH_DOWN, "no answer within 300ms");
}

static void test_not_listening(void **state)
{
	struct checker checker;

	(void)state;
	need_namespace();
	checker_open(&checker);
	checker_configure(&checker,
			  configuration_of(POOL_OF("10.0.0.1", "type = \"http\"; port = 1;")));
	run_until(&checker, checker_read(&checker, 0, 0).state == HEALTH_DOWN);
	assert_string_equal(checker_read(&checker, 0, 0).error, "connection refused");
	checker_close(&checker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_request, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_statuses, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_body, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_endless, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_broken, health_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_not_listening, health_enter, namespace_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
