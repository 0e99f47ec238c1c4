/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The doctor: looks at a host for what keeps a load balancer or a backend from doing its work, and
 * says for each finding what it is, in one sentence, and the command that mends it. It changes
 * nothing; it may have the kernel ask for a neighbour, as a ping would. It may run beside fluxpin.
 *
 * Thread: a command's only one. Makes system calls, allocates, and may wait some seconds for
 * neighbours that do not answer.
 */
#ifndef FLUXPIN_DOCTOR_H
#define FLUXPIN_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/configuration.h>

enum doctor_severity {
	DOCTOR_OK,	/* looked at, and right */
	DOCTOR_NOTE,	/* worth knowing; nothing is lost by it */
	DOCTOR_WARNING, /* works, but not for every packet, or not for long */
	DOCTOR_ERROR,	/* will not work */
};

#define DOCTOR_SEVERITY_COUNT 4

struct doctor_finding {
	enum doctor_severity severity;
	const char *check; /* a stable name of what was looked at, such as "mtu"; static */
	char *subject;	/* the interface, "POOL/BACKEND" or VIP that it is about; "" for the host */
	char *sentence; /* for people, of what is so */
	char *command;	/* for a shell, as root; NULL: there is none that surely mends it */
};

struct doctor_report {
	struct doctor_finding *findings; /* in the order in which they were looked at */
	uint32_t count;
	uint32_t by_severity[DOCTOR_SEVERITY_COUNT];
	int error; /* negative errno of what could not be added; 0: complete */
};

/* What a load balancer's doctor looks at. */
struct doctor_options {
	const char *file;			    /* the configuration, or NULL: host and NICs */
	struct interface_configuration *interfaces; /* in place of those of the file */
	uint32_t interface_count;
};

/* Examines the load balancer. Returns 0 or -ENOMEM; release the report in both cases. */
int doctor_examine(const struct doctor_options *options, struct doctor_report *report);

struct doctor_endpoint_options {
	const char *interface;
	const char *file;	   /* of the load balancer: its VIPs and pools; or NULL */
	const struct prefix *vips; /* besides */
	uint32_t vip_count;
};

/* Examines a backend. Returns 0 or -ENOMEM; release the report in both cases. */
int doctor_examine_endpoint(const struct doctor_endpoint_options *options,
			    struct doctor_report *report);

/* How far a probe came. */
enum doctor_probe_outcome {
	PROBE_IMPOSSIBLE, /* nothing could be sent: see the sentence */
	PROBE_NO_NEXT_HOP,
	PROBE_NO_ANSWER,
	PROBE_ICMP_ERROR,
	PROBE_REFUSED, /* RST: the VIP is there, and nobody listens */
	PROBE_ANSWERED,
};

struct doctor_probe_options {
	struct doctor_options host;
	const char *target; /* "POOL/BACKEND" */
	const char *vip;    /* name of the VIP to probe, or NULL: one of TCP if there is one */
};

/*
 * Sends a TCP SYN to a VIP of the pool, encapsulated to that backend as a client's packet is, and
 * waits a second for the answer, which comes from the VIP straight to this host; then one of full
 * size. The last finding of the report is about how far it came. Returns 0 or -ENOMEM.
 */
int doctor_probe(const struct doctor_probe_options *options, enum doctor_probe_outcome *outcome,
		 struct doctor_report *report);

/* "impossible", "no next hop", "no answer", "icmp error", "refused", "answered". */
const char *doctor_probe_outcome_name(enum doctor_probe_outcome outcome);

/* "ok", "note", "warning", "error". */
const char *doctor_severity_name(enum doctor_severity severity);

void doctor_report_release(struct doctor_report *report);

#endif
