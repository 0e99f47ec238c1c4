/* SPDX-License-Identifier: BSD-2-Clause */
#include "neighbours_internal.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/log.h>

int neighbours_open(struct neighbours **neighbours)
{
	static const unsigned int groups[] = {
		RTNLGRP_LINK,	     RTNLGRP_NEIGH,	 RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
		RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,	 RTNLGRP_NEXTHOP,
	};
	struct neighbours *result = calloc(1, sizeof(*result));
	int error = -ENOMEM;

	if (result == NULL)
		goto report;
	/* Listen first: a change between reading and listening would be missed. */
	error = netlink_open_events(&result->events, groups, sizeof(groups) / sizeof(groups[0]));
	if (error == 0)
		error = netlink_open(&result->requests);
	if (error == 0)
		error = links_read(result);
	if (error != 0)
		goto close_neighbours;
	*neighbours = result;
	return 0;

close_neighbours:
	neighbours_close(result);
report:
	log_error("cannot open rtnetlink: %s", strerror(-error));
	return error;
}

int neighbours_open_passive(struct neighbours **neighbours)
{
	int error = neighbours_open(neighbours);

	if (error == 0)
		(*neighbours)->is_passive = true;
	return error;
}

int neighbours_descriptor(const struct neighbours *neighbours)
{
	return mnl_socket_get_fd(neighbours->events.socket);
}

static void remove_entry(struct neighbours *neighbours, const struct address *address, int index)
{
	char text[ADDRESS_TEXT_SIZE];
	int error = neighbour_entry_remove(&neighbours->requests, address, index);

	if (error != 0)
		log_warning("cannot remove the neighbour entry of %s: %s",
			    address_format(address, text), strerror(-error));
}

void neighbours_begin_round(struct neighbours *neighbours)
{
	neighbours->is_in_round = true;
	for (struct asked *asked = neighbours->first; asked != NULL; asked = asked->next) {
		asked->is_in_round = false;
		asked->is_answered = false;
	}
}

struct leftovers {
	const struct neighbours *neighbours;
	struct neighbour_entry *entries;
	uint32_t count;
	uint32_t room;
};

static int collect_leftover(const struct nlmsghdr *message, void *context)
{
	struct leftovers *leftovers = context;
	struct neighbour_entry entry;

	if (!neighbour_entry_parse(message, &entry) || !neighbour_entry_is_ours(&entry) ||
	    asked_find(leftovers->neighbours, ASKED_NEIGHBOUR, &entry.address, entry.index) != NULL)
		return 0;
	if (leftovers->count == leftovers->room) {
		uint32_t room = leftovers->room == 0 ? 64 : 2 * leftovers->room;
		struct neighbour_entry *entries =
			reallocarray(leftovers->entries, room, sizeof(*entries));

		if (entries == NULL)
			return -ENOMEM;
		leftovers->entries = entries;
		leftovers->room = room;
	}
	leftovers->entries[leftovers->count++] = entry;
	return 0;
}

/* What a killed process held and this one does not ask for. */
static int remove_leftovers(struct neighbours *neighbours)
{
	struct leftovers leftovers = { .neighbours = neighbours };
	struct netlink_request request;
	struct ndmsg *header;
	struct nlmsghdr *message =
		netlink_start(&request, RTM_GETNEIGH, NLM_F_DUMP, sizeof(*header), &header);
	int error = netlink_execute(&neighbours->requests, message, collect_leftover, &leftovers);

	for (uint32_t i = 0; i < leftovers.count; i++)
		remove_entry(neighbours, &leftovers.entries[i].address, leftovers.entries[i].index);
	if (leftovers.count > 0)
		log_info("removed neighbour entries of an earlier process: %u", leftovers.count);
	free(leftovers.entries);
	return error;
}

void neighbours_end_round(struct neighbours *neighbours)
{
	struct asked **link = &neighbours->first;

	neighbours->is_in_round = false;
	while (*link != NULL) {
		struct asked *asked = *link;

		if (asked->is_in_round) {
			link = &asked->next;
			continue;
		}
		if (asked->is_managed)
			remove_entry(neighbours, &asked->address, asked->index);
		asked_remove(neighbours, link);
	}
	if (!neighbours->are_leftovers_searched) {
		int error = remove_leftovers(neighbours);

		if (error != 0)
			log_warning("cannot look for old neighbour entries: %s", strerror(-error));
		neighbours->are_leftovers_searched = error == 0;
	}
}

void neighbours_close(struct neighbours *neighbours)
{
	if (neighbours == NULL)
		return;
	while (neighbours->first != NULL) {
		struct asked *asked = neighbours->first;

		if (asked->is_managed)
			remove_entry(neighbours, &asked->address, asked->index);
		asked_remove(neighbours, &neighbours->first);
	}
	netlink_close(&neighbours->requests);
	netlink_close(&neighbours->events);
	free(neighbours->links.list);
	free(neighbours);
}
