/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "announce_internal.h"

struct entry {
	struct prefix prefix;
	bool is_present;
};

struct announce {
	struct netlink requests;
	struct netlink events;
	struct guard guard;
	struct entry *entries; /* what is to be announced, sorted */
	uint32_t count;
	uint32_t table;
	int lock;
	bool has_failed;  /* told that the table cannot be read or that a route stays */
	bool has_refused; /* told that a route cannot be added */
	bool is_blocked;  /* told that a route of somebody else is in the way */
	bool is_robbed;	  /* by what is being read: a route is to be put back */
};

static int open_sockets(struct announce *announce)
{
	const unsigned int groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE };
	uint32_t removed;
	int error = announce_route_open(&announce->requests);

	if (error == 0)
		error = netlink_open_events(&announce->events, groups, 2);
	if (error == 0)
		error = announce_clear(&announce->requests, announce->table, &removed);
	if (error == 0 && removed > 0)
		log_info("removed routes that an earlier fluxpin left in table %u: %u",
			 announce->table, removed);
	return error;
}

int announce_open(uint32_t table, struct announce **result)
{
	struct announce *announce = calloc(1, sizeof(*announce));
	int error;

	if (announce == NULL)
		return -ENOMEM;
	announce->table = table;
	announce->guard.pipe = -1;
	announce->lock = -1;
	error = announce_lock(table, &announce->lock);
	if (error == -EBUSY)
		log_error("announcing: another fluxpin has table %u; give this one another "
			  "\"table\"",
			  table);
	if (error == 0) {
		error = open_sockets(announce);
		/* Before the first route. */
		if (error == 0)
			error = guard_start(&announce->guard, table);
		if (error != 0)
			log_error("announcing by table %u: %s", table, strerror(-error));
	}
	if (error != 0) {
		announce_close(announce);
		return error;
	}
	*result = announce;
	return 0;
}

uint32_t announce_table(const struct announce *announce)
{
	return announce->table;
}

static struct entry *find(const struct announce *announce, const struct prefix *prefix)
{
	/* The prefix is the first member. */
	return announce->count == 0 ? NULL
				    : bsearch(prefix, announce->entries, announce->count,
					      sizeof(*announce->entries), prefix_compare);
}

static void tell_failure(struct announce *announce, const char *what, int error)
{
	if (!announce->has_failed)
		log_error("announcing by table %u: %s: %s; trying again", announce->table, what,
			  strerror(-error));
	announce->has_failed = true;
}

static void remove_route(struct announce *announce, const struct prefix *prefix)
{
	int error = announce_route_remove(&announce->requests, announce->table, prefix);

	/* Tried again by announce_refresh, which finds a route that is not to be there. */
	if (error != 0 && error != -ESRCH)
		tell_failure(announce, "withdrawing", error);
}

/* Adds what is missing. Returns whether something seems to be there already. */
static bool add_missing(struct announce *announce)
{
	uint32_t refused = 0;
	bool is_doubtful = false;

	for (uint32_t i = 0; i < announce->count; i++) {
		struct entry *entry = &announce->entries[i];
		char text[ADDRESS_TEXT_SIZE];
		int error;

		if (entry->is_present)
			continue;
		error = announce_route_add(&announce->requests, announce->table, &entry->prefix);
		entry->is_present = error == 0;
		is_doubtful |= error == -EEXIST;
		if (error == 0 || error == -EEXIST)
			continue;
		if (refused++ == 0 && !announce->has_refused)
			log_error("announcing %s by table %u: %s; trying again",
				  prefix_format(&entry->prefix, text), announce->table,
				  strerror(-error));
	}
	announce->has_refused = refused > 0;
	return is_doubtful;
}

