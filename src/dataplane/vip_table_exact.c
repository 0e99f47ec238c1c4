/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "vip_table_exact.h"

static void add_exact_ipv4(struct vip_exact *exact, const struct vip *vip)
{
	uint64_t key =
		exact_key_ipv4(vip->prefix.address.words_be[3], htons(vip->port), vip->protocol);
	uint32_t i = (uint32_t)(key * VIP_EXACT_FACTOR >> exact->shift);

	while (exact->ipv4[i & exact->mask].key != 0)
		i++;
	exact->ipv4[i & exact->mask] = (struct exact_ipv4){ .key = key, .vip = vip };
}

static void add_exact_ipv6(struct vip_exact *exact, const struct vip *vip)
{
	const uint64_t *address = vip->prefix.address.halves;
	uint64_t service = exact_service(htons(vip->port), vip->protocol);
	uint32_t i =
		(uint32_t)((exact_mix_ipv6(address) ^ service * VIP_EXACT_FACTOR) >> exact->shift);

	while (exact->ipv6[i & exact->mask].service != 0)
		i++;
	exact->ipv6[i & exact->mask] = (struct exact_ipv6){
		.address = { address[0], address[1] },
		.service = service,
		.vip = vip,
	};
}

static void set_filter(struct vip_exact *exact, const struct prefix *prefix)
{
	bool is_ipv4 = vip_prefix_is_ipv4(prefix);
	uint64_t *filter = is_ipv4 ? exact->filter_ipv4 : exact->filter_ipv6;
	uint32_t bit = (uint32_t)((is_ipv4 ? prefix->address.words_be[3] * VIP_EXACT_FACTOR
					   : exact_mix_ipv6(prefix->address.halves)) >>
				  52);

	if (prefix->length == 128)
		filter[bit / 64] |= UINT64_C(1) << bit % 64;
	else
		memset(filter, 0xff, VIP_FILTER_BITS / 8);
}

int vip_exact_build(struct vip_exact *exact, const struct vip *vips, uint32_t count)
{
	uint32_t bits = 2;

	while (UINT32_C(1) << bits < 4 * count)
		bits++;
	exact->shift = 64 - bits;
	exact->mask = (UINT32_C(1) << bits) - 1;
	exact->ipv4 = calloc(UINT64_C(1) << bits, sizeof(*exact->ipv4));
	exact->ipv6 = calloc(UINT64_C(1) << bits, sizeof(*exact->ipv6));
	if (exact->ipv4 == NULL || exact->ipv6 == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const struct vip *vip = &vips[i];

		set_filter(exact, &vip->prefix);
		/* Link-local and group addresses are the network's, whatever VIPs say. */
		if (vip->prefix.length != 128 || vip->port == 0 || vip->protocol == 0)
			continue;
		if (vip_prefix_is_ipv4(&vip->prefix))
			add_exact_ipv4(exact, vip);
		else if (!address_is_link_or_group(&vip->prefix.address))
			add_exact_ipv6(exact, vip);
	}
	return 0;
}

void vip_exact_release(struct vip_exact *exact)
{
	free(exact->ipv6);
	free(exact->ipv4);
}
