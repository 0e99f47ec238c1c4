/* SPDX-License-Identifier: BSD-2-Clause */
/* A probe by doctor --probe, between the file that finds what is meant and the one that sends. */
#ifndef FLUXPIN_DOCTOR_PROBE_H
#define FLUXPIN_DOCTOR_PROBE_H

#include <fluxpin/encapsulation.h>
#include <fluxpin/neighbours.h>

#include "doctor_internal.h"

struct doctor_probe {
	struct doctor_report *report;
	const struct configuration *configuration;
	const struct pool_configuration *pool;
	const struct backend_configuration *backend;
	const struct vip_configuration *vip;
	struct interface nic;
	struct next_hop next_hop;
	struct encapsulation_path path;
	const char *subject;		      /* "POOL/BACKEND" */
	char vip_text[ADDRESS_TEXT_SIZE + 8]; /* "203.0.113.10:80" */
};

/* Each finds a part of it by the configuration and the host; or adds why not, and returns false. */
bool doctor_probe_find_backend(struct doctor_probe *probe, const char *target);
bool doctor_probe_find_vip(struct doctor_probe *probe, const char *name);
bool doctor_probe_find_nic(struct doctor_probe *probe,
			   const struct interface_configuration *interfaces, uint32_t count);

/* Whether the VIP takes TCP. */
bool doctor_probe_is_tcp(const struct vip_configuration *vip);

#endif
