/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "health_plan.h"

static int compare_by_address(const void *left, const void *right)
{
	const struct prober *a = *(struct prober *const *)left, *b = *(struct prober *const *)right;
	int order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
	uint16_t a_port = a->check->configuration.port, b_port = b->check->configuration.port;

	return order != 0 ? order : (a_port > b_port) - (a_port < b_port);
}

/* The state of a prober of the same address, of the same port if there is one. */
static void inherit(struct prober *prober, struct prober *const *old, uint32_t count)
{
	uint32_t low = 0, high = count;
	const struct prober *found = NULL;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(old[middle]->address.bytes, prober->address.bytes,
			   sizeof(prober->address.bytes)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && address_equal(&old[low]->address, &prober->address); low++) {
		bool has_port =
			old[low]->check->configuration.port == prober->check->configuration.port;

		if (found == NULL || has_port)
			found = old[low];
		if (has_port)
			break;
	}
	if (found == NULL)
		return;
	prober->machine = found->machine;
	prober->machine.run = 0;
	prober->good_ns = found->good_ns;
}

int health_plan_inherit(struct health_plan *plan)
{
	uint32_t count = plan->health->prober_count;
	struct prober **sorted;

	if (count == 0)
		return 0;
	sorted = calloc(count, sizeof(*sorted));
	if (sorted == NULL)
		return -ENOMEM;
	memcpy(sorted, plan->health->probers, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_by_address);
	for (uint32_t i = 0; i < plan->prober_count; i++)
		if (!plan->probers[i]->is_kept)
			inherit(plan->probers[i], sorted, count);
	free(sorted);
	return 0;
}
