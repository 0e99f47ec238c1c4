/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of busy polling, on a socket of another family: the kernel handles them alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/io/xsk_port_internal.h"

static int read_option(int descriptor, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(descriptor, SOL_SOCKET, option, &value, &size), 0);
	return value;
}

static void test_options(void **state)
{
	struct xsk_port port = { .descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
	const char *option = NULL;
	int error;

	(void)state;
	assert_true(port.descriptor >= 0);
	error = xsk_port_busy_poll(&port, 64, &option);
	if (error == -EPERM || error == -ENOPROTOOPT) {
		close(port.descriptor);
		print_message("skipped: busy polling is refused here: %s\n", strerror(-error));
		skip();
	}
	assert_int_equal(error, 0);
	assert_null(option);
	assert_true(port.is_busy_polling);
	assert_int_equal(read_option(port.descriptor, SO_PREFER_BUSY_POLL), 1);
	assert_true(read_option(port.descriptor, SO_BUSY_POLL) > 0);
	/* A socket that no frame has come to. */
	assert_int_equal(xsk_port_napi(&port), 0);
	/* A budget that the kernel refuses is told by its name. */
	assert_int_equal(xsk_port_busy_poll(&port, 65536, &option), -EINVAL);
	assert_string_equal(option, "SO_BUSY_POLL_BUDGET");
	close(port.descriptor);
}

static void test_refused(void **state)
{
	struct xsk_port port = { .descriptor = -1 };
	const char *option = NULL;

	(void)state;
	assert_int_equal(xsk_port_busy_poll(&port, 64, &option), -EBADF);
	assert_string_equal(option, "SO_PREFER_BUSY_POLL");
	assert_false(port.is_busy_polling);
	assert_int_equal(xsk_port_napi(&port), 0);
}

/* Without CAP_NET_ADMIN; in a process that does not come back. */
static void test_without_rights(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0) {
		print_message("only root can give its rights up\n");
		skip();
	}
	child = fork();
	if (child == 0) {
		struct xsk_port port = { .descriptor = socket(AF_INET, SOCK_DGRAM, 0) };
		const char *option = "";

		if (setuid(65534) != 0)
			_exit(2);
		_exit(xsk_port_busy_poll(&port, 64, &option) == -EPERM &&
				      strcmp(option, "SO_PREFER_BUSY_POLL") == 0
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_without_rights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
