/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's state, shared by the files daemon*.c. All of it belongs to the control thread, but
 * for `published`, which workers read.
 */
#ifndef FLUXPIN_DAEMON_INTERNAL_H
#define FLUXPIN_DAEMON_INTERNAL_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <fluxpin/clock.h>
#include <fluxpin/backend_overrides.h>
#include <fluxpin/backend_states.h>
#include <fluxpin/daemon.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/health.h>
#include <fluxpin/listener.h>
#include <fluxpin/metrics.h>
#include <fluxpin/neighbours.h>
#include <fluxpin/redirect.h>
#include <fluxpin/registry.h>
#include <fluxpin/tap.h>
#include <fluxpin/worker.h>

#include "busy_poll.h"

/* A NIC that is served. */
struct device {
	const struct interface_configuration *configuration; /* of the start: it is not reloaded */
	uint16_t *queues;				     /* those with a worker */
	uint32_t queue_count;
	enum xdp_mode mode; /* asked for */
	bool generic;	    /* got */
	struct tap *tap;    /* NULL with slow_path = "pass" */
	struct redirect *redirect;
	bool is_detached;   /* told that its program is gone */
	bool is_tap_down;   /* told that the TAP takes nothing */
	bool has_many_macs; /* told that not all VLAN devices' frames are taken */
	bool is_mtu_tight;  /* told that the MTU has no room for two tags */
	struct busy_poll_configuration busy_poll;   /* asked for */
	struct busy_poll_finding busy_poll_finding; /* of the last look, told */
};

/* A backend that this host had a way to, of each family, and when none was found. */
struct daemon_way {
	uint32_t place[2];
	uint64_t none_ns[2];
};

struct announcing;
struct control_answers;
struct watch;

struct daemon {
	const struct daemon_options *options;
	struct configuration *configuration; /* the active one */
	struct configuration *start;	     /* the one of the start, for what is not reloaded */
	struct health *health;
	struct health_plan *health_plan;  /* of a reload that is under way */
	struct daemon_way seen;		  /* daemon_ways.c: which backend had a way lately */
	int probe_socket;		  /* sends checks through the tunnel; 0: none */
	struct backend_overrides *drains; /* by command: they survive reloads */
	struct backend_states *states;	  /* of the active configuration's backends */
	struct forwarding_tables *tables;
	struct forwarding_state *state;
	struct forwarding *published; /* &state->forwarding, through RCU */
	struct registry *backend_indexes;
	struct registry *vip_indexes;
	struct neighbours *neighbours;
	struct device *devices;
	struct interface *nics; /* of devices[i], as the kernel describes it now */
	uint32_t device_count;
	struct worker **workers;
	uint32_t worker_count;
	struct metrics_source metrics;
	struct listener *listener;
	bool has_new_states;		/* that no published tables have yet */
	uint8_t *pool_conditions;	/* by pool of the active configuration, as told last */
	uint64_t conditions_generation; /* of that configuration */
	bool metrics_failed;		/* the last write: told once */
	bool follow_failed;		/* the last reading of the kernel's tables: told once */
	int exit_error;
	bool has_stuck_worker;		   /* at the end: see daemon_stop.c */
	uint8_t warned[REGISTRY_SIZE + 1]; /* by backend index: told that it has no next hop */
	uv_loop_t loop;
	uv_signal_t signals[3];
	uv_poll_t netlink;
	uv_timer_t reload_timer; /* makes one reload of many SIGHUPs */
	uv_timer_t metrics_timer;
	uv_timer_t settle_timer; /* lets changes of the kernel's tables gather */
	uv_timer_t warn_timer;
	uv_timer_t survey_timer; /* control_survey.c: while the workers are asked */
	uv_timer_t drops_timer;	 /* control_drops.c: what was dropped lately */
	uv_timer_t states_timer; /* lets changes of backends gather */
	uv_timer_t growth_timer; /* the next step of slow start */
	uv_timer_t watch_timer;
	uv_timer_t linger_timer;	 /* from the withdrawal to the end */
	uv_timer_t queues_timer;	 /* looks at the NICs' queues */
	struct control_answers *answers; /* NULL before there may be requests */
	struct announcing *announcing;	 /* NULL before VIPs may be announced */
	struct watch *watch;		 /* NULL before the workers run */
};

/* daemon_kernel.c: what the kernel reports, and what is looked at besides. Log what fails. */
void daemon_open_kernel(struct daemon *daemon);
int daemon_listen_to_kernel(struct daemon *daemon); /* neighbours are open */
void daemon_start_looking(struct daemon *daemon);   /* workers run */

/* Has NICs and next hops read again soon, once for all changes until then. */
void daemon_settle(struct daemon *daemon);

