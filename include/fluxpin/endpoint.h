/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend's side: an XDP program (bpf/endpoint.bpf.c) on the backend's NIC that takes the outer
 * headers off what the load balancer sends. The program stays when the command that attached it
 * ends, and is found again through the interface, so nothing is pinned and bpffs is not needed.
 *
 * Attached by netlink, without libxdp's dispatcher: the dispatcher needs bpffs to outlive the
 * command, and what it would buy, sharing the NIC with other XDP programs, is better refused
 * aloud. A foreign program is never replaced nor detached.
 *
 * The program decapsulates only what is addressed to this host. It knows the addresses that the
 * network namespace had at the last attach, without 127.0.0.0/8, ::1 and fe80::/10; attaching again
 * brings them up to date without touching traffic or counters.
 *
 * Thread: the command's only thread. Every call makes system calls on the kernel's tables and may
 * wait for the driver to attach; each logs, in words for the operator, why it fails.
 */
#ifndef FLUXPIN_ENDPOINT_H
#define FLUXPIN_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

/* Room for what any version of the program counts. */
#define ENDPOINT_COUNTERS_MAX 32

/* Room for a program's name, with its terminating zero (BPF_OBJ_NAME_LEN of the kernel). */
#define ENDPOINT_PROGRAM_NAME_SIZE 16

enum endpoint_mode {
	ENDPOINT_MODE_AUTO,    /* native, or generic where the driver has no XDP */
	ENDPOINT_MODE_NATIVE,  /* in the driver */
	ENDPOINT_MODE_GENERIC, /* "skb": in the stack, for any device */
};

enum endpoint_outcome {
	ENDPOINT_ATTACHED,
	ENDPOINT_REFRESHED, /* was attached: the addresses were read again, counters go on */
	ENDPOINT_REPLACED, /* another version of the program was attached: swapped, counters at 0 */
};

struct endpoint_counter {
	const char *name;	 /* static */
	const char *description; /* static */
	uint64_t frames;	 /* over all CPUs, since the program was attached */
};

struct endpoint_status {
	bool is_attached; /* our program; without it, only foreign_program says anything */
	char foreign_program[ENDPOINT_PROGRAM_NAME_SIZE]; /* "" when no other program is there */
	enum endpoint_mode mode; /* as the kernel has it: native or generic */
	uint32_t program_id;
	uint32_t address_count;		/* that the program knows */
	uint32_t missing_address_count; /* of this host that it does not know: attach again */
	uint32_t counter_count;
	struct endpoint_counter counters[ENDPOINT_COUNTERS_MAX];
};

/*
 * Attaches the program to the interface, or refreshes the one that is there. An attached program
 * keeps its mode: asking for the other one is an error.
 * Returns 0 with *outcome; -EBUSY when another XDP program is there; -EEXIST for the other mode;
 * another negative errno from the kernel.
 */
int endpoint_attach(const char *interface, enum endpoint_mode mode, enum endpoint_outcome *outcome);

/* Detaches our program. Returns 0; -ENOENT when it is not there; another negative errno. */
int endpoint_detach(const char *interface);

/*
 * Reads the state from the kernel. Nothing attached, or another program, is no failure: is_attached
 * is then false. Returns 0 or negative errno (*status is untouched).
 */
int endpoint_status(const char *interface, struct endpoint_status *status);

/* "auto", "native" or "skb" to the mode and back. Returns 0 or -EINVAL. Thread: any. */
int endpoint_mode_parse(const char *text, enum endpoint_mode *mode);
const char *endpoint_mode_name(enum endpoint_mode mode);

#endif
