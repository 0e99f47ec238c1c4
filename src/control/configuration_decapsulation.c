/* SPDX-License-Identifier: BSD-2-Clause */
/* Where tunnels may come from, and at which of the load balancer's addresses they end. */
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

static void read_sources(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0, count;

	if (!list->setting)
		return;
	count = list->node->child_count;
	if (count == 0 || count > DECAPSULATION_MAX_SOURCES) {
		reader_error(reader, list->node->value_position,
			     "\"sources\" must have 1 to %d entries, found %u",
			     DECAPSULATION_MAX_SOURCES, count);
		return;
	}
	configuration->decapsulation.sources =
		reader_allocate(reader, count, sizeof(*configuration->decapsulation.sources));
	if (reader->status != 0)
		return;
	configuration->decapsulation.source_count = count;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element =
			value_string_element(reader, list, &nodes[i], index, "a source");

		value_prefix(reader, &element, &configuration->decapsulation.sources[index]);
	}
}

static void read_addresses(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0, count;

	if (!list->setting)
		return;
	count = list->node->child_count;
	if (count == 0 || count > DECAPSULATION_MAX_ADDRESSES) {
		reader_error(reader, list->node->value_position,
			     "\"addresses\" must have 1 to %d entries, found %u",
			     DECAPSULATION_MAX_ADDRESSES, count);
		return;
	}
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element =
			value_string_element(reader, list, &nodes[i], index, "an address");

		value_address(reader, &element, &configuration->decapsulation.addresses[index]);
	}
	configuration->decapsulation.address_count = count;
}

/* The addresses from which the load balancer sends are its own, too. */
static void use_source_addresses(struct reader *reader, const struct value *group)
{
	struct configuration *configuration = reader->configuration;
	const struct address *own[] = { &configuration->source_ipv4, &configuration->source_ipv6 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < COUNT_OF(own); i++)
		if (!address_is_zero(own[i]))
			configuration->decapsulation.addresses[count++] = *own[i];
	configuration->decapsulation.address_count = count;
	if (count == 0)
		reader_error(reader, group->node->name_position,
			     "\"decapsulation\" needs \"addresses\", or \"source_address\" beside "
			     "it: where do the tunnels end?");
}

void configuration_read_decapsulation(struct reader *reader, const struct value *group)
{
	static const struct key keys[] = {
		{ "sources", KEY_STRINGS, true },
		{ "addresses", KEY_STRINGS, false },
	};
	struct value values[COUNT_OF(keys)];

	if (!group->setting)
		return;
	value_read_group(reader, group, "decapsulation", keys, COUNT_OF(keys), values);
	read_sources(reader, &values[0]);
	read_addresses(reader, &values[1]);
	if (!values[1].node)
		use_source_addresses(reader, group);
}
