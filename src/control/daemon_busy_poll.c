/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers that poll their queues themselves. What the kernel polls for a socket may become known
 * only with its first frame, and may go; what defers interrupts is the operator's to set, at any
 * time. So all of it is looked at again and again.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include <fluxpin/log.h>

#include "busy_poll.h"
#include "daemon_internal.h"

int daemon_start_busy_poll(const struct device *device, struct worker *worker)
{
	const char *option, *reason = "";
	int error;

	if (!device->busy_poll.is_on)
		return 0;
	error = xsk_port_busy_poll(worker_port(worker), device->busy_poll.budget, &option);
	if (error == 0)
		return 0;
	if (error == -EPERM)
		reason = " (needs CAP_NET_ADMIN)";
	else if (error == -ENOPROTOOPT || error == -EOPNOTSUPP)
		reason = " (needs Linux 5.11, built with CONFIG_NET_RX_BUSY_POLL)";
	log_error("%s queue %u: busy polling: %s refused: %s%s", worker_interface(worker),
		  worker_queue(worker), option, strerror(-error), reason);
	return error;
}

static bool never_sleeps(const struct daemon *daemon, const struct worker *worker)
{
	const struct busy_poll_configuration *busy_poll =
		&daemon->devices[worker_ordinal(worker)].busy_poll;

	return busy_poll->is_on && busy_poll->idle_ns == 0 && worker_cpu(worker) >= 0;
}

/* Of all that share a CPU with a worker that never sleeps, two are told. */
static void warn_shared_cpu(const struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct worker *one = daemon->workers[i];

		for (uint32_t j = 0; j < daemon->worker_count && never_sleeps(daemon, one); j++) {
			const struct worker *other = daemon->workers[j];

			if (i == j || worker_cpu(other) != worker_cpu(one))
				continue;
			log_warning(
				"busy polling: the worker of %s queue %u never sleeps, and that "
				"of %s queue %u has the same CPU, %d: give each one of its own "
				"(cpus), or have them sleep (busy_poll_idle)",
				worker_interface(one), worker_queue(one), worker_interface(other),
				worker_queue(other), worker_cpu(one));
			return;
		}
	}
}

/* A worker that never sleeps leaves its CPU to others only when the scheduler takes it away. */
void daemon_warn_busy_cpus(const struct daemon *daemon)
{
	cpu_set_t left;
	bool is_any = false;

	warn_shared_cpu(daemon);
	if (sched_getaffinity(0, sizeof(left), &left) != 0)
		return;
	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		const struct worker *worker = daemon->workers[i];

		if (!never_sleeps(daemon, worker))
			continue;
		is_any = true;
		CPU_CLR((size_t)worker_cpu(worker), &left);
	}
	if (is_any && CPU_COUNT(&left) == 0)
		log_warning("busy polling: workers that never sleep take every CPU that fluxpin "
			    "may use: leave one out (cpus), or have them sleep (busy_poll_idle)");
}

/* The kernel does not show what it polls of a NIC that is down; it may be the same afterwards. */
static bool is_down(const struct interface *nic)
{
	struct interface now;

	return interface_query(nic->name, &now) == 0 && !now.is_up;
}

static struct busy_poll_finding examine_worker(const struct worker *worker,
					       const struct interface *nic, bool *is_polled)
{
	struct busy_poll_finding finding = { .fault = BUSY_POLL_WELL };
	uint32_t napi = xsk_port_napi(worker_port(worker));
	struct interface_deferral deferral;
	int error;

	*is_polled = false;
	if (napi == 0) {
		if (counter_read(&worker_counters(worker)->received.packets) > 0)
			finding.fault = BUSY_POLL_NO_NAPI;
		return finding;
	}
	error = interface_napi_deferral(napi, &deferral);
	if (error == -ENOENT) {
		if (!is_down(nic))
			finding.fault = BUSY_POLL_NAPI_GONE;
		return finding;
	}
	*is_polled = true;
	if (error != 0)
		error = interface_deferral(nic->name, nic->index, &deferral);
	return error == 0 ? busy_poll_judge(&deferral) : finding;
}

/* Of all workers of a device. That nothing is polled is worse than what interrupts do meanwhile. */
static struct busy_poll_finding watch_device(struct daemon *daemon, uint32_t ordinal)
{
	struct busy_poll_finding worst = { .fault = BUSY_POLL_WELL };

	for (uint32_t i = 0; i < daemon->worker_count; i++) {
		struct worker *worker = daemon->workers[i];
		struct busy_poll_finding finding;
		bool is_polled;

		if (worker_ordinal(worker) != ordinal)
			continue;
		finding = examine_worker(worker, &daemon->nics[ordinal], &is_polled);
		worker_keep_polling(worker, is_polled, daemon->devices[ordinal].busy_poll.idle_ns);
		if (finding.fault > worst.fault)
			worst = finding;
	}
	return worst;
}

static void tell(const struct interface *nic, const struct busy_poll_finding *finding)
{
	char clause[256], command[256];
	const char *mend = busy_poll_command(finding, nic->name, command);

	if (finding->fault == BUSY_POLL_WELL)
		log_info("%s: busy polling is well set up now", nic->name);
	else
		log_warning("%s: busy polling: %s%s%s", nic->name,
			    busy_poll_describe(finding, clause), mend != NULL ? "; set: " : "",
			    mend != NULL ? mend : "");
}

void daemon_watch_busy_poll(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->device_count; i++) {
		struct device *device = &daemon->devices[i];
		enum busy_poll_fault told = device->busy_poll_finding.fault;

		if (!device->busy_poll.is_on)
			continue;
		device->busy_poll_finding = watch_device(daemon, i);
		if (device->busy_poll_finding.fault != told)
			tell(&daemon->nics[i], &device->busy_poll_finding);
	}
}
