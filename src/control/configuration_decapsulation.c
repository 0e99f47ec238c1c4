/* SPDX-License-Identifier: BSD-2-Clause */
/* Where tunnels may come from, and at which of the load balancer's addresses they end. */
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

/* Whether there is a list to read, of 1 to `most` entries. */
static bool check_list(struct reader *reader, const struct value *list, uint32_t most)
{
	if (!list->setting)
		return false;
	if (list->node->child_count >= 1 && list->node->child_count <= most)
		return true;
	reader_error(reader, list->node->value_position,
		     "\"%s\" must have 1 to %u entries, found %u", list->key, most,
		     list->node->child_count);
	return false;
}

static void read_sources(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0;

	if (!check_list(reader, list, DECAPSULATION_MAX_SOURCES))
		return;
	configuration->decapsulation.sources = reader_allocate(
		reader, list->node->child_count, sizeof(*configuration->decapsulation.sources));
	if (reader->status != 0)
		return;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element =
			value_string_element(reader, list, &nodes[i], index, "a source");

		value_prefix(reader, &element, &configuration->decapsulation.sources[index]);
	}
	configuration->decapsulation.source_count = index;
}

static void read_addresses(struct reader *reader, const struct value *list)
{
	struct configuration *configuration = reader->configuration;
	const struct node *nodes = reader->tree->nodes;
	uint32_t index = 0;

	if (!check_list(reader, list, DECAPSULATION_MAX_ADDRESSES))
		return;
	for (uint32_t i = list->node->first_child; i != 0; i = nodes[i].next, index++) {
		struct value element =
			value_string_element(reader, list, &nodes[i], index, "an address");

		value_address(reader, &element, &configuration->decapsulation.addresses[index]);
	}
	configuration->decapsulation.address_count = index;
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
		{ "sources", KEY_LIST, true },
		{ "addresses", KEY_LIST, false },
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
