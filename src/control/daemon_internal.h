/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's state, shared by the files daemon*.c. All of it belongs to the control thread, but
 * for `published`, which workers read.
 */
#ifndef FLUXPIN_DAEMON_INTERNAL_H
#define FLUXPIN_DAEMON_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <fluxpin/daemon.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/listener.h>
#include <fluxpin/metrics.h>
#include <fluxpin/neighbours.h>
#include <fluxpin/redirect.h>
#include <fluxpin/registry.h>
#include <fluxpin/tap.h>
#include <fluxpin/worker.h>

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
};

struct daemon {
	const struct daemon_options *options;
	struct configuration *configuration; /* the active one */
	struct configuration *start;	     /* the one of the start, for what is not reloaded */
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
	bool metrics_failed; /* the last write: told once */
	bool follow_failed;  /* the last reading of the kernel's tables: told once */
	int exit_error;
	uint8_t warned[REGISTRY_SIZE + 1]; /* by backend index: told that it has no next hop */
	uv_loop_t loop;
	uv_signal_t signals[3];
	uv_poll_t netlink;
	uv_timer_t reload_timer; /* makes one reload of many SIGHUPs */
	uv_timer_t metrics_timer;
	uv_timer_t settle_timer; /* lets changes of the kernel's tables gather */
	uv_timer_t warn_timer;
};

/* daemon.c: has NICs and next hops read again soon, once for all changes until then. */
void daemon_settle(struct daemon *daemon);

/* daemon_devices.c: NICs, their programs and TAPs, and the workers. Log what fails. */
int daemon_open_devices(struct daemon *daemon);
int daemon_start_workers(struct daemon *daemon);
void daemon_stop_workers(struct daemon *daemon);
void daemon_close_devices(struct daemon *daemon);

/* Reads the NICs again. Returns -ENODEV after logging when one is gone. */
int daemon_refresh_devices(struct daemon *daemon);

/* daemon_filter.c: tell the XDP programs which packets are theirs, after a state is published: the
 * VIPs follow the tables, the tunnels' addresses also the routes. Log what fails. */
void daemon_update_vip_filter(struct daemon *daemon);
void daemon_update_tunnel_filter(struct daemon *daemon);

/* daemon_forwarding.c: the forwarding state's life. Log what fails. */

/* Builds the first tables and state and waits, at most a second, for next hops. */
int daemon_first_forwarding(struct daemon *daemon);

/* Follows routes and neighbours: publishes another state if it differs. The caller logs. */
int daemon_follow_next_hops(struct daemon *daemon);

/* Reads the file again and makes it active, or says why not. Returns 0 or negative errno. */
int daemon_reload(struct daemon *daemon);

/* Warns about each backend that has no next hop, once until it has one again. */
void daemon_warn_next_hops(struct daemon *daemon);

/* daemon_vlans.c: warns about NICs with VLAN devices of which not everything works, once until it
 * does. */
void daemon_warn_vlans(struct daemon *daemon);

void daemon_release_forwarding(struct daemon *daemon);

/* daemon_listener.c: the HTTP listener, with the configuration of the start, and with another one.
 * Log what fails; with another one, it then goes on where it was. Return 0 or negative errno. */
int daemon_open_listener(struct daemon *daemon);
int daemon_follow_listener(struct daemon *daemon);

/* The path of the metrics file, or NULL. */
const char *daemon_metrics_path(const struct daemon *daemon);

/* Nanoseconds of the monotonic clock. */
uint64_t daemon_clock(void);

#endif
