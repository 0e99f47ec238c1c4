/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file (libconfig syntax), read strictly into plain structures.
 *
 * Reading never changes anything but its result: a file is either valid as a whole, or refused
 * with every error in it. Numbers, names and addresses are checked here, so that whoever uses a
 * struct configuration may rely on the ranges given below. What depends on the host (does the
 * interface exist, has it that queue, does its MTU hold the outer header) is checked by
 * configuration_check_host.
 *
 * Memory: a configuration owns everything it points to and is immutable once read.
 */
#ifndef FLUXPIN_CONFIGURATION_H
#define FLUXPIN_CONFIGURATION_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <fluxpin/address.h>
#include <fluxpin/decapsulation.h>
#include <fluxpin/encapsulation.h>
#include <fluxpin/vip_table.h>

/* Limits, also named in the messages. Backend and VIP indexes are 16 bits wide on the packet path.
 */
#define CONFIGURATION_MAX_BACKENDS   65535 /* over all pools */
#define CONFIGURATION_MAX_VIPS	     65535
#define CONFIGURATION_MAX_POOLS	     65535
#define CONFIGURATION_MAX_WEIGHT     65535
#define CONFIGURATION_MAX_QUEUES     1024 /* of one interface */
#define CONFIGURATION_MAX_PEERS	     256
#define CONFIGURATION_ANNOUNCE_TABLE 179
#define CONFIGURATION_NAME_LENGTH    63	  /* letters, digits, "-", "_", ".", ":" */
#define FINDINGS_MAX		     1000 /* those after are only counted */

enum slow_path {
	SLOW_PATH_TAP,
	SLOW_PATH_PASS,
};

/* What an AF_XDP socket may use, in the order in which "auto" tries them. */
enum xdp_mode {
	XDP_MODE_AUTO,
	XDP_MODE_ZEROCOPY, /* native XDP and zero-copy sockets */
	XDP_MODE_COPY,	   /* native XDP and copying sockets */
	XDP_MODE_GENERIC,  /* "skb": generic XDP and copying sockets */
};

enum health_check_type {
	HEALTH_CHECK_NONE,
	HEALTH_CHECK_TCP,
	HEALTH_CHECK_HTTP,
	HEALTH_CHECK_HTTPS,
	HEALTH_CHECK_UDP,
};

/* How a probe reaches the backend. */
enum health_check_via {
	HEALTH_CHECK_DIRECT, /* at its own address */
	HEALTH_CHECK_TUNNEL, /* at the VIP's, encapsulated as the VIP's packets are */
};

/* What a pool does whose backends are all down. */
enum all_down {
	ALL_DOWN_DROP, /* its packets */
	ALL_DOWN_ALL,  /* serves all of them, as a last resort */
};

enum affinity {
	AFFINITY_5TUPLE,
	AFFINITY_SOURCE,
};

/* Where to listen for clients of this host: a loopback address. */
struct listen_address {
	struct address address;
	uint16_t port; /* host order; 0: nowhere */
};

/* Where in the file something stands, from 1; line 0 means "not in the file". */
struct position {
	uint32_t line;
	uint32_t column;
};

/* Frames that a poll of the queue takes at most, unless told otherwise: a batch of a worker. */
#define BUSY_POLL_BUDGET_DEFAULT 64

/* Workers that poll their queues themselves. */
struct busy_poll_configuration {
	bool is_on;
	uint32_t budget;  /* frames, 1 to 1024 */
	uint64_t idle_ns; /* an idle worker goes on for this long before it sleeps, up to 1 s; 0: it
			   * never sleeps */
};

struct interface_configuration {
	char name[IF_NAMESIZE];
	uint16_t *queues; /* queue_count of them, ascending; NULL: every queue of the NIC */
	uint16_t *cpus;	  /* cpu_count of them, worker i takes cpus[i % cpu_count]; NULL: spread
			   * over the CPUs that the process may use */
	uint32_t queue_count;
	uint32_t cpu_count;
	enum xdp_mode mode;
	struct busy_poll_configuration busy_poll;
	struct position position;	 /* of the name */
	struct position queues_position; /* of the queues, or of the name */
	struct position cpus_position;
};

/* HTTP status codes, both ends included. */
struct status_range {
	uint16_t low;
	uint16_t high;
};

struct byte_string {
	uint8_t *bytes; /* NULL: not in the file */
	uint32_t length;
};

