/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file: whatever is in it, it is read or refused with reasons that can be
 * printed; what is read can be built, if its tables are not too large to build many times. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fluxpin/configuration.h>
#include <fluxpin/forwarding_builder.h>

#include "harness.h"

#define SLOTS_MOST 10000

static void build_tables(const struct configuration *configuration)
{
	struct registry *backends = NULL, *vips = NULL;
	struct forwarding_tables *tables = NULL;
	struct forwarding_state *state = NULL;
	struct interface nic = { .mtu = 1500 };

	if (registry_open(&backends) != 0 || registry_open(&vips) != 0)
		abort();
	registry_begin(backends);
	registry_begin(vips);
	if (forwarding_tables_build(configuration, NULL, NULL, backends, vips, &tables) != 0 ||
	    forwarding_state_build(configuration, tables, NULL, &nic, 1, 1, &state) != 0)
		fuzz_violation("a valid configuration cannot be built");
	forwarding_state_release(state);
	forwarding_tables_release(tables);
	registry_close(vips);
	registry_close(backends);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct configuration *configuration = NULL;
	static int file = -1;
	static FILE *nowhere;
	struct findings findings;
	uint64_t slots = 0;
	char name[64];
	int status;

	if (file < 0) {
		file = memfd_create("fluxpin.conf", MFD_CLOEXEC);
		nowhere = fopen("/dev/null", "we");
	}
	if (file < 0 || nowhere == NULL || ftruncate(file, 0) != 0 ||
	    pwrite(file, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	status = configuration_read(name, &configuration, &findings);
	findings_print(&findings, nowhere);
	if ((status == 0) != (findings.error_count == 0) ||
	    (status == 0) != (configuration != NULL))
		fuzz_violation("status %d with %u errors", status, findings.error_count);
	for (uint32_t i = 0; status == 0 && i < configuration->pool_count; i++)
		slots += configuration->pools[i].table_size;
	if (status == 0 && slots <= SLOTS_MOST)
		build_tables(configuration);
	configuration_release(configuration);
	findings_release(&findings);
	return 0;
}
