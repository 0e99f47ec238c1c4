/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

bool pipeline_match_icmp(struct pipeline *pipeline, const struct forwarding *forwarding,
			 struct batch *batch, const struct vip_address *address,
			 struct match *match)
{
	(void)pipeline;
	(void)forwarding;
	(void)batch;
	(void)address;
	match->packet->verdict = VERDICT_SLOW_PATH;
	return false;
}
