/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

const char *const xdp_mode_names[4] = {
	[XDP_MODE_AUTO] = "auto",
	[XDP_MODE_ZEROCOPY] = "zerocopy",
	[XDP_MODE_COPY] = "copy",
	[XDP_MODE_GENERIC] = "skb",
};

const char *const encapsulation_names[4] = {
	[ENCAPSULATION_GRE] = "gre",
	[ENCAPSULATION_IPIP] = "ipip",
	[ENCAPSULATION_GUE] = "gue",
	[ENCAPSULATION_L2] = "l2",
};

const char *const slow_path_names[2] = {
	[SLOW_PATH_TAP] = "tap",
	[SLOW_PATH_PASS] = "pass",
};

const char *const health_check_names[5] = {
	[HEALTH_CHECK_NONE] = "none",	[HEALTH_CHECK_TCP] = "tcp", [HEALTH_CHECK_HTTP] = "http",
	[HEALTH_CHECK_HTTPS] = "https", [HEALTH_CHECK_UDP] = "udp",
};

const char *const health_check_via_names[2] = {
	[HEALTH_CHECK_DIRECT] = "direct",
	[HEALTH_CHECK_TUNNEL] = "tunnel",
};

const char *const icmp_echo_names[3] = {
	[ICMP_ECHO_REPLY] = "reply",
	[ICMP_ECHO_FORWARD] = "forward",
	[ICMP_ECHO_DROP] = "drop",
};

const char *const all_down_names[2] = {
	[ALL_DOWN_DROP] = "drop",
	[ALL_DOWN_ALL] = "all",
};

const char *const affinity_names[2] = {
	[AFFINITY_5TUPLE] = "5tuple",
	[AFFINITY_SOURCE] = "source",
};

int xdp_mode_parse(const char *text, enum xdp_mode *mode)
{
	for (uint32_t i = 0; i < COUNT_OF(xdp_mode_names); i++) {
		if (strcmp(text, xdp_mode_names[i]) == 0) {
			*mode = (enum xdp_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *xdp_mode_name(enum xdp_mode mode)
{
	return xdp_mode_names[mode];
}

const char *encapsulation_name(enum encapsulation encapsulation)
{
	return encapsulation_names[encapsulation];
}

static int compare_entries(const void *left, const void *right)
{
	const struct name_entry *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (order != 0)
		return order;
	return (a->index > b->index) - (a->index < b->index);
}

void names_sort(struct name_entry *entries, uint32_t count)
{
	if (count > 0)
		qsort(entries, count, sizeof(*entries), compare_entries);
}

void names_check_unique(struct reader *reader, struct name_entry *entries, uint32_t count,
			const char *noun)
{
	uint32_t first = 0;

	names_sort(entries, count);
	for (uint32_t i = 1; i < count; i++) {
		if (strcmp(entries[i].name, entries[first].name) != 0)
			first = i;
		else
			reader_error(reader, entries[i].position,
				     "duplicate %s name \"%s\": the first is at %u:%u", noun,
				     entries[i].name, entries[first].position.line,
				     entries[first].position.column);
	}
}

const struct name_entry *names_find(const struct name_entry *entries, uint32_t count,
				    const char *name)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (strcmp(entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && strcmp(entries[low].name, name) == 0 ? &entries[low] : NULL;
}
