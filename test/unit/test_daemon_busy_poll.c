/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which workers go on polling when idle, and what is told of it: a worker that is open but does not
 * run, on a veth. What the kernel knows to poll, and how it defers interrupts, is made up here.
 */
#include "namespace.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include <fluxpin/interface.h>

#include "../../src/control/daemon_internal.h"

static struct {
	uint32_t napi; /* of every socket */
	int error;     /* of the question about it */
	struct interface_deferral deferral;
} kernel;

int getsockopt(int descriptor, int level, int name, void *value, socklen_t *length)
{
	if (level == SOL_SOCKET && name == SO_INCOMING_NAPI_ID) {
		memcpy(value, &kernel.napi, sizeof(kernel.napi));
		return 0;
	}
	return (int)syscall(SYS_getsockopt, descriptor, level, name, value, length);
}

/* The kernel does not give this one back. */
static int budget;

int setsockopt(int descriptor, int level, int name, const void *value, socklen_t length)
{
	if (level == SOL_SOCKET && name == SO_BUSY_POLL_BUDGET)
		memcpy(&budget, value, sizeof(budget));
	return (int)syscall(SYS_setsockopt, descriptor, level, name, value, length);
}

int interface_napi_deferral(uint32_t napi, struct interface_deferral *deferral)
{
	assert_int_equal(napi, kernel.napi);
	if (kernel.error == 0)
		*deferral = kernel.deferral;
	return kernel.error;
}

int interface_deferral(const char *name, int index, struct interface_deferral *deferral)
{
	assert_string_equal(name, "e0");
	assert_true(index > 0);
	*deferral = kernel.deferral;
	return 0;
}

static struct daemon daemon_of_one;
static struct device device;
static struct interface nic;
static struct forwarding *published;
static struct worker *worker;

static void open_daemon(void)
{
	struct worker_options options = {
		.port = { .interface = "e0", .frames = 1024, .frame_size = 2048, .tap = -1 },
		.cpu = -1,
		.connection_capacity = 1024,
		.fragment_capacity = 64,
		.fragment_timeout_ns = 1000000000,
		.forwarding = &published,
	};
	int error;

	run("ip link add e0 numrxqueues 1 numtxqueues 1 type veth peer name p0");
	run("ip link set e0 up && ip link set p0 up");
	assert_int_equal(interface_query("e0", &nic), 0);
	error = worker_open(&options, &worker);
	if (error == -EAFNOSUPPORT || error == -EPERM) {
		print_message("skipped: no AF_XDP socket: %s\n", strerror(-error));
		skip();
	}
	assert_int_equal(error, 0);
	memset(&kernel, 0, sizeof(kernel));
	kernel.deferral = (struct interface_deferral){ 2, 200000 };
	device = (struct device){ .busy_poll = { .is_on = true, .budget = 64 } };
	daemon_of_one.devices = &device;
	daemon_of_one.nics = &nic;
	daemon_of_one.device_count = 1;
	daemon_of_one.workers = &worker;
	daemon_of_one.worker_count = 1;
}

/* Of the device, not a number that is right for most. */
static void test_budget(void **state)
{
	(void)state;
	need_namespace();
	open_daemon();
	device.busy_poll.budget = 17;
	assert_int_equal(daemon_start_busy_poll(&device, worker), 0);
	assert_int_equal(budget, 17);
	budget = 0;
	device.busy_poll.is_on = false;
	assert_int_equal(daemon_start_busy_poll(&device, worker), 0);
	assert_int_equal(budget, 0);
	worker_close(worker);
}

static void expect(bool is_polling, enum busy_poll_fault fault)
{
	daemon_watch_busy_poll(&daemon_of_one);
	assert_int_equal(worker_is_polling(worker), is_polling);
	assert_int_equal(device.busy_poll_finding.fault, fault);
}

static void test_what_the_kernel_polls(void **state)
{
	(void)state;
	need_namespace();
	open_daemon();
	/* No frame has come that could have told. */
	expect(false, BUSY_POLL_WELL);
	kernel.napi = 513;
	expect(true, BUSY_POLL_WELL);
	kernel.deferral.hard_irqs = 0;
	expect(true, BUSY_POLL_NOT_DEFERRED);
	/* Before Linux 6.13 it is told of the device alone. */
	kernel.error = -EOPNOTSUPP;
	expect(true, BUSY_POLL_NOT_DEFERRED);
	kernel.deferral.hard_irqs = 2;
	expect(true, BUSY_POLL_WELL);
	/* Nobody looks where none is asked for. */
	device.busy_poll.is_on = false;
	kernel.napi = 0;
	expect(true, BUSY_POLL_WELL);
	worker_close(worker);
}

/* Neither is there one of a NIC that is down; that one may be back, and a restart mends nothing. */
static void test_a_queue_that_is_gone(void **state)
{
	(void)state;
	need_namespace();
	open_daemon();
	kernel.napi = 513;
	expect(true, BUSY_POLL_WELL);
	run("ip link set e0 down");
	kernel.error = -ENOENT;
	expect(false, BUSY_POLL_WELL);
	run("ip link set e0 up");
	kernel.error = 0;
	expect(true, BUSY_POLL_WELL);
	kernel.error = -ENOENT;
	expect(false, BUSY_POLL_NAPI_GONE);
	worker_close(worker);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, namespace_enter, namespace_leave)
	const struct CMUnitTest tests[] = {
		TEST(test_budget),
		TEST(test_what_the_kernel_polls),
		TEST(test_a_queue_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
