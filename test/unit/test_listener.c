/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP listener against clients of all kinds, in a network of the test's own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "namespace.h"

#include <fluxpin/listener.h>

#define PORT	   9105
#define LARGE_SIZE (24u << 20) /* more than both sockets of a connection buffer */
#define PATIENCE   60000       /* milliseconds, for what takes none */

static uv_loop_t loop;
static struct listener *listener;
static uint32_t rendered; /* how often */
static size_t text_size;
static const char *trouble; /* NULL: healthy */

static int render(const void *context, char **text, size_t *length)
{
	assert_ptr_equal(context, &loop);
	if (text_size == 0)
		return -ENOMEM;
	*text = malloc(text_size);
	assert_non_null(*text);
	memset(*text, 'm', text_size);
	*length = text_size;
	rendered++;
	return 0;
}

static bool is_healthy(const void *context, char reason[static LISTENER_REASON_SIZE])
{
	assert_ptr_equal(context, &loop);
	if (trouble != NULL)
		snprintf(reason, LISTENER_REASON_SIZE, "%s", trouble);
	return trouble == NULL;
}

static struct listen_address ipv4(uint16_t port)
{
	return (struct listen_address){ address_from_ipv4(htonl(INADDR_LOOPBACK)), port };
}

static void start(uint64_t deadline_ms)
{
	const struct listener_options options = { .loop = &loop,
						  .deadline_ms = deadline_ms,
						  .context = &loop,
						  .render = render,
						  .is_healthy = is_healthy };
	const struct listen_address where = ipv4(PORT);

	rendered = 0;
	text_size = 8;
	trouble = NULL;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(listener_open(&options, &listener), 0);
	assert_int_equal(listener_listen(listener, &where), 0);
}

