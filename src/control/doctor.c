/* SPDX-License-Identifier: BSD-2-Clause */
#include "doctor_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

static void add_findings(const struct findings *findings, struct doctor_report *report)
{
	for (uint32_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->entries[i];
		enum doctor_severity severity = finding->is_warning ? DOCTOR_WARNING : DOCTOR_ERROR;

		if (finding->position.line > 0)
			doctor_add(report, severity, "configuration", findings->file, NULL,
				   "%s:%u: %s", findings->file, finding->position.line,
				   finding->message);
		else
			doctor_add(report, severity, "configuration", findings->file, NULL,
				   "%s: %s", findings->file, finding->message);
	}
}

struct configuration *doctor_read_configuration(const char *file, struct doctor_report *report)
{
	struct configuration *configuration = NULL;
	struct findings findings;
	int error = configuration_read(file, &configuration, &findings);

	add_findings(&findings, report);
	if (error == -ENOMEM)
		report->error = error;
	else if (error == 0 && findings.count == 0)
		doctor_add(report, DOCTOR_OK, "configuration", file, NULL, "%s is valid", file);
	findings_release(&findings);
	return configuration;
}

/* The CPUs that workers are to have, and addresses that VIPs take away from the host. */
static void check_configured(struct doctor *doctor)
{
	struct findings findings = { .file = (char *)"" };
	struct configuration with_interfaces = *doctor->configuration;
	struct interface_configuration *interfaces =
		calloc(doctor->nic_count + 1, sizeof(*interfaces));

	if (interfaces == NULL) {
		doctor->report->error = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < doctor->nic_count; i++)
		interfaces[i] = *doctor->nics[i].wanted;
	with_interfaces.interfaces = interfaces;
	with_interfaces.interface_count = doctor->nic_count;
	configuration_check_cpus(&with_interfaces, &findings);
	for (uint32_t i = 0; i < doctor->nic_count; i++)
		if (doctor->nics[i].is_there)
			configuration_check_nic_address(doctor->configuration,
							&doctor->nics[i].interface, &findings);
	for (uint32_t i = 0; i < findings.count; i++)
		doctor_add(doctor->report,
			   findings.entries[i].is_warning ? DOCTOR_WARNING : DOCTOR_ERROR,
			   "configuration", "", NULL, "%s", findings.entries[i].message);
	findings.file = NULL;
	findings_release(&findings);
	free(interfaces);
}

static void examine_nic(struct doctor *doctor, struct doctor_nic *nic)
{
	if (!doctor_check_link(doctor, nic))
		return;
	doctor_check_queues(doctor, nic);
	doctor_check_mtu(doctor, nic);
	doctor_check_driver(doctor, nic);
	doctor_check_program(doctor, nic);
	doctor_check_offloads(doctor, nic);
	doctor_check_busy_poll(doctor, nic);
	doctor_check_tap(doctor, nic);
	doctor_check_steering(doctor, nic);
	doctor_check_reverse_path(doctor, nic);
}

static int choose_nics(const struct doctor_options *options, struct doctor *doctor)
{
	const struct interface_configuration *interfaces = options->interfaces;
	uint32_t count = options->interface_count;

	if (count == 0 && doctor->configuration != NULL) {
		interfaces = doctor->configuration->interfaces;
		count = doctor->configuration->interface_count;
	}
	doctor->nics = calloc(count + 1, sizeof(*doctor->nics));
	if (doctor->nics == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		doctor->nics[i].wanted = &interfaces[i];
	doctor->nic_count = count;
	if (count == 0)
		doctor_add(doctor->report, DOCTOR_NOTE, "interface", "", NULL,
			   "no interface is named, by -i or in a configuration (-c): only the host "
			   "was looked at");
	return 0;
}

int doctor_examine(const struct doctor_options *options, struct doctor_report *report)
{
	struct doctor doctor = { .report = report };
	struct configuration *configuration = NULL;

	*report = (struct doctor_report){ 0 };
	doctor_check_kernel(&doctor);
	if (options->file != NULL)
		configuration = doctor_read_configuration(options->file, report);
	doctor.configuration = configuration;
	doctor_check_process(&doctor);
	if (choose_nics(options, &doctor) != 0) {
		configuration_release(configuration);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < doctor.nic_count; i++)
		examine_nic(&doctor, &doctor.nics[i]);
	doctor_check_memory(&doctor);
	doctor_check_forwarding(&doctor);
	doctor_check_leftovers(&doctor);
	if (configuration != NULL) {
		check_configured(&doctor);
		doctor_check_vips(&doctor);
		doctor_check_backends(&doctor);
	}
	free(doctor.nics);
	configuration_release(configuration);
	return report->error;
}
