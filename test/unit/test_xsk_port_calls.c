/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls of the packet path, on a veth in copy mode: how many there are, and that no
 * frame stays in the TX ring for one that did nothing. The calls go through this file, which counts
 * them, and may keep them from the kernel.
 */
#include "namespace.h"

#include <linux/if_xdp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "../../src/io/xsk_port_internal.h"

#define FRAMES	     1024 /* so that the TX ring is smaller than the most frames of a call */
#define FRAME_LENGTH 60

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

static struct {
	int sends, receives, polls;
	uint32_t budget;
	int budget_status;
	bool is_send_lost; /* sendto succeeds and does nothing */
} calls;

int setsockopt(int descriptor, int level, int name, const void *value, socklen_t length)
{
	long status = syscall(SYS_setsockopt, descriptor, level, name, value, length);

	if (level == SOL_XDP && name == XDP_MAX_TX_SKB_BUDGET) {
		memcpy(&calls.budget, value, sizeof(calls.budget));
		calls.budget_status = (int)status;
	}
	return (int)status;
}

ssize_t sendto(int descriptor, const void *data, size_t length, int flags,
	       const struct sockaddr *address, socklen_t address_length)
{
	calls.sends++;
	if (calls.is_send_lost)
		return 0;
	return syscall(SYS_sendto, descriptor, data, length, flags, address, address_length);
}

ssize_t recvfrom(int descriptor, void *data, size_t length, int flags, struct sockaddr *address,
		 socklen_t *address_length)
{
	calls.receives++;
	return syscall(SYS_recvfrom, descriptor, data, length, flags, address, address_length);
}

int poll(struct pollfd *descriptors, nfds_t count, int timeout_ms)
{
	struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

	calls.polls++;
	return (int)syscall(SYS_ppoll, descriptors, count, timeout_ms < 0 ? NULL : &timeout, NULL,
			    0);
}

/* Linux 6.17 and later send as many frames a call as they are told to. */
static bool has_budget(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 17);
}

static struct xsk_port *open_port(void)
{
	struct xsk_port_options options = {
		.interface = "e0", .frames = FRAMES, .frame_size = 2048, .tap = -1
	};
	struct xsk_port *port = NULL;
	int error;

	run("ip link add e0 numrxqueues 1 numtxqueues 1 type veth peer name p0");
	run("ip link set e0 addrgenmode none up && ip link set p0 addrgenmode none up");
	memset(&calls, 0, sizeof(calls));
	error = xsk_port_open(&options, &port);
	if (error == -EAFNOSUPPORT || error == -EPERM) {
		print_message("skipped: no AF_XDP socket: %s\n", strerror(-error));
		skip();
	}
	assert_int_equal(error, 0);
	return port;
}

static uint32_t receive(struct xsk_port *port)
{
	struct port *base = xsk_port_port(port);
	struct frame frames[PORT_BATCH];
	uint32_t count = base->operations->receive(base, frames, PORT_BATCH);

	base->operations->recycle(base, frames, count);
	return count;
}

static void send_batch(struct xsk_port *port)
{
	struct port *base = xsk_port_port(port);
	struct frame frames[PORT_BATCH];

	for (uint32_t i = 0; i < PORT_BATCH; i++) {
		assert_true(base->operations->allocate(base, 0, &frames[i]));
		frames[i].length = FRAME_LENGTH;
		memset(frames[i].data, 0, FRAME_LENGTH);
	}
	assert_int_equal(base->operations->send(base, frames, PORT_BATCH), PORT_BATCH);
}

static uint32_t waiting(const struct xsk_port *port)
{
	return *port->tx.producer - __atomic_load_n(port->tx.consumer, __ATOMIC_ACQUIRE);
}

/* Whoever gets the frames may hold on to them for a while. */
static void expect_all_back(struct xsk_port *port)
{
	struct xsk_ledger ledger;

	for (int i = 0; i < 10000 && xsk_port_unsent(port) > 0; i++) {
		receive(port);
		pause_milliseconds(1);
	}
	assert_int_equal(xsk_port_unsent(port), 0);
	xsk_port_read_ledger(port, &ledger);
	assert_int_equal(ledger.free + ledger.fill + ledger.rx, FRAMES);
}

