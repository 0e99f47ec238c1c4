/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "balancer.h"
#include "engine.h"
#include "random.h"
#include "recorder.h"
#include "statistics.h"

/* Entries per flow, so that practically every flow finds one of its places in the table free. */
#define ENTRIES_PER_FLOW 16
#define MOST_FLOWS	 (CONNECTION_MAX_CAPACITY / ENTRIES_PER_FLOW)
#define MOST_RUNS	 100000

static const char usage_text[] =
	"usage: fluxpin-bench survive [OPTION]...\n"
	"\n"
	"Sends a packet of each flow through a pipeline, removes random backends, and sends "
	"another\n"
	"one: through the same pipeline, and through one that knows no flow, as after the flow "
	"has\n"
	"come to another queue or another load balancer. Reports the share of flows that break:\n"
	"whose second packet goes to another backend although the first one's is still there.\n"
	"\n"
	"      --backends N   in the pool (1000)\n"
	"      --size M       of the Maglev table, a prime above N (65537)\n"
	"      --remove K     random backends to remove in each run (1)\n"
	"      --flows N      (100000)\n"
	"      --runs R       (20)\n"
	"      --json         print one JSON document\n"
	"  -h, --help         print this\n";

static const struct usage usage = { "survive", usage_text };

struct options {
	struct balancer_options balancer;
	uint32_t removed;
	uint32_t flows;
	uint32_t runs;
	bool is_json;
};

/* Shares of all flows, means of the runs. */
struct result {
	double removed; /* of removed backends: lost whatever one does */
	double tracked; /* break in the same pipeline */
	double fresh;	/* break in one that knows no flow */
};

struct survival {
	const struct options *options;
	struct balancer balancer;
	struct memory_port port;
	struct recorder recorder;
	struct random random;
	bool *removed;
	uint16_t *before, *tracked, *fresh; /* backends by flow */
	struct result result;
};

static bool open_survival(struct survival *survival, const struct options *options)
{
	struct workload workload;

	memset(survival, 0, sizeof(*survival));
	survival->options = options;
	survival->random.state = 1;
	survival->removed = calloc(options->balancer.backends, sizeof(*survival->removed));
	survival->before = calloc(options->flows, sizeof(*survival->before));
	survival->tracked = calloc(options->flows, sizeof(*survival->tracked));
	survival->fresh = calloc(options->flows, sizeof(*survival->fresh));
	workload_initialise(&workload, mix_find("hit"), false, options->flows);
	if (survival->removed == NULL || survival->before == NULL || survival->tracked == NULL ||
	    survival->fresh == NULL ||
	    memory_port_open(&survival->port, &workload, PORT_BATCH, PORT_BATCH) != 0) {
		fputs("fluxpin-bench: out of memory\n", stderr);
		return false;
	}
	recorder_initialise(&survival->recorder, &survival->port, survival->before, options->flows);
	return balancer_open(&survival->balancer, &options->balancer) == 0;
}

static void close_survival(struct survival *survival)
{
	balancer_close(&survival->balancer);
	memory_port_close(&survival->port);
	free(survival->fresh);
	free(survival->tracked);
	free(survival->before);
	free(survival->removed);
}

static bool open_engine(struct survival *survival, struct engine *engine)
{
	if (engine_open(engine, &survival->recorder.port,
			ENTRIES_PER_FLOW * survival->options->flows) == 0)
		return true;
	engine_close(engine);
	fputs("fluxpin-bench: out of memory\n", stderr);
	return false;
}

/* Sends a packet of each flow and notes its backend. */
static bool send_flows(struct survival *survival, struct engine *engine, uint16_t *backends)
{
	struct engine_report before, after;
	uint64_t sent;

	survival->recorder.backends = backends;
	engine_read(engine, &before);
	sent = engine_run(engine, &survival->balancer.state->forwarding, survival->options->flows);
	engine_read(engine, &after);
	if (after.counters.forwarded.packets - before.counters.forwarded.packets == sent &&
	    survival->options->flows - after.tracked <= survival->options->flows / 1000)
		return true;
	fprintf(stderr,
		"fluxpin-bench: of %" PRIu64 " packets %" PRIu64 " were forwarded; %" PRIu64
		" flows are tracked\n",
		sent, after.counters.forwarded.packets - before.counters.forwarded.packets,
		after.tracked);
	return false;
}

