/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the health checker share (health*.c).
 *
 *     health.c            opening, closing, reading
 *     health_plan.c       which probers stay, come and go with another configuration
 *     health_plan_*.c     parts of that (health_plan.h)
 *     health_check.c      checks, compared and copied
 *     health_prober.c     a prober's life: its timer, and what becomes of a probe's outcome
 *     health_state.c      rise, fall, damping and jitter: pure functions
 *     health_poller.c     the sockets of all probes, by one epoll descriptor on the loop
 *     health_socket.c     tcp and udp probes, and the sockets of all kinds
 *     health_http*.c      http and https probes, by libcurl
 *     health_tunnel.c     probes through the tunnel
 *     health_log.c        transitions, told within limits
 */
#ifndef FLUXPIN_HEALTH_INTERNAL_H
#define FLUXPIN_HEALTH_INTERNAL_H

#include <curl/curl.h>

#include <fluxpin/clock.h>
#include <fluxpin/health.h>

#define HEALTH_ERROR_SIZE 192

/* ---- health_state.c ---- */

struct health_machine {
	bool is_up;
	uint32_t run;	/* good probes in a row while down, bad ones while up */
	uint32_t falls; /* recent ones: one is forgotten every HEALTH_FORGET_NS */
	uint64_t last_fall_ns;
	uint64_t since_ns;
	uint64_t flaps;
};

/* Falls that cost nothing; each one above doubles the good probes needed to come up. */
#define HEALTH_STARTS	  100 /* times in an interval when probes start */
#define HEALTH_FREE_FALLS 2
#define HEALTH_FORGET_NS  UINT64_C(300000000000)

/* No backend is held down for longer than this many nanoseconds of good probes. */
#define HEALTH_DAMPING_MAX_NS UINT64_C(300000000000)

/* Takes the outcome of a probe; returns whether the backend went up or down. */
bool health_machine_take(struct health_machine *machine,
			 const struct health_check_configuration *check, bool is_good,
			 uint64_t now_ns);

/* Good probes in a row that a backend needs to come up. */
uint32_t health_machine_needed(const struct health_machine *machine,
			       const struct health_check_configuration *check);

bool health_machine_is_damped(const struct health_machine *machine,
			      const struct health_check_configuration *check);

/* From one probe's start to the next: 95 to 100 % of the interval. `random` is any number. */
uint64_t health_next_delay(uint64_t interval_ns, uint64_t random);

/* From the configuration to the first probe: less than an interval. */
uint64_t health_first_delay(uint64_t interval_ns, uint64_t random);

/* The time at or before this one when probes of such an interval start: HEALTH_STARTS in each, so
 * that with thousands of backends several start, and are answered, at one waking. */
uint64_t health_align(uint64_t due_ns, uint64_t interval_ns);

/* ---- health_poller.c ---- */

/*
 * All sockets hang on one epoll descriptor, and that on the loop: a libuv handle for each would
 * cost more system calls than a TCP probe has, and live on after its close.
 */
typedef void (*poller_callback)(void *context, int descriptor, uint32_t events);

struct poller_entry {
	poller_callback ready; /* NULL: not watched */
	void *context;
	uint32_t events;
	uint32_t generation; /* of the descriptor's number: events of an earlier one are stale */
};

struct poller {
	uv_poll_t poll;
	int epoll;
	struct poller_entry *entries; /* by descriptor */
	uint32_t entry_count;
};

/* `closed` is called when the handle is closed; poller_close only after a successful open. */
int poller_open(struct poller *poller, uv_loop_t *loop);
void poller_close(struct poller *poller, uv_close_cb closed);

/* Watches a descriptor for EPOLLIN and EPOLLOUT, or changes what for. Returns 0 or negative errno.
 */
int poller_watch(struct poller *poller, int descriptor, uint32_t events, poller_callback ready,
		 void *context);

/* Before the descriptor is closed, which takes it off the epoll descriptor. */
void poller_forget(struct poller *poller, int descriptor);

/* ---- health_check.c ---- */

struct http_client;

/* Handles of libcurl that a check keeps, about 10 KB each. */
#define HTTP_IDLE_MAX 32

/* A check with all that makes it differ from others: pools that have the same one share it. */
struct check {
	struct health_check_configuration configuration; /* owned; vip_name left out */
	/* Of checks through the tunnel, otherwise zero: */
	enum encapsulation encapsulation;
	bool udp_checksum;
	struct address tunnel_source;
	uint32_t users; /* probers */
	/* Of http and https: */
	struct http_client *client;
	struct curl_slist *headers;
	CURL *idle[HTTP_IDLE_MAX]; /* handles to use again, all but the target set */
	uint32_t idle_count;
};

/* The check of a pool, borrowed from the configuration. */
struct check check_of_pool(const struct configuration *configuration,
			   const struct pool_configuration *pool);
int check_compare(const struct check *a, const struct check *b);

/* A copy of its own, without users. Returns NULL without memory. */
struct check *check_copy(const struct check *check);
void check_release(struct check *check);

/* ---- health_prober.c ---- */

enum probe_outcome {
	PROBE_GOOD,
	PROBE_BAD,
	PROBE_UNDECIDED, /* this host's own fault */
};

struct http_probe {
	CURL *easy;		       /* while a probe is under way */
	char *url;		       /* made once; without path */
	struct curl_slist *connect_to; /* the same; NULL: the URL has the address */
	char *body;		       /* what was received of it, when it is searched */
	size_t body_length;
	size_t header_length;
	bool is_enough; /* nothing more needs to be read */
	bool is_found;
	bool has_long_headers;
	int open_error; /* of the socket */
	char error[CURL_ERROR_SIZE];
};