/* Brings entries and table together, by what the kernel lists. */
static void compare(struct announce *announce)
{
	struct prefix_list list = { 0 };
	int error = announce_route_list(&announce->requests, announce->table, &list);
	bool is_blocked;

	if (error != 0) {
		tell_failure(announce, "reading the table", error);
		free(list.prefixes);
		return;
	}
	announce->has_failed = false;
	for (uint32_t i = 0; i < announce->count; i++)
		announce->entries[i].is_present = false;
	for (uint32_t i = 0; i < list.count; i++) {
		struct entry *entry = find(announce, &list.prefixes[i]);

		if (entry != NULL)
			entry->is_present = true;
		else
			remove_route(announce, &list.prefixes[i]);
	}
	free(list.prefixes);
	is_blocked = add_missing(announce);
	if (is_blocked && !announce->is_blocked)
		log_error("announcing by table %u: a route of somebody else is in the way; trying "
			  "again",
			  announce->table);
	announce->is_blocked = is_blocked;
}

int announce_set(struct announce *announce, const struct prefix *prefixes, uint32_t count)
{
	struct entry *entries = count > 0 ? calloc(count, sizeof(*entries)) : NULL;
	struct entry *old = announce->entries;
	uint32_t old_count = announce->count;

	if (count > 0 && entries == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const struct entry *before = find(announce, &prefixes[i]);

		entries[i].prefix = prefixes[i];
		if (before != NULL)
			entries[i] = *before;
	}
	if (count > 0)
		qsort(entries, count, sizeof(*entries), prefix_compare);
	announce->entries = entries;
	announce->count = count;
	for (uint32_t i = 0; i < old_count; i++)
		if (old[i].is_present && find(announce, &old[i].prefix) == NULL)
			remove_route(announce, &old[i].prefix);
	free(old);
	if (add_missing(announce))
		compare(announce);
	return 0;
}

void announce_withdraw(struct announce *announce)
{
	for (uint32_t i = 0; i < announce->count; i++)
		if (announce->entries[i].is_present)
			remove_route(announce, &announce->entries[i].prefix);
	announce->count = 0;
}

bool announce_has(const struct announce *announce, const struct prefix *prefix)
{
	const struct entry *entry = find(announce, prefix);

	return entry != NULL && entry->is_present;
}

uint32_t announce_count(const struct announce *announce)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < announce->count; i++)
		count += announce->entries[i].is_present;
	return count;
}

static int take_event(const struct nlmsghdr *message, void *context)
{
	struct announce *announce = context;
	char text[ADDRESS_TEXT_SIZE];
	struct prefix prefix;
	struct entry *entry;

	/* What this process did is known. */
	if (message->nlmsg_type != RTM_DELROUTE ||
	    message->nlmsg_pid == mnl_socket_get_portid(announce->requests.socket) ||
	    !announce_route_parse(message, announce->table, &prefix))
		return 0;
	entry = find(announce, &prefix);
	if (entry != NULL && entry->is_present) {
		log_warning("somebody removed the route by which %s is announced: putting it back",
			    prefix_format(&prefix, text));
		entry->is_present = false;
		announce->is_robbed = true;
	}
	return 0;
}

int announce_drain(struct announce *announce)
{
	bool is_lost = false;
	int error;

	/* What the kernel refuses is not tried again here: that would be ten times a second. */
	announce->is_robbed = false;
	error = netlink_receive_events(&announce->events, take_event, announce, &is_lost);
	if ((announce->is_robbed && add_missing(announce)) || is_lost)
		compare(announce);
	return error;
}

void announce_refresh(struct announce *announce)
{
	int error;

	compare(announce);
	if (!guard_is_gone(&announce->guard))
		return;
	error = guard_start(&announce->guard, announce->table);
	if (error != 0)
		tell_failure(announce, "starting the guard", error);
	else
		log_warning("the guard of the announced routes had ended: started another one");
}

void announce_close(struct announce *announce)
{
	if (announce == NULL)
		return;
	announce_withdraw(announce);
	netlink_close(&announce->requests);
	netlink_close(&announce->events);
	/* First, so that the guard can try again what could not be withdrawn here. */
	if (announce->lock >= 0)
		close(announce->lock);
	guard_stop(&announce->guard);
	free(announce->entries);
	free(announce);
}