struct health_check_configuration {
	enum health_check_type type;
	enum health_check_via via;
	uint16_t port; /* host order */
	bool starts_down;
	bool insecure; /* of https: any certificate will do */
	char *path;    /* NULL without a check */
	char *host;    /* NULL: the backend's address and port */
	char *sni;     /* of https; NULL: none, and certificates are of the backend's address */
	char *ca_file; /* NULL: the system's */
	struct position ca_file_position;
	char *body;		       /* what the body must hold; NULL: anything */
	struct status_range *statuses; /* of http and https: the good ones, at least one range */
	uint32_t status_count;
	struct byte_string send; /* of udp */
	struct byte_string expect;
	struct address source; /* zero: the kernel's choice */
	char *vip_name;	       /* of a check through the tunnel; NULL: the pool's first VIP */
	struct address vip;    /* the address that goes with it; zero without a tunnel */
	uint64_t interval_ns;
	uint64_t timeout_ns;
	uint32_t rise;
	uint32_t fall;
};

struct backend_configuration {
	char *name; /* unique in its pool; the address as text when the file gives none */
	struct address address;
	uint16_t weight; /* 0: draining */
	uint32_t origin; /* index of the pool that names it: this one, or one that it contains */
	struct position position;
};

struct pool_configuration {
	char *name; /* unique */
	enum encapsulation encapsulation;
	bool udp_checksum;   /* of GUE */
	bool is_peers;	     /* the last one, made of `peers`: no VIP has it */
	uint32_t table_size; /* M, a prime above the number of backends, at most 2^24 */
	struct health_check_configuration health_check;
	enum all_down on_all_down;
	uint64_t slow_start_ns; /* 0: a backend has its whole weight at once */
	/* In the order of the file, then those of the pools that it contains. */
	struct backend_configuration *backends;
	uint32_t backend_count;
	uint32_t *contained; /* indexes of the pools that it contains, with those in these */
	uint32_t contained_count;
	struct position position;
};

struct vip_configuration {
	char *name; /* unique; "ADDRESS:PORT/PROTOCOL" ("[ADDRESS]:PORT/PROTOCOL" for IPv6) when
		     * the file gives none */
	struct prefix prefix;
	uint8_t protocol;     /* IPPROTO_TCP, IPPROTO_UDP, or 0 for any */
	uint16_t port;	      /* host order; 0: every port */
	uint32_t pool;	      /* index into pools */
	bool announce;	      /* false whenever the configuration does not announce at all */
	uint16_t min_healthy; /* backends without which it is not announced */
	bool fragments;
	bool tracking;
	enum icmp_echo icmp_echo;
	enum affinity affinity;
	struct position position;
};

struct configuration {
	uint64_t hash_seed;
	struct address source_ipv4; /* zero: the address that the interface's route prefers */
	struct address source_ipv6;
	struct interface_configuration *interfaces; /* in the order of the file */
	uint32_t interface_count;
	enum slow_path slow_path;
	struct {
		struct prefix *sources; /* of tunnels that end here; none: no tunnel does */
		uint32_t source_count;
		struct address addresses[DECAPSULATION_MAX_ADDRESSES];
		uint32_t address_count;
	} decapsulation;
	struct address *peers; /* the cluster's load balancers, this one (`peer_self`) included */
	uint32_t peer_count;   /* 0: alone */
	struct address peer_self;
	struct {
		uint32_t echo_rate; /* per second and worker, 0 to 1000000, default 1000 */
		uint32_t error_rate;
	} icmp;
	struct {
		uint32_t capacity;    /* flows per worker, 1024 to 2^23, default 1048576 */
		uint64_t tcp_idle_ns; /* 1 s to 9 h (CONNECTION_MAX_IDLE), whole seconds */
		uint64_t tcp_syn_idle_ns;
		uint64_t tcp_closing_idle_ns;
		uint64_t udp_idle_ns;
		uint64_t other_idle_ns;
		uint32_t new_rate; /* new entries per second and worker; 0: any number */
	} connections;
	struct {
		uint32_t capacity;   /* datagrams per worker, 256 to 32768, default 4096 */
		uint64_t timeout_ns; /* of one that is not complete, 10 ms to 60 s, default 2 s */
	} fragments;
	struct {
		uint32_t frames;     /* per worker, a power of two, 1024 to 2^20, default 8192 */
		uint32_t frame_size; /* 2048 or 4096 bytes */
	} umem;
	struct {
		char *textfile; /* NULL: none */
		uint64_t interval_ns;
		struct listen_address listen;
	} metrics;
	struct {
		bool is_on;	    /* `announce` is in the file */
		uint32_t table;	    /* of the kernel's routes, 1 to 2^31 - 1 and not 255 */
		uint64_t linger_ns; /* from the withdrawal to the end, 0 to 5 m */
		uint64_t stall_ns;  /* a worker that moves less often has stalled, 1 s to 1 m */
	} announce;
	char *control; /* path of the control socket; NULL: none */
	struct position control_position;
	struct pool_configuration *pools;
	uint32_t pool_count;
	struct vip_configuration *vips;
	uint32_t vip_count;
};

