/* SPDX-License-Identifier: BSD-2-Clause */
#include "busy_poll.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * A batch of 64 frames and the poll for it take a worker a few microseconds, ten where frames are
 * copied; a shorter time may be over before it polls again. A worker that sleeps, stalls or lost
 * its CPU leaves packets to the timer, and no client should notice.
 */
#define FLUSH_LEAST_NS 20000
#define FLUSH_MOST_NS  10000000

/* What Documentation/networking/napi.rst of the kernel, and its authors' figures, begin with. */
#define HARD_IRQS_ADVISED 2
#define FLUSH_ADVISED_NS  200000

struct busy_poll_finding busy_poll_judge(const struct interface_deferral *deferral)
{
	struct busy_poll_finding finding = { .fault = BUSY_POLL_WELL, .deferral = *deferral };

	if (deferral->hard_irqs == 0 || deferral->flush_timeout_ns == 0)
		finding.fault = BUSY_POLL_NOT_DEFERRED;
	else if (deferral->flush_timeout_ns < FLUSH_LEAST_NS)
		finding.fault = BUSY_POLL_DEFERRED_BRIEFLY;
	else if (deferral->flush_timeout_ns > FLUSH_MOST_NS)
		finding.fault = BUSY_POLL_DEFERRED_FOR_LONG;
	return finding;
}

const char *busy_poll_describe(const struct busy_poll_finding *finding, char buffer[static 256])
{
	const struct interface_deferral *deferral = &finding->deferral;

	switch (finding->fault) {
	case BUSY_POLL_NOT_DEFERRED:
		snprintf(buffer, 256,
			 "interrupts are not deferred (napi_defer_hard_irqs is %u, "
			 "gro_flush_timeout %" PRIu64 "): they come on after every poll",
			 deferral->hard_irqs, deferral->flush_timeout_ns);
		return buffer;
	case BUSY_POLL_DEFERRED_BRIEFLY:
		snprintf(buffer, 256,
			 "gro_flush_timeout is %" PRIu64
			 " ns: interrupts come on between the polls of a busy worker",
			 deferral->flush_timeout_ns);
		return buffer;
	case BUSY_POLL_DEFERRED_FOR_LONG:
		snprintf(buffer, 256,
			 "gro_flush_timeout is %" PRIu64
			 " ns: packets wait that long when a worker does not poll",
			 deferral->flush_timeout_ns);
		return buffer;
	case BUSY_POLL_NO_NAPI:
		return "it has no effect: the kernel tells no NAPI instance to poll, for this "
		       "driver in this mode; packets come by interrupts";
	case BUSY_POLL_NAPI_GONE:
		return "it has ended: the driver has set its queues up anew, and the kernel polls "
		       "the new ones after a restart of fluxpin only; packets come by interrupts";
	case BUSY_POLL_WELL:
		break;
	}
	return "interrupts are deferred";
}

const char *busy_poll_command(const struct busy_poll_finding *finding, const char *interface,
			      char buffer[static 256])
{
	switch (finding->fault) {
	case BUSY_POLL_NOT_DEFERRED:
	case BUSY_POLL_DEFERRED_BRIEFLY:
	case BUSY_POLL_DEFERRED_FOR_LONG:
		snprintf(buffer, 256,
			 "echo %d > /sys/class/net/%s/napi_defer_hard_irqs; "
			 "echo %d > /sys/class/net/%s/gro_flush_timeout",
			 HARD_IRQS_ADVISED, interface, FLUSH_ADVISED_NS, interface);
		return buffer;
	default:
		return NULL;
	}
}
