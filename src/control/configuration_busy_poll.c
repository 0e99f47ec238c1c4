/* SPDX-License-Identifier: BSD-2-Clause */
#include "configuration_internal.h"

#define BUDGET_HIGH  1024
#define IDLE_HIGH_NS NANOSECONDS_PER_SECOND

void configuration_read_busy_poll(struct reader *reader, const struct value values[static 3],
				  struct busy_poll_configuration *busy_poll)
{
	busy_poll->budget = BUSY_POLL_BUDGET_DEFAULT;
	value_boolean(&values[0], &busy_poll->is_on);
	value_integer(reader, &values[1], 1, BUDGET_HIGH, &busy_poll->budget);
	value_duration(reader, &values[2], 0, IDLE_HIGH_NS, &busy_poll->idle_ns);
	for (int i = 1; i < 3; i++)
		if (values[i].setting && !values[0].node)
			reader_warn(
				reader, values[i].node->name_position,
				"\"%s\" means nothing without busy_poll = true, or run --busy-poll",
				values[i].key);
}