/* Has the log say which next hops are missing, if they still are a few seconds later. */
void daemon_warn_later(struct daemon *daemon);

/* daemon_cpus.c: where workers run, and so where their memory lies. */

/* CPU of worker i of the device: from its list, else the n-th that the process may use; -1: any. */
int daemon_choose_cpu(const struct device *device, uint32_t i, uint32_t n);

/*
 * Moves the calling thread to a CPU, so that the kernel takes the memory which it touches, and what
 * it makes for it, such as rings, from that CPU's NUMA node. -1, or a CPU that it may not use:
 * stays. `before`: for daemon_move_back.
 */
void daemon_move_to(int cpu, cpu_set_t *before);
void daemon_move_back(const cpu_set_t *before);

/* daemon_devices.c: NICs, their programs and TAPs, and the workers. Log what fails. */
int daemon_open_devices(struct daemon *daemon);
int daemon_start_workers(struct daemon *daemon);
void daemon_close_devices(struct daemon *daemon);

/* Reads the NICs again. Returns -ENODEV after logging when one is gone. */
int daemon_refresh_devices(struct daemon *daemon);

/*
 * daemon_stop.c: ends the workers. One that does not stop in time is left, with has_stuck_worker:
 * what it may use must stay, and the process must end without more ado.
 */
void daemon_stop_workers(struct daemon *daemon);

/* Takes note of SIGTERM and SIGINT, which the loop listens to already: for when the loop waits. */
void daemon_note_stops(void);
bool daemon_is_told_to_stop(void);

/* daemon.c: ends the process from within a wait for a worker that is stuck. */
void daemon_end_now(struct daemon *daemon) __attribute__((noreturn));

/*
 * daemon_queues.c: the queues of NIC `ordinal`, which is `now` as given, or of all. Return -ENODEV
 * after logging when fluxpin must be started again to serve them.
 */
int daemon_check_queues(struct daemon *daemon, uint32_t ordinal, const struct interface *now);
int daemon_watch_queues(struct daemon *daemon);

/* daemon_busy_poll.c: has the worker's system calls poll its queue, if the device is to. Returns 0,
 * or negative errno after logging. */
int daemon_start_busy_poll(const struct device *device, struct worker *worker);

/* Warns if workers that never sleep take every CPU. */
void daemon_warn_busy_cpus(const struct daemon *daemon);

/* Has idle workers poll while the kernel polls for them; notes what is wrong in each device, and
 * logs it once. */
void daemon_watch_busy_poll(struct daemon *daemon);

/* daemon_filter.c: tell the XDP programs which packets are theirs, after a state is published: the
 * VIPs follow the tables, the tunnels' addresses also the routes. Log what fails. */
void daemon_update_vip_filter(struct daemon *daemon);
void daemon_update_tunnel_filter(struct daemon *daemon);

/* daemon_forwarding.c: the forwarding state's life. Log what fails. */

/* Builds the first tables and state and waits, at most a second, for next hops. */
int daemon_first_forwarding(struct daemon *daemon);

/* Follows routes and neighbours: publishes another state if it differs. The caller logs. */
int daemon_follow_next_hops(struct daemon *daemon);

/* Publishes tables of the same configuration with what its backends may do now. */
int daemon_follow_states(struct daemon *daemon);

/* Replaces the active configuration, and owns it then; adds to the findings what is to be done
 * where that fails: nothing is changed then. */
int daemon_activate(struct daemon *daemon, struct configuration *new, struct findings *findings);

/* The end: no worker reads it any more. */
void daemon_release_forwarding(struct daemon *daemon);

/* daemon_reload.c: reads the file again, makes it active and has everything follow that depends on
 * it, or says why not. `findings`, zeroed, is filled in (release it). Returns 0 or negative errno.
 */
int daemon_reload(struct daemon *daemon, struct findings *findings);

/* daemon_next_hops.c: warns about each backend that has no next hop, once until it has one again.
 */
void daemon_warn_next_hops(struct daemon *daemon);

/* daemon_restart.c: names the settings that this configuration has otherwise than the
 * one of the start, and that a reload does not change. Returns how many. */
#define DAEMON_RESTART_MAX 5
uint32_t daemon_find_restart(const struct daemon *daemon, const struct configuration *configuration,
			     const char *settings[static DAEMON_RESTART_MAX]);

/* daemon_health.c: health checks. */

/*
 * The checks of a configuration in place of those before: prepares them, and changes nothing; then,
 * when nothing else can fail, puts them into effect, or gives them up. Logs what fails.
 */
