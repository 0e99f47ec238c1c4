/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <string.h>

#include <fluxpin/packet.h>

#include "mix.h"

static const struct mix mixes[] = {
	{ .name = "hit",
	  .summary = "TCP data of tracked flows",
	  .protocol = IPPROTO_TCP,
	  .tcp_flags = TCP_FLAG_ACK,
	  .tracking = true,
	  .outcome = OUTCOME_HIT },
	{ .name = "new",
	  .summary = "TCP SYN, every packet of a new flow, the table full: insert and evict",
	  .protocol = IPPROTO_TCP,
	  .tcp_flags = TCP_FLAG_SYN,
	  .is_endless = true,
	  .tracking = true,
	  .outcome = OUTCOME_NEW },
	{ .name = "syn",
	  .summary = "TCP SYN of the same flows again and again",
	  .protocol = IPPROTO_TCP,
	  .tcp_flags = TCP_FLAG_SYN,
	  .tracking = true,
	  .outcome = OUTCOME_SYN },
	{ .name = "udp",
	  .summary = "UDP of tracked flows",
	  .protocol = IPPROTO_UDP,
	  .tracking = true,
	  .outcome = OUTCOME_HIT },
	{ .name = "ipv6",
	  .summary = "TCP data of tracked flows over IPv6",
	  .protocol = IPPROTO_TCP,
	  .tcp_flags = TCP_FLAG_ACK,
	  .is_ipv6 = true,
	  .tracking = true,
	  .outcome = OUTCOME_HIT },
	{ .name = "untracked",
	  .summary = "TCP data to a VIP with tracking = false: Maglev alone",
	  .protocol = IPPROTO_TCP,
	  .tcp_flags = TCP_FLAG_ACK,
	  .outcome = OUTCOME_UNTRACKED },
	{ .name = "miss",
	  .summary = "TCP data for no VIP: to the kernel",
	  .protocol = IPPROTO_TCP,
	  .tcp_flags = TCP_FLAG_ACK,
	  .tracking = true,
	  .outcome = OUTCOME_MISS },
};

#define MIX_COUNT (sizeof(mixes) / sizeof(mixes[0]))

const struct mix *mix_find(const char *name)
{
	for (size_t i = 0; i < MIX_COUNT; i++)
		if (strcmp(mixes[i].name, name) == 0)
			return &mixes[i];
	return NULL;
}

void mix_print_all(FILE *stream)
{
	for (size_t i = 0; i < MIX_COUNT; i++)
		fprintf(stream, "%-10s %s\n", mixes[i].name, mixes[i].summary);
}
