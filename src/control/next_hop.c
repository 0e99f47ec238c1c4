/* SPDX-License-Identifier: BSD-2-Clause */
#include "neighbours_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/log.h>

#include "ways.h"

const char *next_hop_state_name(enum next_hop_state state)
{
	switch (state) {
	case NEXT_HOP_RESOLVED:
		return "resolved";
	case NEXT_HOP_NO_ROUTE:
		return "no route";
	case NEXT_HOP_LOCAL:
		return "local";
	case NEXT_HOP_OTHER_INTERFACE:
		return "other interface";
	case NEXT_HOP_TOO_MANY_TAGS:
		return "behind more than two VLAN tags";
	case NEXT_HOP_NO_NEIGHBOUR:
		return "no neighbour";
	case NEXT_HOP_NO_SOURCE:
		return "no source address";
	case NEXT_HOP_OFF_LINK:
		return "not on the same link, which l2 needs";
	}
	return "unknown";
}

/* Makes the entry ours and reads it again. */
static int manage_entry(struct neighbours *neighbours, bool must_be_new,
			struct neighbour_entry *entry)
{
	struct netlink *netlink = &neighbours->requests;
	const struct address address = entry->address;
	int index = entry->index;
	int error = neighbour_entry_manage(netlink, &address, index, must_be_new);

	/* Its table is full: that one neighbour is missing, the others need not be. */
	if (error == -ENOBUFS) {
		if (!neighbours->is_table_full)
			log_warning("the kernel's neighbour table is full (sysctl "
				    "net.ipv4.neigh.default.gc_thresh3)");
		neighbours->is_table_full = true;
		return -ENOENT;
	}
	/* Somebody else was quicker: theirs is looked at again after its report. */
	if (error != 0 && error != -EEXIST)
		return error;
	error = neighbour_entry_read(netlink, &address, index, entry);
	if (error == 0 && entry->extended_flags == 0 && !neighbours->is_managing_refused &&
	    entry->protocol == NEIGHBOURS_PROTOCOL) {
		log_debug("this kernel has no managed neighbour entries; asking it to probe");
		neighbours->is_managing_refused = true;
	}
	return error;
}

/* Reads the entry and changes nothing; what is not known is asked for. */
static int look(struct neighbours *neighbours, const struct address *address, int index,
		struct neighbour_entry *entry)
{
	const unsigned int under_way = NUD_INCOMPLETE;
	int error = neighbour_entry_read(&neighbours->requests, address, index, entry);

	if (error == -ENOENT) {
		error = neighbour_entry_ask(&neighbours->requests, address, index);
		return error == 0
			       ? neighbour_entry_read(&neighbours->requests, address, index, entry)
			       : error;
	}
	if (error == 0 && !neighbour_entry_is_valid(entry) && (entry->state & under_way) == 0)
		error = neighbour_entry_probe(&neighbours->requests, entry);
	return error;
}

/*
 * Reads the entry and sees to it that the kernel keeps it fresh: creates it, or takes over one that
 * the kernel itself learned. What the operator or a routing daemon set is left alone.
 */
static int keep_fresh(struct neighbours *neighbours, const struct address *address, int index,
		      struct neighbour_entry *entry)
{
	int error = neighbour_entry_read(&neighbours->requests, address, index, entry);
	bool is_managed = (entry->extended_flags & NTF_EXT_MANAGED) != 0;
	bool is_foreign;

	if (error == -ENOENT) {
		*entry = (struct neighbour_entry){ .address = *address, .index = index };
		return manage_entry(neighbours, true, entry);
	}
	if (error != 0 || neighbour_entry_is_static(entry) || (entry->flags & NTF_EXT_LEARNED) != 0)
		return error;
	is_foreign = entry->protocol == 0 ? is_managed : entry->protocol != NEIGHBOURS_PROTOCOL;
	if (is_foreign || neighbours->is_managing_refused) {
		if ((entry->state & NUD_REACHABLE) != 0)
			return 0;
		return neighbour_entry_probe(&neighbours->requests, entry);
	}
	if (neighbour_entry_is_ours(entry) && neighbour_entry_is_valid(entry))
		return 0;
	/* Also for one of ours that has failed: the kernel starts to ask again at once. */
	return manage_entry(neighbours, false, entry);
}

static int resolve_neighbour(struct neighbours *neighbours, const struct address *address,
			     int index, const struct asked **answer)
{
	struct asked *asked = asked_obtain(neighbours, ASKED_NEIGHBOUR, address, index);
	struct neighbour_entry entry = { 0 };
	int error;

	if (asked == NULL)
		return -ENOMEM;
	/*
	 * One answer a round for all that send by this neighbour. Were it looked at again and had
	 * changed meanwhile, the report of that would equal the last answer and be taken for no
	 * news, and who got the answer before would keep it.
	 */
	if ((neighbours->is_in_round || neighbours->is_repeating) && asked->is_answered) {
		*answer = asked;
		return 0;
	}
	error = neighbours->is_passive ? look(neighbours, address, index, &entry)
				       : keep_fresh(neighbours, address, index, &entry);
	/* Removed between two requests: its report is on the way and starts a new round. */
	if (error == -ENOENT)
		entry = (struct neighbour_entry){ 0 };
	else if (error != 0)
		return error;
	asked->is_answered = true;
	asked->is_managed = !neighbours->is_passive && neighbour_entry_is_ours(&entry);
	asked->is_valid = neighbour_entry_is_valid(&entry);
	memcpy(asked->mac, entry.mac, sizeof(asked->mac));
	*answer = asked;
	return 0;
}

