/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/explain.h>
#include <fluxpin/flow.h>
#include <fluxpin/forwarding_builder.h>
#include <fluxpin/maglev.h>

/* The egress MTU does not matter to what is explained. */
#define MTU 65535

static int parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	value = strtoul(text, &end, 10);
	if (*end != '\0' || value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

/* "ADDRESS:PORT" or "[ADDRESS]:PORT"; the text is taken apart. */
static int parse_endpoint(char *text, struct address *address, uint16_t *port)
{
	char *colon = strrchr(text, ':');
	size_t length;

	if (colon == NULL || parse_port(colon + 1, port) != 0)
		return -EINVAL;
	*colon = '\0';
	length = strlen(text);
	if (text[0] == '[' && text[length - 1] == ']') {
		text[length - 1] = '\0';
		text++;
	} else if (strchr(text, ':') != NULL) {
		return -EINVAL;
	}
	return address_parse(text, address);
}

int explain_parse(const char *text, struct explained_flow *flow, const char **error)
{
	char copy[256], *rest = copy, *words[3] = { NULL };

	*error = "a flow is \"PROTOCOL SOURCE:PORT DESTINATION:PORT\"";
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	for (int i = 0; i < 3; i++) {
		if (rest != NULL)
			rest += strspn(rest, " \t");
		words[i] = strsep(&rest, " \t");
		if (words[i] == NULL || *words[i] == '\0')
			return -EINVAL;
	}
	if (rest != NULL && rest[strspn(rest, " \t")] != '\0')
		return -EINVAL;
	if (strcmp(words[0], "tcp") == 0) {
		flow->protocol = IPPROTO_TCP;
	} else if (strcmp(words[0], "udp") == 0) {
		flow->protocol = IPPROTO_UDP;
	} else {
		*error = "the protocol of a flow is tcp or udp";
		return -EINVAL;
	}
	*error = "not ADDRESS:PORT ([ADDRESS]:PORT for IPv6)";
	if (parse_endpoint(words[1], &flow->source, &flow->source_port) != 0 ||
	    parse_endpoint(words[2], &flow->destination, &flow->destination_port) != 0)
		return -EINVAL;
	*error = "source and destination are of different families";
	if (address_is_ipv4(&flow->source) != address_is_ipv4(&flow->destination))
		return -EINVAL;
	*error = NULL;
	return 0;
}

static enum explained_match match(const struct vip_configuration *vip,
				  const struct explained_flow *flow)
{
	struct address masked = address_mask(&flow->destination, vip->prefix.length);

	/* IPv4 addresses are mapped into ::/0, but not meant by it; see vip_table.h. */
	if (address_is_ipv4(&flow->destination) != address_is_ipv4(&vip->prefix.address) ||
	    address_is_link_or_group(&flow->destination) ||
	    !address_equal(&masked, &vip->prefix.address))
		return EXPLAINED_OTHER_ADDRESS;
	if (vip->protocol != 0 && vip->protocol != flow->protocol)
		return EXPLAINED_OTHER_PROTOCOL;
	if (vip->port != 0 && vip->port != flow->destination_port)
		return EXPLAINED_OTHER_PORT;
	return EXPLAINED_LESS_SPECIFIC;
}

static void choose_backend(const struct forwarding_tables *tables,
			   const struct forwarding_state *state, uint16_t index,
			   struct explanation *explanation)
{
	for (uint32_t i = 0; i < tables->backend_count; i++) {
		if (tables->backends[i].index != index)
			continue;
		explanation->has_backend = true;
		explanation->backend = tables->backends[i].backend;
		explanation->destination = state->interfaces[0].destinations[index];
	}
}

/* The hash that the slot is chosen by: for affinity "source", that of the addresses alone. */
static uint64_t hash_flow(const struct explained_flow *flow, const struct vip *vip, uint64_t seed)
{
	uint16_t source_port_be = vip->by_source ? 0 : htons(flow->source_port);
	uint16_t destination_port_be = vip->by_source ? 0 : htons(flow->destination_port);
	uint8_t protocol = vip->by_source ? 0 : flow->protocol, addresses[32];

	if (address_is_ipv4(&flow->destination))
		return flow_hash_ipv4(flow->source.words_be[3], flow->destination.words_be[3],
				      source_port_be, destination_port_be, protocol, seed);
	memcpy(addresses, flow->source.bytes, 16);
	memcpy(addresses + 16, flow->destination.bytes, 16);
	return flow_hash_ipv6(addresses, source_port_be, destination_port_be, protocol, seed);
}

static void decide(const struct configuration *configuration,
		   const struct forwarding_tables *tables, const struct forwarding_state *state,
		   const struct explained_flow *flow, struct explanation *explanation)
{
	const struct forwarding_pool *pool;
	const struct vip *vip;
	uint16_t index;

	for (uint32_t i = 0; i < configuration->vip_count; i++)
		explanation->vips[i] = match(&configuration->vips[i], flow);
	if (vip_table_find(tables->vips, &flow->destination, flow->protocol, flow->destination_port,
			   &vip) != VIP_MATCH_SERVICE)
		return;
	explanation->is_for_vip = true;
	for (uint32_t i = 0; i < configuration->vip_count; i++)
		if (tables->vip_indexes[i] == vip->index)
			explanation->vip = i;
	explanation->vips[explanation->vip] = EXPLAINED_CHOSEN;
	explanation->hash = hash_flow(flow, vip, configuration->hash_seed);
	pool = &tables->pools[vip->pool];
	explanation->slot = maglev_slot(explanation->hash, pool->size);
	index = pool->slots[explanation->slot];
	if (index != MAGLEV_NO_BACKEND)
		choose_backend(tables, state, index, explanation);
}

int explain_flow(const struct configuration *configuration, const struct explained_flow *flow,
		 struct explanation *explanation)
{
	const struct interface nic = { .mtu = MTU };
	struct registry *backends = NULL, *vips = NULL;
	struct forwarding_tables *tables = NULL;
	struct forwarding_state *state = NULL;
	int error;

	*explanation = (struct explanation){ 0 };
	explanation->vips = calloc(configuration->vip_count + 1, sizeof(*explanation->vips));
	error = explanation->vips != NULL ? registry_open(&backends) : -ENOMEM;
	if (error == 0)
		error = registry_open(&vips);
	if (error == 0)
		error = forwarding_tables_build(configuration, NULL, backends, vips, &tables);
	if (error == 0)
		error = forwarding_state_build(configuration, tables, NULL, &nic, 1, 1, &state);
	if (error == 0)
		decide(configuration, tables, state, flow, explanation);
	forwarding_state_release(state);
	forwarding_tables_release(tables);
	registry_close(vips);
	registry_close(backends);
	if (error != 0)
		explanation_release(explanation);
	return error;
}

void explanation_release(struct explanation *explanation)
{
	free(explanation->vips);
	explanation->vips = NULL;
}

const char *explained_match_text(enum explained_match match)
{
	switch (match) {
	case EXPLAINED_CHOSEN:
		return "matches";
	case EXPLAINED_OTHER_ADDRESS:
		return "no: another address";
	case EXPLAINED_OTHER_PROTOCOL:
		return "no: another protocol";
	case EXPLAINED_OTHER_PORT:
		return "no: another port";
	case EXPLAINED_LESS_SPECIFIC:
		return "no: matches, but less specifically";
	}
	return "";
}