static void count_flows(struct survival *survival)
{
	uint32_t flows = survival->options->flows, removed = 0, tracked = 0, fresh = 0;
	double weight = 1.0 / flows / survival->options->runs;

	for (uint32_t i = 0; i < flows; i++) {
		uint16_t backend = survival->before[i];

		if (survival->removed[backend]) {
			removed++;
			continue;
		}
		tracked += survival->tracked[i] != backend;
		fresh += survival->fresh[i] != backend;
	}
	survival->result.removed += removed * weight;
	survival->result.tracked += tracked * weight;
	survival->result.fresh += fresh * weight;
}

static bool run_once(struct survival *survival, struct engine *first, struct engine *second)
{
	const struct options *options = survival->options;
	bool ok;

	random_choose(&survival->random, options->removed, options->balancer.backends,
		      survival->removed);
	ok = balancer_reload(&survival->balancer, NULL) == 0 && open_engine(survival, first);
	if (!ok)
		return false;
	ok = send_flows(survival, first, survival->before) &&
	     balancer_reload(&survival->balancer, survival->removed) == 0 &&
	     send_flows(survival, first, survival->tracked);
	engine_close(first);
	if (!ok || !open_engine(survival, second))
		return false;
	ok = send_flows(survival, second, survival->fresh);
	engine_close(second);
	if (ok)
		count_flows(survival);
	return ok;
}

static int print_json(const struct options *options, const struct result *result)
{
	return print_document(
		json_pack("{s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f}", "backends",
			  (int)options->balancer.backends, "size",
			  (int)options->balancer.table_size, "remove", (int)options->removed,
			  "flows", (int)options->flows, "runs", (int)options->runs, "removed_share",
			  result->removed, "broken_share_tracked", result->tracked, "broken_share",
			  result->fresh, "changed_share", result->removed + result->fresh));
}

static int print_table(const struct options *options, const struct result *result)
{
	printf("%u flows over %u backends, %u slots, %u removed, %u runs; share of all flows\n\n",
	       options->flows, options->balancer.backends, options->balancer.table_size,
	       options->removed, options->runs);
	printf("of the removed backends          %8.3f %%\n", 100 * result->removed);
	printf("broken, connection table kept    %8.3f %%\n", 100 * result->tracked);
	printf("broken, connection table lost    %8.3f %%\n", 100 * result->fresh);
	return EXIT_DONE;
}

static int take_option(int option, void *context)
{
	struct options *options = context;

	switch (option) {
	case 'b':
		return argument_number32(&usage, "--backends", optarg, 1, BALANCER_MOST_BACKENDS,
					 &options->balancer.backends);
	case 'M':
		return argument_number32(&usage, "--size", optarg, 2, 1 << 24,
					 &options->balancer.table_size);
	case 'k':
		return argument_number32(&usage, "--remove", optarg, 0, BALANCER_MOST_BACKENDS,
					 &options->removed);
	case 'f':
		return argument_number32(&usage, "--flows", optarg, 1, MOST_FLOWS, &options->flows);
	case 'r':
		return argument_number32(&usage, "--runs", optarg, 1, MOST_RUNS, &options->runs);
	case 'j':
		options->is_json = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{ "backends", required_argument, NULL, 'b' },
		{ "size", required_argument, NULL, 'M' },
		{ "remove", required_argument, NULL, 'k' },
		{ "flows", required_argument, NULL, 'f' },
		{ "runs", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int status = arguments_read(&usage, argc, argv, "h", long_options, take_option, options);

	if (status != EXIT_DONE)
		return status;
	if (options->removed >= options->balancer.backends)
		return usage_error(&usage, "--remove %u leaves none of %u backends",
				   options->removed, options->balancer.backends);
	return argument_check_size(&usage, options->balancer.table_size,
				   options->balancer.backends);
}

int command_survive(int argc, char **argv)
{
	struct options options = {
		.balancer = { .tracking = true, .backends = 1000, .table_size = 65537 },
		.removed = 1,
		.flows = 100000,
		.runs = 20
	};
	bool ok;
	int status = read_options(argc, argv, &options);
	struct survival *survival;
	struct engine *engines;

	if (status != EXIT_DONE)
		return status;
	survival = aligned_alloc(64, sizeof(*survival));
	engines = aligned_alloc(64, 2 * sizeof(*engines));
	ok = survival != NULL && engines != NULL && open_survival(survival, &options);
	for (uint32_t i = 0; i < options.runs && ok; i++)
		ok = run_once(survival, &engines[0], &engines[1]);
	status = EXIT_FAILED;
	if (ok)
		status = options.is_json ? print_json(&options, &survival->result)
					 : print_table(&options, &survival->result);
	if (survival != NULL)
		close_survival(survival);
	free(engines);
	free(survival);
	return status;
}
