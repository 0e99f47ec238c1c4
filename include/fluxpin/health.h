/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Health checks: which backends answer, by probes that run on the control thread's event loop.
 *
 * A prober probes one address and port by one check. It serves every pool that has the same check
 * for the same address, so a server in many pools is probed once. Probers are independent: each has
 * a timer of its own, nothing waits for a probe's end, and the first probes are spread over the
 * interval. A backend goes down after `fall` bad probes in a row and up after `rise` good ones;
 * one that falls again and again has to answer well for longer (health_state.c). A probe that could
 * not be sent for a reason of this host's own (no descriptor, no memory, no such source address,
 * and what struct health_host tells of) says nothing about the backend and changes nothing.
 *
 * What this is not: it decides nothing about traffic. Whoever uses it is told that something
 * changed, gathers such calls, and reads the states.
 *
 * Thread: control. No function blocks; all but health_read allocate.
 */
#ifndef FLUXPIN_HEALTH_H
#define FLUXPIN_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include <fluxpin/configuration.h>

struct health;

enum health_state {
	HEALTH_UNCHECKED, /* no check: serves */
	HEALTH_UP,
	HEALTH_DOWN,
};

struct health_report {
	enum health_state state;
	bool is_suspended;   /* the last probe could not be sent by this host: `error` */
	bool is_damped;	     /* down although it had `rise` good probes: it falls too often */
	const char *error;   /* why the last probe failed, or NULL; valid until the loop runs on */
	uint64_t since_ns;   /* monotonic: when the state began; 0 without a check */
	uint64_t latency_ns; /* of the last good probe, from its start to its end; 0: none yet */
	uint64_t probes_good;
	uint64_t probes_bad; /* those of a whole prober: the same for all pools that share it */
	uint64_t flaps;	     /* how often it went down */
};

/* Sums over all probers since the start. */
struct health_totals {
	uint32_t probers;
	uint32_t under_way;   /* probes */
	uint32_t suspended;   /* probers whose last probe could not be sent by this host */
	const char *reason;   /* of one of these, or NULL; valid until the loop runs on */
	uint64_t probes;      /* started */
	uint64_t undecided;   /* could not be sent by this host */
	uint64_t latest_ns;   /* the longest that a probe started after its time */
	uint64_t late_sum_ns; /* of all probes */
};

/*
 * Sends an IP packet to a backend as the data plane would: encapsulated as the pool says, by the
 * NIC that leads there. The indexes are those of the configuration last given. Returns 0, or
 * negative errno when it cannot be sent now; the probe then times out.
 */
struct health_tunnel {
	int (*send)(void *context, uint32_t pool, uint32_t backend, const void *packet,
		    size_t length);
	void *context;
};

/* A probe that failed. Times are of clock_ns. */
struct health_failure {
	uint32_t pool; /* of the configuration last given */
	uint32_t backend;
	uint64_t since_ns; /* when it began; UINT64_MAX: what counts is what is so now */
	uint64_t good_ns;  /* when the last one began that was good; 0: none was */
};

/* What the checker's user knows of this host. */
struct health_host {
	/*
	 * Asked when a probe has failed: whether what is sent to the backend could not leave this
	 * host, at any time from `since_ns` on; then the reason is written.
	 */
	bool (*is_cut_off)(void *context, const struct health_failure *failure, char *reason,
			   size_t size);
	void *context;
};

/*
 * Opens a checker without checks. `changed` is called when some state changed, from within the
 * loop, once for each change; it may read, but must not configure or close.
 * The soft limit on open files is raised to the hard one: each probe under way has a socket.
 * Returns 0 or negative errno.
 */
int health_open(uv_loop_t *loop, void (*changed)(void *context), void *context,
		struct health **health);

/* What another configuration makes of the checks, before it is so. */
struct health_plan;

/*
 * Makes all that it takes to have the checks of a configuration in place of those before; nothing
 * is changed yet. Either health_commit or health_abandon has to follow before the loop runs on, and
 * before another plan. Returns 0; -ENOMEM; what opening a CA file gave, logged.
 */
int health_prepare(struct health *health, const struct configuration *configuration,
		   struct health_plan **plan);

/* The state in which a backend will begin, by its indexes in the plan's configuration. */
enum health_state health_plan_read(const struct health_plan *plan, uint32_t pool, uint32_t backend);

/*
 * Puts it into effect and frees it. Checks that stay (same check, same address) keep their state,
 * counters and rhythm; a backend whose check changed begins with the state that it had; others
 * begin as `initial` says. `changed` is not called. The configuration is borrowed: it must stay
 * until the next commit, or health_close.
 */
void health_commit(struct health_plan *plan);

/* Frees it. NULL is allowed. */
void health_abandon(struct health_plan *plan);

/* Prepares and commits. Returns as health_prepare. */
int health_configure(struct health *health, const struct configuration *configuration);

/*
 * Lets checks with via = "tunnel" be sent, from now on: makes the device and the rules that catch
 * their packets (probe_device.h). Without, or after a failure, such probes are never sent, and such
 * backends keep the state in which they began. Returns 0 or negative errno, not logged.
 */
int health_set_tunnel(struct health *health, const struct health_tunnel *tunnel);

/* Takes that back. To be called when no check uses it. */
void health_unset_tunnel(struct health *health);

/* Has failed probes blamed on this host where they are its own fault. Without, none are. */
void health_set_host(struct health *health, const struct health_host *host);

/* The host may have a way again: probers that had none begin anew, within a timeout each. To be
 * called from the loop. */
void health_look_again(struct health *health);

/* The state of a backend, by its indexes in the configuration last given. */
void health_read(const struct health *health, uint32_t pool, uint32_t backend,
		 struct health_report *report);

void health_read_totals(const struct health *health, struct health_totals *totals);

/* Has `started` called with the lateness of each probe as it starts; for benchmarks and tests. */
void health_observe(struct health *health, void (*started)(void *context, uint64_t late_ns),
		    void *context);

/* Ends all probes. Memory is freed when the loop has run once more. `health` may be NULL. */
void health_close(struct health *health);

#endif
