/* SPDX-License-Identifier: BSD-2-Clause */
/* Which VIPs are announced, when, and how. */
#include <linux/rtnetlink.h>

#include "configuration_internal.h"

#define LINGER_HIGH_NS (300 * NANOSECONDS_PER_SECOND)
#define STALL_LOW_NS   NANOSECONDS_PER_SECOND
#define STALL_HIGH_NS  (60 * NANOSECONDS_PER_SECOND)

void configuration_read_announce(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "table", KEY_INTEGER, false },
		{ "linger", KEY_DURATION, false },
		{ "stall", KEY_DURATION, false },
	};
	struct configuration *configuration = reader->configuration;
	struct value values[COUNT_OF(keys)];

	configuration->announce.table = CONFIGURATION_ANNOUNCE_TABLE;
	configuration->announce.linger_ns = 5 * NANOSECONDS_PER_SECOND;
	configuration->announce.stall_ns = 3 * NANOSECONDS_PER_SECOND;
	/* One that was refused is there all the same: its VIPs are not wrong. */
	configuration->announce.is_on = group->node != NULL;
	if (!group->setting)
		return;
	value_read_group(reader, group, "announce", keys, COUNT_OF(keys), values);
	if (value_integer(reader, &values[0], 1, INT32_MAX, &configuration->announce.table) &&
	    configuration->announce.table == RT_TABLE_LOCAL)
		reader_error(reader, values[0].node->value_position,
			     "\"table\" cannot be 255: that one holds the host's own addresses");
	value_duration(reader, &values[1], 0, LINGER_HIGH_NS, &configuration->announce.linger_ns);
	value_duration(reader, &values[2], STALL_LOW_NS, STALL_HIGH_NS,
		       &configuration->announce.stall_ns);
}

/* A pool that can never have enough may still grow, so this is no error. */
static void check_size(struct reader *reader, const struct value *min_healthy,
		       const struct vip_configuration *vip)
{
	const struct configuration *configuration = reader->configuration;
	const struct pool_configuration *pool;

	if (vip->pool >= configuration->pool_count)
		return;
	pool = &configuration->pools[vip->pool];
	if (pool->name && vip->min_healthy > pool->backend_count)
		reader_warn(reader, min_healthy->node->value_position,
			    "this VIP is never announced: \"min_healthy\" is %u, and pool \"%s\" "
			    "has %u backend%s",
			    vip->min_healthy, pool->name, pool->backend_count,
			    pool->backend_count == 1 ? "" : "s");
}

void configuration_read_vip_announce(struct reader *reader, const struct value *announce,
				     const struct value *min_healthy, struct vip_configuration *vip)
{
	bool is_on = reader->configuration->announce.is_on;
	uint32_t read = 1;

	vip->announce = is_on;
	vip->min_healthy = 1;
	if (value_boolean(announce, &vip->announce) && vip->announce && !is_on) {
		reader_error(reader, announce->node->value_position,
			     "no VIP is announced without \"announce\" of the file "
			     "(announce = {}; takes all defaults)");
		vip->announce = false;
	}
	if (!value_integer(reader, min_healthy, 0, CONFIGURATION_MAX_BACKENDS, &read))
		return;
	vip->min_healthy = (uint16_t)read;
	if (vip->announce)
		check_size(reader, min_healthy, vip);
	else
		reader_warn(reader, min_healthy->node->value_position,
			    "\"min_healthy\" does nothing: this VIP is not announced");
}
