/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

bool pipeline_match_fragment(struct pipeline *pipeline, const struct forwarding *forwarding,
			     struct batch *batch, const struct vip_address *address,
			     struct match *match)
{
	(void)pipeline;
	(void)forwarding;
	(void)batch;
	(void)address;
	packet_drop(match->packet, DROP_FRAGMENT);
	return false;
}

void pipeline_take_over(struct pipeline *pipeline, struct batch *batch)
{
	(void)pipeline;
	(void)batch;
}

void pipeline_release(struct pipeline *pipeline, const struct forwarding *forwarding,
		      struct batch *batch)
{
	(void)pipeline;
	(void)forwarding;
	(void)batch;
}

void pipeline_finish(struct pipeline *pipeline)
{
	(void)pipeline;
}
