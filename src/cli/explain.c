/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <fluxpin/explain.h>

#include "commands.h"

static const char usage[] =
	"usage: fluxpin explain -c FILE 'tcp 198.51.100.7:40000 203.0.113.10:80' [--json]\n"
	"       fluxpin explain -c FILE 'icmp 198.51.100.7 203.0.113.10' [--json]\n"
	"\n"
	"Says what happens to a flow that no worker tracks yet, and why: the VIP, the hash, the\n"
	"slot of the Maglev table, the backend and the outer header. Protocols are tcp, udp, icmp\n"
	"and icmpv6 (echo requests), sctp, esp, ah, gre and others by name, or a number; all but\n"
	"tcp and udp are without ports.\n"
	"\n"
	"  -c, --config FILE  the configuration\n"
	"      --json         print one JSON document\n"
	"  -h, --help         print this\n";

/* The outer header as hexadecimal digits. */
#define HEADER_TEXT_SIZE (2 * ENCAPSULATION_MAX_HEADER + 1)

/* Without the Ethernet header: its addresses are those of the next hop. */
static const char *format_header(const struct explanation *explanation, char text[HEADER_TEXT_SIZE])
{
	text[0] = '\0';
	for (uint32_t i = 0; i < explanation->header_length; i++)
		sprintf(text + (size_t)2 * i, "%02x", explanation->header[i]);
	return text;
}

static void print_vips(const struct configuration *configuration,
		       const struct explanation *explanation)
{
	char prefix[ADDRESS_TEXT_SIZE];

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];
		const char *protocol = explain_protocol_name(vip->protocol);

		printf("%-9s %s (%s %s port %u): %s\n", i == 0 ? "VIPs" : "", vip->name,
		       prefix_format(&vip->prefix, prefix), protocol != NULL ? protocol : "any",
		       vip->port, explained_match_text(explanation->vips[i]));
	}
}

static void print_outer(const struct configuration *configuration,
			const struct pool_configuration *pool,
			const struct explanation *explanation)
{
	const struct address *outer_source =
		address_is_ipv4(&pool->backends[explanation->backend].address)
			? &configuration->source_ipv4
			: &configuration->source_ipv6;
	char text[HEADER_TEXT_SIZE], source[ADDRESS_TEXT_SIZE];

	if (explanation->header_length == 0) {
		printf("outer     %s: none\n", encapsulation_name(pool->encapsulation));
		return;
	}
	printf("outer     %s, source %s, %u bytes: %s\n", encapsulation_name(pool->encapsulation),
	       address_is_zero(outer_source) ? "of the interface"
					     : address_format(outer_source, source),
	       explanation->header_length, format_header(explanation, text));
}

static void print_selection(const struct configuration *configuration,
			    const struct explanation *explanation)
{
	const struct vip_configuration *vip = &configuration->vips[explanation->vip];
	const struct pool_configuration *pool = &configuration->pools[vip->pool];
	char address[ADDRESS_TEXT_SIZE];

	printf("hash      %016" PRIx64 "%s\n", explanation->hash,
	       vip->affinity == AFFINITY_SOURCE ? ", of the addresses alone" : "");
	printf("slot      %u of %u, pool %s\n", explanation->slot, pool->table_size, pool->name);
	if (!explanation->has_backend)
		return;
	printf("backend   %s (%s), weight %u\n", pool->backends[explanation->backend].name,
	       address_format(&pool->backends[explanation->backend].address, address),
	       pool->backends[explanation->backend].weight);
	print_outer(configuration, pool, explanation);
}

static int print_text(const struct configuration *configuration,
		      const struct explanation *explanation)
{
	print_vips(configuration, explanation);
	if (explanation->is_tunnel) {
		puts("verdict   decapsulate: a tunnel that ends here; explain the packet inside");
		return EXIT_DONE;
	}
	if (explanation->is_selected)
		print_selection(configuration, explanation);
	switch (explanation->verdict) {
	case VERDICT_FORWARD:
		printf("verdict   forward (outer lengths and checksums are of a packet of %u "
		       "bytes)\n",
		       explanation->packet_length);
		break;
	case VERDICT_SLOW_PATH:
		puts("verdict   slow path: no VIP matches");
		break;
	case VERDICT_ANSWER:
		puts("verdict   answer: the load balancer itself sends the echo reply");
		break;
	case VERDICT_DROP:
		printf("verdict   drop: %s (%s)\n", drop_reason_label(explanation->reason),
		       drop_reason_explanation(explanation->reason));
		break;
	case VERDICT_HELD:
	case VERDICT_HANDED_OVER:
		/* Of one packet by itself there is neither. */
		break;
	}
	return EXIT_DONE;
}