/* The kernel refuses a budget above the size of the TX ring, a quarter of the UMEM. */
static void test_one_call_sends_a_batch(void **state)
{
	struct xsk_port *port;

	(void)state;
	need_namespace();
	port = open_port();
	assert_int_equal(calls.budget, FRAMES / 4);
	assert_true(calls.budget_status == 0 || !has_budget());
	for (int i = 0; i < 5; i++) {
		calls.sends = 0;
		send_batch(port);
		assert_int_equal(waiting(port), 0);
		assert_int_equal(calls.sends, calls.budget_status == 0 ? 1 : 2);
		expect_all_back(port);
	}
	assert_int_equal(calls.receives, 0);
	xsk_port_close(port);
}

/* A call that did nothing is made again within 16 rounds, which is before a worker sleeps. */
static void test_a_call_that_did_nothing(void **state)
{
	struct xsk_port *port;

	(void)state;
	need_namespace();
	port = open_port();
	calls.is_send_lost = true;
	send_batch(port);
	assert_int_equal(calls.sends, 1);
	for (int i = 0; i < 15; i++)
		receive(port);
	assert_int_equal(calls.sends, 1);
	assert_int_equal(waiting(port), PORT_BATCH);
	calls.is_send_lost = false;
	receive(port);
	assert_int_equal(waiting(port), 0);
	expect_all_back(port);
	xsk_port_close(port);
}

/* The sleep sends what is left, too, and is short while something is: the kernel sends 32 frames
 * each time if not told otherwise. */
static void test_a_sleep_sends(void **state)
{
	struct xsk_port *port;
	int wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	need_namespace();
	port = open_port();
	calls.is_send_lost = true;
	send_batch(port);
	for (int i = 0; i < 2; i++)
		assert_false(xsk_port_sleep(port, wake, 1000));
	assert_int_equal(waiting(port), 0);
	assert_in_range(port->backoff_ms, 0, 2);
	expect_all_back(port);
	assert_int_equal(eventfd_write(wake, 1), 0);
	assert_true(xsk_port_sleep(port, wake, 60000));
	close(wake);
	xsk_port_close(port);
}

/* As where the driver sends by another NAPI instance than the one that is polled: the call succeeds
 * and sends nothing. */
static void test_busy_polling_wakes_the_driver(void **state)
{
	struct xsk_port *port;

	(void)state;
	need_namespace();
	port = open_port();
	port->is_busy_polling = true;
	receive(port);
	assert_int_equal(calls.receives, 1);
	assert_int_equal(calls.polls, 0);
	/* It has no frame to receive into, and is not polled for as long as it is not told. */
	*port->fill.flags |= XDP_RING_NEED_WAKEUP;
	receive(port);
	assert_int_equal(calls.receives, 2);
	assert_int_equal(calls.polls, 1);
	*port->fill.flags = 0;
	calls.is_send_lost = true;
	send_batch(port);
	assert_int_equal(calls.sends, 1);
	assert_int_equal(calls.polls, 2);
	/* A call that sends is enough. */
	calls.is_send_lost = false;
	expect_all_back(port);
	calls.polls = 0;
	send_batch(port);
	assert_int_equal(waiting(port), 0);
	assert_int_equal(calls.polls, 0);
	xsk_port_close(port);
}

/* The kernel takes a closed socket off the queue later, so that nearly every second open was
 * refused; one that another has stays refused. */
static void test_the_queue_of_a_closed_socket(void **state)
{
	struct xsk_port_options options = {
		.interface = "e0", .frames = FRAMES, .frame_size = 2048, .tap = -1
	};
	struct xsk_port *port, *other = NULL;

	(void)state;
	need_namespace();
	port = open_port();
	for (int i = 0; i < 20; i++) {
		send_batch(port);
		xsk_port_close(port);
		assert_int_equal(xsk_port_open(&options, &port), 0);
	}
	assert_int_equal(xsk_port_open(&options, &other), -EBUSY);
	assert_null(other);
	xsk_port_close(port);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, namespace_enter, namespace_leave)
	const struct CMUnitTest tests[] = {
		TEST(test_one_call_sends_a_batch),
		TEST(test_a_call_that_did_nothing),
		TEST(test_a_sleep_sends),
		TEST(test_busy_polling_wakes_the_driver),
		TEST(test_the_queue_of_a_closed_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