/*
 * Of several routers one is chosen by the destination, so that backends spread over them, and each
 * stays with its own as long as that one answers.
 */
static int resolve_gateways(struct neighbours *neighbours, const struct address *destination,
			    int nic, const struct ways *ways, const struct way_out **chosen,
			    struct next_hop *next_hop)
{
	uint32_t start = ntohl(destination->words_be[3]) % ways->count;

	next_hop->state = NEXT_HOP_NO_NEIGHBOUR;
	*chosen = &ways->list[start];
	for (uint32_t i = 0; i < ways->count; i++) {
		const struct way_out *way = &ways->list[(start + i) % ways->count];
		const struct asked *answer;
		int error = resolve_neighbour(neighbours, &way->gateway.address,
					      way->gateway.device, &answer);

		/* A VLAN device that has just been removed: the report is on the way. */
		if (error == -ENODEV && way->gateway.device != nic)
			continue;
		if (error != 0)
			return error;
		if (answer->is_valid && next_hop->state != NEXT_HOP_RESOLVED) {
			next_hop->state = NEXT_HOP_RESOLVED;
			*chosen = way;
			memcpy(next_hop->mac, answer->mac, sizeof(next_hop->mac));
		}
	}
	return 0;
}

static int remember_destination(struct neighbours *neighbours, const struct address *destination,
				int nic)
{
	struct link *link;

	if (asked_find(neighbours, ASKED_DESTINATION, destination, nic) == NULL) {
		link = link_find(&neighbours->links, nic);
		if (link != NULL)
			link->is_asked = true;
	}
	if (asked_obtain(neighbours, ASKED_DESTINATION, destination, nic) == NULL)
		return -ENOMEM;
	return 0;
}

/* What goes with the way: the device, its tags and MAC address, the MTU and the source address. */
static int describe_way(struct neighbours *neighbours, const struct address *destination, int nic,
			const struct way_out *way, struct next_hop *next_hop)
{
	struct vlan_stack stack;
	int error;

	next_hop->gateway = way->gateway.address;
	next_hop->device = way->gateway.device;
	next_hop->source = way->source;
	next_hop->mtu = way->mtu;
	if (link_find_stack(&neighbours->links, next_hop->device, nic, &stack) ==
	    NEXT_HOP_RESOLVED) {
		next_hop->tag_count = stack.count;
		memcpy(next_hop->tags, stack.tags, sizeof(next_hop->tags));
		memcpy(next_hop->source_mac, stack.mac, sizeof(next_hop->source_mac));
		if (stack.count > 0 && (next_hop->mtu == 0 || stack.mtu < next_hop->mtu))
			next_hop->mtu = stack.mtu;
	}
	if (!address_is_zero(&next_hop->source))
		return 0;
	error = route_lookup_source(neighbours, destination, next_hop->device, &next_hop->source);
	return route_is_refusal(error) || (error == -ENODEV && next_hop->device != nic) ? 0 : error;
}

int next_hop_resolve(struct neighbours *neighbours, const struct address *destination, int index,
		     struct next_hop *next_hop)
{
	struct next_hop result = { 0 };
	const struct way_out *way;
	struct ways ways;
	int error = remember_destination(neighbours, destination, index);

	if (error == 0)
		error = ways_find(neighbours, destination, index, &ways, &result.state);
	if (error != 0)
		return error;
	if (result.state == NEXT_HOP_RESOLVED) {
		error = resolve_gateways(neighbours, destination, index, &ways, &way, &result);
		if (error == 0)
			error = describe_way(neighbours, destination, index, way, &result);
	}
	if (error != 0)
		return error;
	*next_hop = result;
	return 0;
}

void neighbours_repeat(struct neighbours *neighbours, bool on)
{
	neighbours->is_repeating = on;
}

bool neighbours_has_vlans(const struct neighbours *neighbours, int index)
{
	const struct links *links = &neighbours->links;

	for (uint32_t i = 0; i < links->count; i++) {
		if (links->list[i].is_vlan && links->list[i].lower == index)
			return true;
	}
	return false;
}

static bool is_listed(const uint8_t (*macs)[6], uint32_t count, const uint8_t *mac)
{
	for (uint32_t i = 0; i < count; i++) {
		if (memcmp(macs[i], mac, sizeof(macs[i])) == 0)
			return true;
	}
	return false;
}

uint32_t neighbours_vlan_macs(const struct neighbours *neighbours, int index, uint8_t (*macs)[6],
			      uint32_t room)
{
	const struct links *links = &neighbours->links;
	const struct link *nic = link_find(links, index);
	uint32_t count = 0;

	for (uint32_t i = 0; i < links->count && nic != NULL; i++) {
		const struct link *link = &links->list[i];
		struct vlan_stack stack;

		if (!link->is_vlan || memcmp(link->mac, nic->mac, sizeof(nic->mac)) == 0 ||
		    is_listed(macs, count, link->mac) ||
		    link_find_stack(links, link->index, index, &stack) != NEXT_HOP_RESOLVED)
			continue;
		if (count == room)
			return room + 1;
		memcpy(macs[count++], link->mac, sizeof(macs[0]));
	}
	return count;
}
