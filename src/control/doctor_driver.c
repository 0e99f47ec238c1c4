/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver of a NIC can do, and what is known of it. */
#include "doctor_internal.h"

#include <string.h>

#include <fluxpin/driver.h>

/* Since when drivers have zero-copy, of those that got it late (docs/operations.md). */
static uint32_t zero_copy_since(const char *driver)
{
	static const struct {
		const char *driver;
		uint32_t version;
	} drivers[] = {
		{ "igb", DOCTOR_KERNEL(6, 14) },
		{ "virtio_net", DOCTOR_KERNEL(6, 13) },
	};

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(drivers[i].driver, driver) == 0)
			return drivers[i].version;
	return 0;
}

static void check_features(struct doctor *doctor, const struct doctor_nic *nic, uint64_t features)
{
	const uint64_t native = INTERFACE_XDP_BASIC | INTERFACE_XDP_REDIRECT;
	const char *name = nic->wanted->name;
	const char *driver = nic->interface.driver[0] != '\0' ? nic->interface.driver : "unknown";
	enum xdp_mode mode = nic->wanted->mode;
	uint32_t since = zero_copy_since(driver);

	if ((features & native) != native)
		doctor_add(doctor->report,
			   mode == XDP_MODE_ZEROCOPY || mode == XDP_MODE_COPY ? DOCTOR_ERROR
									      : DOCTOR_WARNING,
			   "driver", name, NULL,
			   "the driver of %s, %s, has no XDP: only generic XDP works (mode "
			   "\"skb\"), behind the kernel's own buffers and slow",
			   name, driver);
	else if ((features & INTERFACE_XDP_ZERO_COPY) != 0)
		doctor_add(doctor->report, DOCTOR_OK, "driver", name, NULL,
			   "the driver of %s, %s, has XDP and zero-copy", name, driver);
	else if (since > doctor_kernel_version())
		doctor_add(doctor->report, mode == XDP_MODE_ZEROCOPY ? DOCTOR_ERROR : DOCTOR_NOTE,
			   "driver", name, NULL,
			   "the driver of %s, %s, has zero-copy since Linux %u.%u", name, driver,
			   since >> 16, since & 0xffff);
	else
		doctor_add(doctor->report, mode == XDP_MODE_ZEROCOPY ? DOCTOR_ERROR : DOCTOR_NOTE,
			   "driver", name, NULL,
			   "the driver of %s, %s, has XDP without zero-copy: each packet is copied",
			   name, driver);
}

void doctor_check_driver(struct doctor *doctor, const struct doctor_nic *nic)
{
	const char *name = nic->wanted->name, *driver = nic->interface.driver;
	uint32_t frame_size =
		doctor->configuration != NULL ? doctor->configuration->umem.frame_size : 2048;
	uint64_t features;

	if (interface_xdp_features(nic->interface.index, &features) == 0)
		check_features(doctor, nic, features);
	if (driver_warning(driver) != NULL && nic->wanted->mode != XDP_MODE_COPY &&
	    nic->wanted->mode != XDP_MODE_GENERIC)
		doctor_add(doctor->report, DOCTOR_WARNING, "driver", name, NULL, "%s: %s", name,
			   driver_warning(driver));
	if (driver_frame_size(driver, frame_size) != frame_size)
		doctor_add(
			doctor->report, DOCTOR_NOTE, "driver", name, NULL,
			"the driver of %s, %s, gets frames of %u bytes in zero-copy, so that its "
			"memory is twice as large",
			name, driver, driver_frame_size(driver, frame_size));
	if (strcmp(driver, "igb") == 0 || strcmp(driver, "igc") == 0)
		doctor_add(doctor->report, DOCTOR_NOTE, "driver", name, NULL,
			   "the link of %s goes down for about three seconds whenever fluxpin "
			   "starts or ends",
			   name);
}