static json_t *vips_to_json(const struct configuration *configuration,
			    const struct explanation *explanation)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < configuration->vip_count; i++)
		json_array_append_new(
			array, json_pack("{s:s, s:b, s:s}", "name", configuration->vips[i].name,
					 "chosen", explanation->vips[i] == EXPLAINED_CHOSEN, "why",
					 explained_match_text(explanation->vips[i])));
	return array;
}

static const char *verdict_name(const struct explanation *explanation)
{
	static const char *const names[] = {
		[VERDICT_FORWARD] = "forward",
		[VERDICT_SLOW_PATH] = "slow_path",
		[VERDICT_ANSWER] = "answer",
		[VERDICT_DROP] = "drop",
	};

	return explanation->is_tunnel ? "decapsulate" : names[explanation->verdict];
}

/* The pool, and how its backend was chosen. */
static void add_selection(json_t *document, const struct vip_configuration *vip,
			  const struct pool_configuration *pool,
			  const struct explanation *explanation)
{
	const struct backend_configuration *backend;
	char text[HEADER_TEXT_SIZE], address[ADDRESS_TEXT_SIZE];

	snprintf(text, sizeof(text), "%016" PRIx64, explanation->hash);
	json_object_set_new(document, "pool", json_string(pool->name));
	json_object_set_new(document, "affinity",
			    json_string(vip->affinity == AFFINITY_SOURCE ? "source" : "5tuple"));
	json_object_set_new(document, "hash", json_string(text));
	json_object_set_new(document, "slot", json_integer(explanation->slot));
	json_object_set_new(document, "table_size", json_integer(pool->table_size));
	json_object_set_new(document, "encapsulation",
			    json_string(encapsulation_name(pool->encapsulation)));
	if (!explanation->has_backend)
		return;
	backend = &pool->backends[explanation->backend];
	json_object_set_new(document, "backend", json_string(backend->name));
	json_object_set_new(document, "address",
			    json_string(address_format(&backend->address, address)));
	json_object_set_new(document, "outer_header",
			    json_string(format_header(explanation, text)));
	json_object_set_new(document, "packet_length", json_integer(explanation->packet_length));
}

static int print_json(const struct configuration *configuration,
		      const struct explanation *explanation)
{
	json_t *document = json_pack("{s:s, s:o}", "verdict", verdict_name(explanation), "vips",
				     vips_to_json(configuration, explanation));
	int error;

	if (explanation->has_vip) {
		const struct vip_configuration *vip = &configuration->vips[explanation->vip];

		json_object_set_new(document, "vip", json_string(vip->name));
		if (explanation->is_selected)
			add_selection(document, vip, &configuration->pools[vip->pool], explanation);
	}
	if (!explanation->is_tunnel && explanation->verdict == VERDICT_DROP)
		json_object_set_new(document, "reason",
				    json_string(drop_reason_label(explanation->reason)));
	error = json_dumpf(document, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(document);
	return error == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int explain(const char *file, const struct explained_flow *flow, bool is_json)
{
	struct configuration *configuration = NULL;
	struct explanation explanation;
	struct findings findings;
	int error = configuration_read(file, &configuration, &findings);
	int status = EXIT_FAILED;

	findings_print(&findings, stderr);
	findings_release(&findings);
	if (error != 0)
		return EXIT_FAILED;
	error = explain_flow(configuration, flow, &explanation);
	if (error == 0) {
		status = is_json ? print_json(configuration, &explanation)
				 : print_text(configuration, &explanation);
		explanation_release(&explanation);
	} else {
		fprintf(stderr, "fluxpin explain: %s\n", strerror(-error));
	}
	configuration_release(configuration);
	return status;
}

int command_explain(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct explained_flow flow;
	const char *file = NULL, *error;
	bool is_json = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		if (option == 'c') {
			file = optarg;
		} else if (option == 'j') {
			is_json = true;
		} else if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_DONE;
		} else {
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (file == NULL || optind + 1 != argc) {
		fprintf(stderr, "fluxpin explain: %s\n\n%s",
			file == NULL ? "-c FILE is missing" : "one flow, in quotes, is expected",
			usage);
		return EXIT_USAGE;
	}
	if (explain_parse(argv[optind], &flow, &error) != 0) {
		fprintf(stderr, "fluxpin explain: \"%s\": %s\n", argv[optind], error);
		return EXIT_USAGE;
	}
	return explain(file, &flow, is_json);
}
