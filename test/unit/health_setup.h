/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of health checks: a namespace in which all of 10.0.0.0/8 is the host's own, servers
 * that do as they are told, and a checker on a loop. Nothing is judged by how long it takes: a test
 * waits until something is so, and fails after a minute.
 */
#ifndef FLUXPIN_TEST_HEALTH_SETUP_H
#define FLUXPIN_TEST_HEALTH_SETUP_H

#include "namespace.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <fluxpin/health.h>
#include <fluxpin/log.h>

#define PATIENCE_MS 60000

/* ---- servers ---- */

enum manner {
	ANSWERS, /* `answer`, then closes */
	SILENT,	 /* takes the connection and says nothing */
	CLOSES,	 /* at once */
	ENDLESS, /* `begin`, then `answer` again and again */
};

struct server {
	const char *begin; /* of an endless answer */
	const char *answer;
	size_t answer_length;
	enum manner manner;
	bool is_udp;
	uint16_t port;
	int socket;
	pthread_t thread;
	/* Of the last connection; read when the probe is known to be over. */
	char request[2048];
	char peer[64];
	volatile uint32_t connections;
	volatile uint32_t resets; /* connections that ended so */
};

static inline void serve_connection(struct server *server, int connection)
{
	/* The end of a connection may be lost on its way. */
	const struct timeval patience = { .tv_sec = 1 };
	size_t length = 0;
	ssize_t got = 1;

	if (server->manner == CLOSES)
		return;
	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (got > 0 && length < sizeof(server->request) - 1) {
		got = recv(connection, server->request + length,
			   sizeof(server->request) - 1 - length, 0);
		length += got > 0 ? (size_t)got : 0;
		server->request[length] = '\0';
		if (server->manner != SILENT && strstr(server->request, "\r\n\r\n"))
			break;
	}
	if (got < 0 && errno == ECONNRESET)
		server->resets++;
	if (got <= 0)
		return;
	if (server->begin != NULL)
		send(connection, server->begin, strlen(server->begin), MSG_NOSIGNAL);
	while (send(connection, server->answer, server->answer_length, MSG_NOSIGNAL) > 0 &&
	       server->manner == ENDLESS)
		;
}

static inline void *serve_tcp(void *context)
{
	struct server *server = context;
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	int connection;

	while ((connection = accept(server->socket, (struct sockaddr *)&peer, &length)) >= 0) {
		if (peer.ss_family == AF_INET)
			inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, server->peer,
				  sizeof(server->peer));
		serve_connection(server, connection);
		shutdown(connection, SHUT_WR);
		close(connection);
		server->connections++;
	}
	return NULL;
}

static inline void *serve_udp(void *context)
{
	struct server *server = context;
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	ssize_t got;

	while ((got = recvfrom(server->socket, server->request, sizeof(server->request) - 1, 0,
			       (struct sockaddr *)&peer, &length)) > 0) {
		server->request[got] = '\0';
		server->connections++;
		if (server->manner == ANSWERS)
			sendto(server->socket, server->answer, server->answer_length, 0,
			       (struct sockaddr *)&peer, length);
	}
	return NULL;
}

static inline socklen_t fill_own(struct sockaddr_storage *own, const char *address, uint16_t port)
{
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)own;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)own;

	*own = (struct sockaddr_storage){ 0 };
	if (strchr(address, ':') != NULL) {
		ipv6->sin6_family = AF_INET6;
		ipv6->sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, address, &ipv6->sin6_addr), 1);
		return sizeof(*ipv6);
	}
	ipv4->sin_family = AF_INET;
	ipv4->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, address, &ipv4->sin_addr), 1);
	return sizeof(*ipv4);
}

/* Starts a server at an address, and at a port that is free unless it has one. */
static inline void server_start(struct server *server, const char *address)
{
	struct sockaddr_storage own;
	socklen_t length = fill_own(&own, address, server->port);
	const int on = 1;

	if (server->answer_length == 0 && server->answer != NULL)
		server->answer_length = strlen(server->answer);
	server->socket = socket(own.ss_family, server->is_udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	setsockopt(server->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(server->socket, (struct sockaddr *)&own, length), 0);
	if (!server->is_udp)
		assert_int_equal(listen(server->socket, 64), 0);
	assert_int_equal(getsockname(server->socket, (struct sockaddr *)&own, &length), 0);
	/* In the same place for both families. */
	server->port = ntohs(((struct sockaddr_in *)&own)->sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL,
					server->is_udp ? serve_udp : serve_tcp, server),
			 0);
}

