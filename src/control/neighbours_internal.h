/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of the neighbours module: what was asked for, and what the answer was, so that
 * the kernel's reports can be told apart into those that alter an answer and all others.
 */
#ifndef FLUXPIN_NEIGHBOURS_INTERNAL_H
#define FLUXPIN_NEIGHBOURS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/address.h>
#include <fluxpin/neighbours.h>
#include <fluxpin/netlink.h>

#include "links.h"
#include "neighbour_entry.h"

enum asked_kind {
	ASKED_DESTINATION, /* a route was looked up for it */
	ASKED_NEIGHBOUR,   /* its neighbour entry was looked at */
};

struct asked {
	/* The key, compared as bytes. */
	struct address address;
	int index;
	enum asked_kind kind;

	bool is_in_round; /* asked for since neighbours_begin_round */
	struct asked *next;

	bool is_answered; /* in this round, or since the last one */
	/* The last answer, of a neighbour. */
	bool is_managed; /* the entry is ours: remove it when nobody asks any more */
	bool is_valid;
	uint8_t mac[6];
};

struct neighbours {
	struct netlink requests;
	struct netlink events;
	void *tree;	     /* of struct asked, for tsearch(3) */
	struct asked *first; /* all of them */
	struct links links;
	bool is_passive;	     /* only looks: see neighbours_open_passive */
	bool is_in_round;	     /* between neighbours_begin_round and neighbours_end_round */
	bool is_repeating;	     /* see neighbours_repeat */
	bool is_managing_refused;    /* Linux before 5.16 */
	bool is_table_full;	     /* the kernel's, at some time: told once */
	bool are_leftovers_searched; /* for entries of a killed process */
};

/* The record of a key, marked as asked for in this round; made when missing. NULL: no memory. */
struct asked *asked_obtain(struct neighbours *neighbours, enum asked_kind kind,
			   const struct address *address, int index);
/* The record of a key or NULL. */
struct asked *asked_find(const struct neighbours *neighbours, enum asked_kind kind,
			 const struct address *address, int index);
/* Whether an entry gives what was last answered for it, so that nobody has to ask again. */
bool asked_is_answered_by(const struct asked *asked, const struct neighbour_entry *entry);
/* Takes a record out and frees it; *link is the pointer that leads to it in the list. */
void asked_remove(struct neighbours *neighbours, struct asked **link);

/* Whether anything was asked for over the interface. */
bool asked_is_over(const struct neighbours *neighbours, int index);

/* Reads all interfaces, to compare later reports with. Returns 0 or negative errno. */
int links_read(struct neighbours *neighbours);

#endif
