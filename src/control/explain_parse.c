/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "explain_internal.h"

/* As IANA has them; those that a host sends across a load balancer. */
static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{ "icmp", IPPROTO_ICMP },
	{ "igmp", IPPROTO_IGMP },
	{ "ipip", IPPROTO_IPIP },
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "dccp", IPPROTO_DCCP },
	{ "ipv6", IPPROTO_IPV6 },
	{ "gre", IPPROTO_GRE },
	{ "esp", IPPROTO_ESP },
	{ "ah", IPPROTO_AH },
	{ "icmpv6", IPPROTO_ICMPV6 },
	{ "ospf", 89 },
	{ "etherip", 97 },
	{ "vrrp", 112 },
	{ "l2tp", 115 },
	{ "sctp", IPPROTO_SCTP },
	{ "udplite", IPPROTO_UDPLITE },
};

#define PROTOCOL_COUNT (sizeof(protocols) / sizeof(protocols[0]))

const char *explain_protocol_name(uint8_t protocol)
{
	for (size_t i = 0; i < PROTOCOL_COUNT; i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return NULL;
}

static int parse_number(const char *text, uint32_t most, uint32_t *number)
{
	uint32_t value = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > most)
			return -EINVAL;
	}
	*number = value;
	return 0;
}

static int parse_protocol(const char *text, uint8_t *protocol)
{
	uint32_t number;

	for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
		if (strcmp(protocols[i].name, text) == 0) {
			*protocol = protocols[i].number;
			return 0;
		}
	}
	if (parse_number(text, UINT8_MAX, &number) != 0 || number == 0)
		return -EINVAL;
	*protocol = (uint8_t)number;
	return 0;
}

/* An address with or without brackets; the text is taken apart. Mapped ones do not belong on a
 * wire, and the pipeline takes them for no VIP's. */
static int parse_address(char *text, bool needs_brackets, struct address *address)
{
	size_t length = strlen(text);
	bool is_ipv6 = strchr(text, ':') != NULL;

	if (length > 0 && text[0] == '[' && text[length - 1] == ']') {
		if (!is_ipv6)
			return -EINVAL;
		text[length - 1] = '\0';
		text++;
	} else if (is_ipv6 && needs_brackets) {
		return -EINVAL;
	}
	if (address_parse(text, address) != 0)
		return -EINVAL;
	return is_ipv6 && address_is_ipv4(address) ? -EINVAL : 0;
}

/* "ADDRESS:PORT" or "[ADDRESS]:PORT". */
static int parse_endpoint(char *text, struct address *address, uint16_t *port)
{
	char *colon = strrchr(text, ':');
	uint32_t number;

	if (colon == NULL || parse_number(colon + 1, UINT16_MAX, &number) != 0)
		return -EINVAL;
	*colon = '\0';
	*port = (uint16_t)number;
	return parse_address(text, true, address);
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* Whether a port is given where none can be: for a better message. */
static bool is_endpoint(const char *text)
{
	char copy[256];
	struct address address;
	uint16_t port;

	return parse_endpoint(strcpy(copy, text), &address, &port) == 0;
}

static int parse_ends(char *source, char *destination, struct explained_flow *flow,
		      const char **error)
{
	if (has_ports(flow->protocol)) {
		*error = "tcp and udp go from ADDRESS:PORT to ADDRESS:PORT ([ADDRESS]:PORT for "
			 "IPv6)";
		if (parse_endpoint(source, &flow->source, &flow->source_port) != 0 ||
		    parse_endpoint(destination, &flow->destination, &flow->destination_port) != 0)
			return -EINVAL;
		return 0;
	}
	*error = "only flows of tcp and udp are told by ports: give the addresses alone";
	if (is_endpoint(source) || is_endpoint(destination))
		return -EINVAL;
	*error = "not an IPv4 or IPv6 address";
	if (parse_address(source, false, &flow->source) != 0 ||
	    parse_address(destination, false, &flow->destination) != 0)
		return -EINVAL;
	return 0;
}

/* Three words and no more. */
static int split(char *text, char *words[3])
{
	char *rest = text;

	for (int i = 0; i < 3; i++) {
		if (rest != NULL)
			rest += strspn(rest, " \t");
		words[i] = strsep(&rest, " \t");
		if (words[i] == NULL || *words[i] == '\0')
			return -EINVAL;
	}
	return rest == NULL || rest[strspn(rest, " \t")] == '\0' ? 0 : -EINVAL;
}

int explain_parse(const char *text, struct explained_flow *flow, const char **error)
{
	char copy[256], *words[3];
	bool is_ipv4;

	*flow = (struct explained_flow){ 0 };
	*error = "a flow is \"PROTOCOL SOURCE DESTINATION\", of tcp and udp with ports: "
		 "\"tcp ADDRESS:PORT ADDRESS:PORT\"";
	if (strlen(text) >= sizeof(copy) || split(strcpy(copy, text), words) != 0)
		return -EINVAL;
	*error = "the protocol is a number from 1 to 255, or a name: tcp, udp, icmp, icmpv6, sctp, "
		 "esp, ah, gre, ipip, ipv6, dccp, udplite, l2tp, etherip, igmp, ospf, vrrp";
	if (parse_protocol(words[0], &flow->protocol) != 0)
		return -EINVAL;
	if (parse_ends(words[1], words[2], flow, error) != 0)
		return -EINVAL;
	*error = "source and destination are of different families";
	is_ipv4 = address_is_ipv4(&flow->source);
	if (is_ipv4 != address_is_ipv4(&flow->destination))
		return -EINVAL;
	/* By number they may be had all the same. */
	*error = "icmp is of IPv4, icmpv6 of IPv6";
	if (strcmp(words[0], is_ipv4 ? "icmpv6" : "icmp") == 0)
		return -EINVAL;
	*error = NULL;
	return 0;
}