/* No probe may be under way: the thread would wait for its end. */
static inline void server_stop(struct server *server)
{
	shutdown(server->socket, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->socket);
}

/* ---- the checker ---- */

struct checker {
	uv_loop_t loop;
	uv_timer_t tick; /* so that a wait ends */
	struct health *health;
	struct configuration *configuration;
	uint32_t changes;
};

static inline void checker_changed(void *context)
{
	((struct checker *)context)->changes++;
}

static inline void checker_on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static inline void checker_open(struct checker *checker)
{
	*checker = (struct checker){ 0 };
	log_set_level(LOG_LEVEL_ERROR);
	assert_int_equal(uv_loop_init(&checker->loop), 0);
	uv_timer_init(&checker->loop, &checker->tick);
	uv_timer_start(&checker->tick, checker_on_tick, 20, 20);
	assert_int_equal(health_open(&checker->loop, checker_changed, checker, &checker->health),
			 0);
}

/* Reads a configuration from text. */
__attribute__((format(printf, 1, 2))) static inline struct configuration *
configuration_of(const char *format, ...)
{
	int file = memfd_create("configuration", 0);
	struct configuration *configuration = NULL;
	struct findings findings;
	va_list arguments;
	char name[64];
	int status;

	va_start(arguments, format);
	vdprintf(file, format, arguments);
	va_end(arguments);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	status = configuration_read(name, &configuration, &findings);
	if (status != 0)
		findings_print(&findings, stderr);
	findings_release(&findings);
	close(file);
	assert_int_equal(status, 0);
	return configuration;
}

static inline void checker_configure(struct checker *checker, struct configuration *configuration)
{
	assert_int_equal(health_configure(checker->health, configuration), 0);
	configuration_release(checker->configuration);
	checker->configuration = configuration;
}

static inline void checker_close(struct checker *checker)
{
	health_close(checker->health);
	uv_close((uv_handle_t *)&checker->tick, NULL);
	uv_run(&checker->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&checker->loop), 0);
	configuration_release(checker->configuration);
}

static inline struct health_report checker_read(const struct checker *checker, uint32_t pool,
						uint32_t backend)
{
	struct health_report report;

	health_read(checker->health, pool, backend, &report);
	return report;
}

/* Runs the loop until a condition holds. */
#define run_until(checker, condition)                                            \
	do {                                                                     \
		uint64_t began = milliseconds();                                 \
		while (!(condition)) {                                           \
			if (milliseconds() - began > PATIENCE_MS)                \
				fail_msg("not within a minute: %s", #condition); \
			uv_run(&(checker)->loop, UV_RUN_ONCE);                   \
		}                                                                \
	} while (0)

/* At least so many more probes of a backend, whatever became of them. */
static inline void run_probes(struct checker *checker, uint32_t pool, uint32_t backend,
			      uint64_t count)
{
	struct health_report report = checker_read(checker, pool, backend);
	uint64_t until = report.probes_good + report.probes_bad + count;

	run_until(checker, (report = checker_read(checker, pool, backend),
			    report.probes_good + report.probes_bad >= until));
}

/* Set-up of a test. */
__attribute__((unused)) static int health_enter(void **state)
{
	if (namespace_enter(state) != 0)
		return -1;
	return namespace_is_ready ? system("ip route add local 10.0.0.0/8 dev lo") : 0;
}

/* A pool of one backend, 10.0.0.1, unless told otherwise, with the check given. */
#define POOL_OF(address, check)                                                                \
	"hash_seed = \"1\"; pools = ( { name = \"p\"; backends = ( { address = \"" address     \
	"\"; } ); health_check = { interval = \"20ms\"; timeout = \"20ms\"; rise = 1; fall = " \
	"1; " check " }; } );"

#endif