static void finish(void)
{
	listener_close(listener);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static int connect_to(uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(client >= 0);
	if (connect(client, (const struct sockaddr *)&address, sizeof(address)) != 0 &&
	    errno != EINPROGRESS) {
		close(client);
		return -1;
	}
	return client;
}

static bool is_listening(uint16_t port)
{
	int client = connect_to(port), error = 0;
	struct pollfd connected = { client, POLLOUT, 0 };
	socklen_t length = sizeof(error);

	if (client < 0)
		return false;
	assert_int_equal(poll(&connected, 1, PATIENCE), 1);
	assert_int_equal(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	close(client);
	return error == 0;
}

static void send_text(int client, const char *text)
{
	struct pollfd writable = { client, POLLOUT, 0 };

	assert_int_equal(poll(&writable, 1, PATIENCE), 1);
	assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void get(int client, const char *path)
{
	char text[256];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	send_text(client, text);
}

/* Runs the loop until the client's end of stream, whose length it returns; -1 if it was reset. The
 * first bytes are in `answer`. */
static ssize_t receive(int client, char *answer, size_t size)
{
	static char rest[1 << 16];
	uint64_t deadline = milliseconds() + PATIENCE;
	ssize_t total = 0, got = -1;

	memset(answer, 0, size);
	while (milliseconds() < deadline) {
		bool is_first = (size_t)total < size - 1;

		uv_run(&loop, UV_RUN_NOWAIT);
		got = recv(client, is_first ? answer + total : rest,
			   is_first ? size - 1 - (size_t)total : sizeof(rest), 0);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		total += got > 0 ? got : 0;
		if (got < 0)
			pause_milliseconds(1);
	}
	if (milliseconds() >= deadline)
		fail_msg("no end of the answer");
	close(client);
	return got == 0 ? total : -1;
}

static const char *answer_to(const char *request)
{
	static char answer[2048];
	int client = connect_to(PORT);

	send_text(client, request);
	assert_true(receive(client, answer, sizeof(answer)) > 0);
	return answer;
}

static void assert_has(const char *answer, const char *text)
{
	if (strstr(answer, text) == NULL)
		fail_msg("no %s in:\n%s", text, answer);
}

static void test_pages(void **unused)
{
	const char *answer;

	(void)unused;
	need_namespace();
	start(PATIENCE);
	answer = answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_has(answer, "HTTP/1.1 200 OK\r\n");
	assert_has(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	assert_has(answer, "\r\n\r\nmmmmmmmm");
	answer = answer_to("HEAD /metrics HTTP/1.0\r\n\r\n");
	assert_has(answer, " 200 OK\r\n");
	assert_has(answer, "\r\nContent-Length: 8\r\n");
	assert_null(strstr(answer, "mmm"));
	answer = answer_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_has(answer, "\r\nContent-Type: text/html; charset=utf-8\r\n");
	assert_has(answer, "\r\nContent-Security-Policy: default-src 'none'; script-src 'sha256-");
	answer = answer_to("GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_has(answer, "HTTP/1.1 404 Not Found\r\n");
	answer = answer_to(
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nbody");
	assert_has(answer, "HTTP/1.1 405 Method Not Allowed\r\n");
	assert_has(answer, "\r\nAllow: GET, HEAD\r\n");
	finish();
}

static void test_health(void **unused)
{
	const char *answer;

	(void)unused;
	need_namespace();
	start(PATIENCE);
	answer = answer_to("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_has(answer, "HTTP/1.1 200 OK\r\n");
	assert_has(answer, "\r\n\r\nok\n");
	trouble = "a worker does not move";
	answer = answer_to("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_has(answer, "HTTP/1.1 503 Service Unavailable\r\n");
	assert_has(answer, "\r\n\r\na worker does not move\n");
	finish();
}

static void test_rendering_fails(void **unused)
{
	(void)unused;
	need_namespace();
	start(PATIENCE);
	text_size = 0;
	assert_has(answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 500 ");
	text_size = 8;
	assert_has(answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
	finish();
}

/* What comes at the same moment is rendered once. */
static void test_a_text_is_shared(void **unused)
{
	int clients[20];
	char answer[16];

	(void)unused;
	need_namespace();
	start(PATIENCE);
	for (int i = 0; i < 20; i++) {
		clients[i] = connect_to(PORT);
		get(clients[i], "/metrics");
	}
	for (int i = 0; i < 20; i++)
		assert_true(receive(clients[i], answer, sizeof(answer)) > 8);
	/* However slow the machine, not once for each. */
	assert_true(rendered > 0 && rendered < 20);
	finish();
}

/* Readers that do not read make no more than four texts stay, and everybody gets an answer. */
static void test_slow_readers(void **unused)
{
	int clients[8];
	char answer[16];

	(void)unused;
	need_namespace();
	/* The first one waits until all others are done. */
	start(10 * PATIENCE);
	text_size = LARGE_SIZE;
	for (int i = 0; i < 8; i++) {
		uint64_t deadline = milliseconds() + 250;

		clients[i] = connect_to(PORT);
		get(clients[i], "/metrics");
		/* Longer than a text is new. */
		while (milliseconds() < deadline) {
			uv_run(&loop, UV_RUN_NOWAIT);
			pause_milliseconds(5);
		}
	}
	assert_true(rendered >= 2 && rendered <= 4);
	for (int i = 7; i >= 0; i--)
		assert_true(receive(clients[i], answer, sizeof(answer)) > (ssize_t)LARGE_SIZE);
	/* They have read: there is room again. */
	rendered = 0;
	pause_milliseconds(250);
	uv_update_time(&loop);
	text_size = 8;
	answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(rendered, 1);
	finish();
}

/* Clients that say nothing, half a request, or a byte now and then are cut off; nobody waits. */
static void test_deadline(void **unused)
{
	int silent, half, dripping;
	char answer[16];

	(void)unused;
	need_namespace();
	start(300);
	silent = connect_to(PORT);
	half = connect_to(PORT);
	dripping = connect_to(PORT);
	send_text(half, "GET /metrics HT");
	send_text(dripping, "GET /metrics HTTP/1.1\r\n");
	assert_has(answer_to("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), " 200 OK");
	for (uint64_t end = milliseconds() + PATIENCE;;) {
		assert_true(milliseconds() < end);
		uv_run(&loop, UV_RUN_NOWAIT);
		if (send(dripping, "X", 1, MSG_NOSIGNAL) < 0)
			break;
		pause_milliseconds(20);
	}
	close(dripping);
	receive(silent, answer, sizeof(answer));
	receive(half, answer, sizeof(answer));
	finish();
}

/* However many there are that say nothing, the next one is answered, and the oldest are gone. */
static void test_many(void **unused)
{
	int clients[300], gone = 0;
	char byte;

	(void)unused;
	need_namespace();
	start(PATIENCE);
	for (int i = 0; i < 300; i++) {
		clients[i] = connect_to(PORT);
		assert_true(clients[i] >= 0);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_has(answer_to("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), " 200 OK");
	for (int i = 0; i < 300; i++) {
		if (recv(clients[i], &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN)
			gone++;
		errno = 0;
		close(clients[i]);
	}
	assert_in_range(gone, 300 - LISTENER_CONNECTIONS, 299);
	finish();
}

static void test_garbage(void **unused)
{
	static const char *const garbage[] = {
		"\r\n\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /metrics HTTP/9.9\r\n\r\n",
		"\x16\x03\x01\x02 \x01 TLS\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	static char headers[1 << 16];
	char answer[64];

	(void)unused;
	need_namespace();
	start(200);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		int client = connect_to(PORT);

		send_text(client, garbage[i]);
		receive(client, answer, sizeof(answer));
	}
	memset(headers, 'a', sizeof(headers));
	memcpy(headers, "GET / HTTP/1.1\r\nX: ", 19);
	for (int i = 0; i < 3; i++) {
		int client = connect_to(PORT);

		pause_milliseconds(1);
		send(client, headers, sizeof(headers), MSG_NOSIGNAL);
		receive(client, answer, sizeof(answer));
	}
	assert_has(answer_to("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), " 200 OK");
	finish();
}

static void test_addresses(void **unused)
{
	const struct listen_address nowhere = { 0 };
	struct listen_address other = ipv4(PORT + 1), busy = ipv4(PORT + 2);
	struct listen_address ipv6 = { { .bytes = { [15] = 1 } }, PORT };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(PORT + 2),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client;
	char answer[64];

	(void)unused;
	need_namespace();
	start(PATIENCE);
	client = connect_to(PORT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(bind(holder, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(holder, 1), 0);
	/* Refused: clients stay. */
	assert_int_equal(listener_listen(listener, &busy), -EADDRINUSE);
	get(client, "/healthz");
	assert_true(receive(client, answer, sizeof(answer)) > 0);
	/* Another one: those of the old one are cut off. */
	client = connect_to(PORT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(listener_listen(listener, &other), 0);
	receive(client, answer, sizeof(answer));
	assert_false(is_listening(PORT));
	client = connect_to(PORT + 1);
	get(client, "/healthz");
	assert_true(receive(client, answer, sizeof(answer)) > 0);
	assert_true(is_listening(PORT + 1));
	assert_int_equal(listener_listen(listener, &ipv6), 0);
	assert_false(is_listening(PORT + 1));
	assert_int_equal(listener_listen(listener, &nowhere), 0);
	assert_int_equal(listener_listen(listener, &nowhere), 0);
	close(holder);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages, namespace_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_health, namespace_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_rendering_fails, namespace_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_a_text_is_shared, namespace_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_slow_readers, namespace_enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_deadline, namespace_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_many, namespace_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_garbage, namespace_enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_addresses, namespace_enter, namespace_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
