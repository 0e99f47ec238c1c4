/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fragment table of a worker (Maglev, section 4.3): what was decided on the first fragment of a
 * datagram, so that the later ones follow it, and the fragments that wait because they came before
 * that was decided.
 *
 * Memory is fixed and given at the start: datagrams of two cache lines each, found by a 64-bit key,
 * and at most FRAGMENT_MOST_HELD packets that wait. Datagrams that wait and those that are decided
 * stand in two queues, each by age; when there is no room, the oldest one makes it. Nothing is
 * reassembled: of each datagram the table knows which parts have been seen, so that overlapping
 * ones are found out (RFC 5722, RFC 8200 section 4.5), and that a datagram which is complete is
 * forgotten at once, before its identification is used again.
 *
 * Thread: the worker that owns the table; `count` and `held_count` may be read by others.
 */
#ifndef FLUXPIN_FRAGMENT_TABLE_H
#define FLUXPIN_FRAGMENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fluxpin/fragment.h>
#include <fluxpin/packet.h>

#define FRAGMENT_MIN_CAPACITY 256 /* more than one batch begins */
#define FRAGMENT_MAX_CAPACITY 32768
#define FRAGMENT_MOST_HELD    256 /* packets; the frames are the port's */
#define FRAGMENT_MOST_RANGES  21

enum datagram_state {
	DATAGRAM_WAITING, /* for its first fragment, or for what is known of the flow */
	DATAGRAM_CHOSEN,  /* goes to a backend */
	DATAGRAM_ECHO,	  /* is an echo request that is answered, fragment by fragment */
	DATAGRAM_KERNEL,  /* for no VIP: goes the slow path */
	DATAGRAM_REFUSED, /* dropped, for `reason` */
};

struct datagram {
	uint64_t key;
	uint64_t since_ns; /* when it came into its queue */
	uint64_t hash;	   /* of the flow, when CHOSEN */
	uint16_t next;	   /* of the same bucket */
	uint16_t older;	   /* in its queue */
	uint16_t newer;
	uint16_t held;	     /* the first that waits */
	uint16_t backend;    /* when CHOSEN */
	uint16_t generation; /* of that index */
	uint16_t vip;	     /* index */
	uint16_t end;	     /* of the datagram in units, once the last fragment was seen; else 0 */
	uint8_t state;	     /* enum datagram_state */
	uint8_t reason;	     /* enum drop_reason, when REFUSED */
	uint8_t range_count;
	bool is_away; /* its first fragment: others look for the flow, and it WAITS for that */
	struct fragment_range {
		uint16_t start, end; /* in units: what was seen, merged, ascending */
	} ranges[FRAGMENT_MOST_RANGES];
} __attribute__((aligned(64)));

struct fragment_table {
	struct datagram *datagrams;
	uint16_t *buckets; /* first datagram of each chain */
	struct held_fragment {
		struct packet packet;
		uint16_t next; /* of the same datagram, or free */
		uint16_t offset;
	} * held;
	uint32_t mask; /* buckets - 1 */
	uint32_t capacity;
	uint32_t held_limit; /* at most FRAGMENT_MOST_HELD */
	uint16_t free;	     /* chain of unused datagrams, by next */
	uint16_t free_held;
	struct fragment_queue {
		uint16_t oldest, newest;
	} waiting, decided;
	uint64_t timeout_ns;
	uint32_t away_count; /* of datagrams */
	/* Single writer, read by the control thread. */
	uint64_t count;
	uint64_t held_count;
};

enum fragment_fit {
	FRAGMENT_FITS,
	FRAGMENT_DUPLICATE, /* nothing in it that was not seen */
	FRAGMENT_OVERLAPS,  /* partly seen, beyond the end, or in more pieces than are kept */
};

/* Bytes of memory for a table of `capacity` datagrams. */
size_t fragment_table_size(uint32_t capacity);

/*
 * Makes an empty table in `memory`, aligned to 64 bytes and fragment_table_size(capacity) long; it
 * stays the caller's. FRAGMENT_MIN_CAPACITY <= capacity <= FRAGMENT_MAX_CAPACITY.
 */
void fragment_table_initialise(struct fragment_table *table, void *memory, uint32_t capacity,
			       uint32_t held_limit, uint64_t timeout_ns);

struct datagram *fragment_table_find(const struct fragment_table *table, uint64_t key);

/* A new datagram, WAITING. The table is not full. */
struct datagram *fragment_table_add(struct fragment_table *table, uint64_t key, uint64_t now_ns);
bool fragment_table_is_full(const struct fragment_table *table);

/* Moves a WAITING datagram to the decided ones; the caller fills in what was decided. */
void fragment_table_decide(struct fragment_table *table, struct datagram *datagram,
			   enum datagram_state state, uint64_t now_ns);

/* The oldest of the WAITING or of the decided datagrams, or NULL. */
struct datagram *fragment_table_oldest(const struct fragment_table *table, bool is_waiting);

/* The oldest datagram that holds a packet, or NULL. */
struct datagram *fragment_table_oldest_holder(const struct fragment_table *table);

/* Notes that the first fragment of a datagram is with another worker, or back. What comes behind it
 * meanwhile is held, so that only a few may be away: whether one more may. */
bool fragment_table_may_be_away(const struct fragment_table *table);
void fragment_table_set_away(struct fragment_table *table, struct datagram *datagram, bool is_away);
bool fragment_table_is_expired(const struct fragment_table *table, const struct datagram *datagram,
			       uint64_t now_ns);

/* Forgets a datagram of which no fragment waits. */
void fragment_table_remove(struct fragment_table *table, struct datagram *datagram);

/* Notes which part of the datagram the fragment is; unless it FITS, nothing changes. */
enum fragment_fit fragment_table_note(struct datagram *datagram, const struct fragment *fragment);

/* Whether every part was seen. */
bool fragment_table_is_complete(const struct datagram *datagram);

/* Keeps a packet, with its frame, for later. False when there is no room for one more. That no
 * order is kept among them makes it cheap, whoever sends them. */
bool fragment_table_hold(struct fragment_table *table, struct datagram *datagram,
			 const struct packet *packet, uint16_t offset);

/* Puts the packets of the datagram that wait in the order of their offsets, all different. */
void fragment_table_sort(const struct fragment_table *table, struct datagram *datagram);

/* Takes out the first packet of the datagram that waits. False: none does. */
bool fragment_table_take(struct fragment_table *table, struct datagram *datagram,
			 struct packet *packet);

#endif