/* One finding about a file. Warnings do not make it invalid. */
struct finding {
	bool is_warning;
	struct position position; /* line 0: about the file as a whole */
	char *message;
};

/*
 * What was found, sorted by position, with the file's name and text so that it can be printed with
 * source lines. Freed with findings_release.
 */
struct findings {
	char *file;
	char *text; /* NULL when the file could not be read */
	struct finding *entries;
	uint32_t count;
	uint32_t error_count; /* those that are no warnings */
};

/*
 * Reads and validates FILE. *findings is always filled in (release it), *configuration only on
 * success (release it). Thread: control; blocks on file reads, allocates.
 * Returns 0; -EINVAL when findings holds errors (an unreadable file is one, with line 0); -ENOMEM.
 */
int configuration_read(const char *file, struct configuration **configuration,
		       struct findings *findings);

/*
 * Checks the interfaces of a valid configuration against this host: the interface exists, its
 * queues and the CPUs exist, its MTU holds the outer header and still 576 bytes of inner packet
 * (RFC 791 section 3.1); says the largest inner packet when the MTU does not fit a frame. Adds to
 * findings. Thread: control; makes system calls. Returns 0, or -EINVAL when errors were added.
 */
int configuration_check_host(const struct configuration *configuration, struct findings *findings);

/*
 * Warns of files that the configuration names and that fluxpin could not use as they are now, here
 * and for this process: CA files, the folder of the control socket. Errors are the daemon's to
 * tell: a file may be checked on another host, or before what it names is there. To be called
 * before configuration_check_host, which sorts. Thread: control; reads files. Returns 0 or -ENOMEM.
 */
int configuration_check_files(const struct configuration *configuration, struct findings *findings);

/*
 * Reads "IF[:QUEUES[@CPUS]]" of the command line, such as "eth0:0-3,6@2-5". Thread: start-up.
 * Returns 0, or -EINVAL with a message for the user in *error (static or to be kept, not freed).
 * interface_configuration_release frees the lists that it points to.
 */
int interface_configuration_parse(const char *text, struct interface_configuration *interface,
				  const char **error);
void interface_configuration_release(struct interface_configuration *interface);

/* Reads it onto the end of a list from malloc; a name that is there already is an error, too. The
 * list stays as it was on failure. As interface_configuration_parse; -ENOMEM likewise. */
int interface_configuration_add(const char *text, struct interface_configuration **list,
				uint32_t *count, const char **error);

/* "auto", "zerocopy", "copy" or "skb" to the mode and back. Returns 0 or -EINVAL. Thread: any. */
int xdp_mode_parse(const char *text, enum xdp_mode *mode);
const char *xdp_mode_name(enum xdp_mode mode);
const char *encapsulation_name(enum encapsulation encapsulation);

/* Pools and backends as the file has them: without that of the peers. Thread: any. */
struct configuration_size {
	uint32_t pools;
	uint32_t backends;
};
struct configuration_size configuration_size(const struct configuration *configuration);

/* Backends of all pools, those that several pools contain once for each. Thread: any. */
uint32_t configuration_backend_count(const struct configuration *configuration);

/* The bytes that the outer headers of a pool's backends take at most. Thread: any. */
uint32_t configuration_outer_header(const struct pool_configuration *pool);

/* Whether a pool has a backend of these names; that of the peers counts for none. Thread: any. */
bool configuration_has_backend(const struct configuration *configuration, const char *pool,
			       const char *backend);

/* Whether a pool is another one, or contains it: then each backend of that one is in it, under the
 * same name. Thread: any. */
bool configuration_contains(const struct configuration *configuration, uint32_t pool,
			    uint32_t other);

/* Whether a Maglev table may have that many slots: a prime, at most 2^24. Thread: any. */
bool configuration_is_table_size(uint32_t size);

void configuration_release(struct configuration *configuration);

/* Appends a finding; the message is formatted and copied. Thread: control. 0 or -ENOMEM. */
int findings_add(struct findings *findings, bool is_warning, struct position position,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Prints each finding as "FILE:LINE:COLUMN: message" ("FILE: message" for line 0; warnings with
 * "warning: " before the message), below it the source line and a caret. Thread: any.
 */
void findings_print(const struct findings *findings, FILE *stream);
void findings_release(struct findings *findings);

#endif
