/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

bool pipeline_decapsulate(struct pipeline *pipeline, const struct forwarding *forwarding,
			  struct packet *packet)
{
	(void)pipeline;
	(void)forwarding;
	(void)packet;
	return false;
}

bool pipeline_check_addresses(struct packet *packet)
{
	(void)packet;
	return true;
}