int daemon_prepare_health(struct daemon *daemon, const struct configuration *configuration);
void daemon_commit_health(struct daemon *daemon, const struct configuration *configuration);
void daemon_abandon_health(struct daemon *daemon);
void daemon_close_health(struct daemon *daemon);
void daemon_read_health(const void *daemon, uint32_t pool, uint32_t backend,
			struct backend_health *health);

/* The same of the configuration that is prepared. */
void daemon_read_planned_health(const void *daemon, uint32_t pool, uint32_t backend,
				struct backend_health *health);

/* daemon_ways.c: has the checker ask which failed probes are this host's own fault. To be called
 * when it was opened. */
void daemon_set_health_host(struct daemon *daemon);

/* daemon_states.c: what backends may do. */

/* Where their states come from. */
struct backend_sources daemon_backend_sources(struct daemon *daemon);

/* Something about them changed: tables are built anew soon, once for all changes until then. */
void daemon_states_changed(struct daemon *daemon);

/* The next step of slow start is at this time; UINT64_MAX: none. */
void daemon_schedule_growth(struct daemon *daemon, uint64_t next_ns);

/*
 * Drains a backend of the active configuration, or ends that; this survives reloads. Returns 0,
 * -ENOENT without such a backend, or -ENOMEM.
 */
int daemon_drain(struct daemon *daemon, const char *pool, const char *backend, bool drained);

/* For the metrics: what is known of a backend of the active configuration. */
void daemon_describe_backend(const void *daemon, uint32_t pool, uint32_t backend,
			     struct metrics_backend *described);

/* Logs which pools have no backend that serves, or fall back on those that are down; once. */
void daemon_tell_pools(struct daemon *daemon);

void daemon_open_states(struct daemon *daemon);

/* daemon_vlans.c: warns about NICs with VLAN devices of which not everything works, once until it
 * does. */
void daemon_warn_vlans(struct daemon *daemon);

/* daemon_listener.c: the HTTP listener, with the configuration of the start, and with another one.
 * Log what fails; with another one, it then goes on where it was. Return 0 or negative errno. */
int daemon_open_listener(struct daemon *daemon);
int daemon_follow_listener(struct daemon *daemon);

/* daemon_watch.c: whether workers move. */
int daemon_open_watch(struct daemon *daemon); /* workers run */
void daemon_close_watch(struct daemon *daemon);

/* Looks at all workers; withdraws all VIPs when one has stalled. */
void daemon_watch(struct daemon *daemon);
bool daemon_has_stalled(const struct daemon *daemon);

/* For the metrics. */
bool daemon_worker_is_stalled(const void *daemon, uint32_t worker);

/* Waits until no worker uses what was published before, and watches them meanwhile. */
void daemon_wait_for_readers(struct daemon *daemon);

/* daemon_announce.c: the announced VIPs. Log what fails. */
int daemon_open_announce(struct daemon *daemon); /* workers run */
void daemon_close_announce(struct daemon *daemon);

/* Has those VIPs announced that can be served now. After whatever that may depend on. */
void daemon_announce_update(struct daemon *daemon);

/* Withdraws all until the next update. Looks at no state, so it may be called at any time. */
void daemon_announce_stop(struct daemon *daemon);

/* Puts back what others removed. */
void daemon_announce_tick(struct daemon *daemon);

/* Around a reload: takes the table that the new configuration has, or fails; then uses it, with the
 * active configuration, or gives it back. */
int daemon_begin_announce(struct daemon *daemon, const struct configuration *new);
void daemon_end_announce(struct daemon *daemon, bool is_active);

/* Withdraws all and stops a while later. Returns false when there is nothing to wait for. */
bool daemon_linger(struct daemon *daemon);

/* For the metrics: whether a VIP is to be announced at all, and whether it is. */
bool daemon_vip_is_announced(const void *daemon, uint32_t vip, bool *is_announced);

/* For those who ask: each VIP that is withdrawn, and why, as the log says it. */
void daemon_each_withdrawn(const struct daemon *daemon,
			   void (*take)(void *context, const char *vip, const char *reason),
			   void *context);

/* control_answers.c: the control socket, if there is to be one, and what it needs. Log what fails.
 */
int daemon_check_control(const struct daemon *daemon); /* before a NIC is touched */
int daemon_open_control(struct daemon *daemon);
void daemon_close_control(struct daemon *daemon); /* workers have stopped */

/* After a reload: the path may be another one. What cannot be opened leaves the old one. */
void daemon_follow_control(struct daemon *daemon);

/* daemon_metrics.c: the path of the metrics file, or NULL; writes it, now and from now on. */
const char *daemon_metrics_path(const struct daemon *daemon);
void daemon_write_metrics(struct daemon *daemon);
void daemon_start_metrics_timer(struct daemon *daemon);

/* Logs what each worker has done. */
void daemon_log_totals(const struct daemon *daemon);

#endif
