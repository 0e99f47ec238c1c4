/* SPDX-License-Identifier: BSD-2-Clause */
/* What busy polling needs, of a NIC that the configuration has it for. */
#include "doctor_internal.h"

#include <errno.h>
#include <string.h>

#include "busy_poll.h"

static bool is_wanted(const struct doctor *doctor, const char *name)
{
	const struct configuration *configuration = doctor->configuration;

	for (uint32_t i = 0; configuration != NULL && i < configuration->interface_count; i++)
		if (strcmp(configuration->interfaces[i].name, name) == 0)
			return configuration->interfaces[i].busy_poll.is_on;
	return false;
}

void doctor_check_busy_poll(struct doctor *doctor, const struct doctor_nic *nic)
{
	const char *name = nic->wanted->name;
	char clause[256], command[256];
	struct interface_deferral deferral;
	struct busy_poll_finding finding;
	int error;

	if (!is_wanted(doctor, name))
		return;
	if (doctor_kernel_version() != 0 && doctor_kernel_version() < DOCTOR_KERNEL(5, 11)) {
		doctor_add(doctor->report, DOCTOR_ERROR, "busy_poll", name, NULL,
			   "busy polling of %s needs Linux 5.11", name);
		return;
	}
	error = interface_deferral(name, nic->interface.index, &deferral);
	if (error != 0) {
		doctor_add(doctor->report, DOCTOR_NOTE, "busy_poll", name, NULL,
			   "whether interrupts of %s are deferred cannot be read: %s", name,
			   error == -ENODEV ? "/sys is of another network namespace"
					    : strerror(-error));
		return;
	}
	finding = busy_poll_judge(&deferral);
	doctor_add(doctor->report, finding.fault == BUSY_POLL_WELL ? DOCTOR_OK : DOCTOR_WARNING,
		   "busy_poll", name, busy_poll_command(&finding, name, command),
		   "busy polling of %s: %s", name, busy_poll_describe(&finding, clause));
}