struct prober {
	uv_timer_t timer;
	struct health *health;
	struct check *check;
	struct address address;
	uint32_t pool; /* the first that has it, of the configuration last given */
	uint32_t backend;
	uint32_t user_count;
	bool is_kept; /* by the plan that is being made */
	bool is_probing;
	bool is_suspended;    /* the last probe could not be sent by this host */
	bool is_cut_off;      /* and that because there was no way to the backend */
	bool is_hastened;     /* the next probe, as there may be one again */
	bool is_prolonged;    /* the probe under way, as this thread was held up */
	int descriptor;	      /* of a tcp or udp probe, or -1 */
	uint32_t tunnel_port; /* of its last probe, an index into the checker's tunnel_ports */
	struct http_probe http;
	struct health_machine machine;
	uint64_t started_ns; /* the probe under way, or the last one */
	uint64_t good_ns;    /* the last one that was good began; 0: none was */
	uint64_t due_ns;     /* the next one */
	uint64_t latency_ns;
	uint64_t probes_good;
	uint64_t probes_bad;
	char error[HEALTH_ERROR_SIZE]; /* empty: the last probe was good */
};

struct prober *prober_new(struct health *health, struct check *check,
			  const struct address *address);
void prober_start(struct prober *prober);

/* Ends the probe and frees the prober, when the loop runs if it was started. */
void prober_stop(struct prober *prober, bool was_started);

/* By a probe, once, when its outcome is known; `error` says why it is not good, else NULL. It has
 * let go of everything before. */
void prober_finish(struct prober *prober, enum probe_outcome outcome, const char *error);

/* Goes on at once if the backend can be reached again. */
void prober_look_again(struct prober *prober);

/* Ends the probe under way as a bad one. */
void prober_fail(struct prober *prober, const char *error);

/* ---- health_socket.c ---- */

/*
 * A non-blocking socket of a probe: its source, and for the tunnel its mark and port. A stream
 * socket closes by RST, so that no probe leaves a connection in TIME_WAIT. Returns the descriptor
 * or negative errno.
 */
int probe_socket_open(struct prober *prober, int type);

/* Writes a struct sockaddr_in or sockaddr_in6. Returns its length. */
uint32_t probe_address_fill(const struct address *address, uint16_t port, void *storage);

/* What an error of connect or recv says about the backend, or about this host. */
enum probe_outcome probe_error_outcome(int error);
const char *probe_error_text(int error, char buffer[static HEALTH_ERROR_SIZE]);

/* Each starts a probe, of which prober_finish may be called before it returns, or ends it. */
void probe_socket_start(struct prober *prober);
void probe_socket_cancel(struct prober *prober);

/* ---- health_http.c ---- */

void probe_http_start(struct prober *prober);
void probe_http_cancel(struct prober *prober);
void probe_http_release(struct prober *prober);

/*
 * What a check needs for its probes, if it is one of http or https: a multi handle, which all
 * checks with the same CA file share, since libcurl keeps the certificates of one file read.
 * Returns 0; -ENOMEM; what opening the CA file gave, logged. health.c and health_plan.c put it
 * back.
 */
int http_check_prepare(struct health *health, struct check *check);
void http_check_release(struct check *check);
void http_client_put(struct health *health, struct http_client *client);

/* ---- health_tunnel.c ---- */

/* Gives a socket the mark, source and port of a probe through the tunnel. Returns 0 or negative
 * errno. */
int health_tunnel_bind(struct prober *prober, int descriptor, int type);

/* What still comes from the port of the prober's last probe is nobody's. */
void health_tunnel_forget(struct prober *prober);

/* ---- health_log.c ---- */

/* Lines about transitions within a second; those after are counted and told at its end. */
#define HEALTH_LOG_LINES 20

struct health_log {
	uv_timer_t timer;
	uint32_t lines;
	uint32_t unsaid_up;
	uint32_t unsaid_down;
	uint64_t undecided_ns; /* when a probe that could not be sent was last told of */
};

void health_log_transition(struct prober *prober);
void health_log_undecided(struct prober *prober, const char *error);

/* The first prober is cut off; none is any more. */
void health_log_cut_off(const char *reason);
void health_log_reached(void);

/* ---- health.c ---- */

struct probe_device;

struct health {
	uv_loop_t *loop;
	void (*changed)(void *context);
	void *context;
	void (*started)(void *context, uint64_t late_ns);
	void *started_context;
	const struct configuration *configuration;
	struct check **checks; /* sorted by check_compare */
	uint32_t check_count;
	struct prober **probers; /* sorted by check and address */
	uint32_t prober_count;
	struct prober **slots; /* by pool_first[pool] + backend; NULL: no check */
	uint32_t *pool_first;
	struct poller poller;
	struct http_client *clients;
	uv_timer_t http_timer; /* the earliest of the clients', or before */
	uint64_t http_due_ns;  /* when it runs out; 0: not set */
	struct health_log log;
	struct probe_device *device; /* NULL: no tunnel */
	struct health_tunnel tunnel;
	struct health_host host;
	struct prober **tunnel_ports; /* by protocol, family and source port */
	uint64_t random;
	uint32_t handles; /* of the loop, not closed yet */
	bool is_closed;
	uint64_t probes;
	uint64_t undecided;
	uint64_t latest_ns;
	uint64_t late_sum_ns;
	uint32_t under_way;
	uint32_t suspended; /* probers */
	uint32_t cut_off;   /* of these */
};

uint64_t health_random(struct health *health);

/* Starts a timer that runs out at a time of clock_ns. */
void health_start_timer(struct health *health, uv_timer_t *timer, uv_timer_cb callback,
			uint64_t due_ns);

/* A handle of the loop that the checker's memory must outlive. */
void health_handle_opened(struct health *health);
void health_handle_closed(struct health *health);

#endif
