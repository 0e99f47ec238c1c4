/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "balancer.h"
#include "workload.h"

#define MTU 1500

const char *balancer_name(uint32_t backend, char name[static BALANCER_NAME_SIZE])
{
	snprintf(name, BALANCER_NAME_SIZE, "backend-%05u", backend);
	return name;
}

static void write_backend(FILE *file, uint32_t backend, bool is_ipv6)
{
	char name[BALANCER_NAME_SIZE];
	uint32_t number = backend + 1;

	fprintf(file,
		is_ipv6 ? "{ name = \"%s\"; address = \"fd00:1::%x:%x\"; }"
			: "{ name = \"%s\"; address = \"10.1.%u.%u\"; }",
		balancer_name(backend, name), number >> 8, number & 0xff);
}

static void write_vips(FILE *file, bool tracking)
{
	static const char *const addresses[] = { "203.0.113.10", "2001:db8::cb00:710a" };
	static const char *const protocols[] = { "tcp", "udp" };

	for (int i = 0; i < 4; i++)
		fprintf(file,
			"%s{ address = \"%s\"; protocol = \"%s\"; port = %d; pool = \"pool\"; "
			"tracking = %s; }",
			i == 0 ? "vips = ( " : ",\n", addresses[i / 2], protocols[i % 2],
			WORKLOAD_PORT, tracking ? "true" : "false");
	fputs(" );\n", file);
}

static void write_configuration(FILE *file, const struct balancer_options *options,
				const bool *removed)
{
	const char *separator = "";

	fprintf(file,
		"hash_seed = \"0123456789abcdef\";\n"
		"source_address = { ipv4 = \"10.0.0.5\"; ipv6 = \"fd00::5\"; };\n"
		"pools = ( { name = \"pool\"; encapsulation = \"%s\"; table_size = %u;\n"
		"backends = ( ",
		encapsulation_name(options->encapsulation), options->table_size);
	for (uint32_t i = 0; i < options->backends; i++) {
		if (removed != NULL && removed[i])
			continue;
		fputs(separator, file);
		write_backend(file, i, options->is_outer_ipv6);
		separator = ",\n";
	}
	fputs(" ); } );\n", file);
	write_vips(file, options->tracking);
}

static int read_configuration(const struct balancer_options *options, const bool *removed,
			      struct configuration **configuration)
{
	struct findings findings = { 0 };
	int descriptor = memfd_create("fluxpin-bench.conf", MFD_CLOEXEC);
	FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
	int error = -EIO;
	char path[64];

	if (file == NULL) {
		error = -errno;
		if (descriptor >= 0)
			close(descriptor);
		return error;
	}
	write_configuration(file, options, removed);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	if (fflush(file) == 0)
		error = configuration_read(path, configuration, &findings);
	/* A warning (a small table) is what was asked for. */
	if (error != 0)
		findings_print(&findings, stderr);
	findings_release(&findings);
	fclose(file);
	return error;
}

static void ignore_release(void *context, uint16_t index)
{
	(void)context;
	(void)index;
}

static int build(struct balancer *balancer, const struct configuration *configuration,
		 struct forwarding_tables **tables, struct forwarding_state **state)
{
	struct interface nic = { .mtu = MTU };
	int error;

	memcpy(nic.mac, workload_mac, sizeof(nic.mac));
	registry_begin(balancer->backend_indexes);
	registry_begin(balancer->vip_indexes);
	error = forwarding_tables_build(configuration, NULL, balancer->tables,
					balancer->backend_indexes, balancer->vip_indexes, tables);
	if (error == 0)
		error = forwarding_state_build(configuration, *tables, NULL, &nic, 1,
					       ++balancer->generation, state);
	if (error != 0) {
		registry_abort(balancer->backend_indexes);
		registry_abort(balancer->vip_indexes);
		return error;
	}
	/* As the daemon has it: frames are compared with the NIC's address. */
	(*state)->interfaces[0].any_mac = false;
	return 0;
}

static void release_state(struct balancer *balancer)
{
	forwarding_state_release(balancer->state);
	forwarding_tables_release(balancer->tables);
	configuration_release(balancer->configuration);
}

int balancer_reload(struct balancer *balancer, const bool *removed)
{
	struct configuration *configuration = NULL;
	struct forwarding_tables *tables = NULL;
	struct forwarding_state *state = NULL;
	int error = read_configuration(&balancer->options, removed, &configuration);

	if (error == 0)
		error = build(balancer, configuration, &tables, &state);
	if (error != 0) {
		fprintf(stderr, "fluxpin-bench: the configuration cannot be built: %s\n",
			strerror(-error));
		forwarding_tables_release(tables);
		configuration_release(configuration);
		return error;
	}
	registry_commit(balancer->backend_indexes, ignore_release, NULL);
	registry_commit(balancer->vip_indexes, ignore_release, NULL);
	release_state(balancer);
	balancer->configuration = configuration;
	balancer->tables = tables;
	balancer->state = state;
	return 0;
}

int balancer_open(struct balancer *balancer, const struct balancer_options *options)
{
	*balancer = (struct balancer){ .options = *options };
	if (registry_open(&balancer->backend_indexes) != 0 ||
	    registry_open(&balancer->vip_indexes) != 0) {
		fputs("fluxpin-bench: out of memory\n", stderr);
		return -ENOMEM;
	}
	return balancer_reload(balancer, NULL);
}

void balancer_close(struct balancer *balancer)
{
	release_state(balancer);
	registry_close(balancer->vip_indexes);
	registry_close(balancer->backend_indexes);
}
