/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline_internal.h"

void pipeline_exceeds_mtu(struct pipeline *pipeline, struct batch *batch, struct match *match)
{
	(void)pipeline;
	(void)batch;
	packet_drop(match->packet, DROP_EXCEEDS_MTU);
}
