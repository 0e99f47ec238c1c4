/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of the settings that busy polling needs, and that the commands mend them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../src/control/busy_poll.h"

static void test_judge(void **state)
{
	static const struct {
		struct interface_deferral deferral;
		enum busy_poll_fault fault;
	} cases[] = {
		{ { 0, 0 }, BUSY_POLL_NOT_DEFERRED },
		{ { 0, 200000 }, BUSY_POLL_NOT_DEFERRED },
		{ { 2, 0 }, BUSY_POLL_NOT_DEFERRED },
		{ { 1, 1 }, BUSY_POLL_DEFERRED_BRIEFLY },
		{ { 2, 19999 }, BUSY_POLL_DEFERRED_BRIEFLY },
		{ { 2, 20000 }, BUSY_POLL_WELL },
		{ { UINT32_MAX, 200000 }, BUSY_POLL_WELL },
		{ { 2, 10000000 }, BUSY_POLL_WELL },
		{ { 2, 10000001 }, BUSY_POLL_DEFERRED_FOR_LONG },
		{ { 2, UINT64_MAX }, BUSY_POLL_DEFERRED_FOR_LONG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct busy_poll_finding finding = busy_poll_judge(&cases[i].deferral);

		assert_int_equal(finding.fault, cases[i].fault);
		assert_int_equal(finding.deferral.hard_irqs, cases[i].deferral.hard_irqs);
		assert_int_equal(finding.deferral.flush_timeout_ns,
				 cases[i].deferral.flush_timeout_ns);
	}
}

/* Each fault has words of its own, with the numbers at their longest. */
static void test_words(void **state)
{
	char clauses[BUSY_POLL_NAPI_GONE + 1][256];

	(void)state;
	for (int fault = 0; fault <= BUSY_POLL_NAPI_GONE; fault++) {
		struct busy_poll_finding finding = {
			.fault = (enum busy_poll_fault)fault,
			.deferral = { UINT32_MAX, UINT64_MAX },
		};
		char buffer[256];
		const char *clause = busy_poll_describe(&finding, buffer);

		assert_in_range(strlen(clause), 1, sizeof(buffer) - 2);
		strcpy(clauses[fault], clause);
		for (int other = 0; other < fault; other++)
			assert_string_not_equal(clauses[fault], clauses[other]);
	}
	assert_non_null(strstr(clauses[BUSY_POLL_NOT_DEFERRED], "4294967295"));
	assert_non_null(strstr(clauses[BUSY_POLL_NOT_DEFERRED], "18446744073709551615"));
}

/* The numbers of a command are ones that are well; there is none where none would help. */
static void test_commands(void **state)
{
	(void)state;
	for (int fault = 0; fault <= BUSY_POLL_NAPI_GONE; fault++) {
		struct busy_poll_finding finding = { .fault = (enum busy_poll_fault)fault };
		struct interface_deferral deferral;
		char buffer[256], names[2][32];
		unsigned long timeout;
		const char *command = busy_poll_command(&finding, "a-name-so-long5", buffer);

		if (fault == BUSY_POLL_WELL || fault >= BUSY_POLL_NO_NAPI) {
			assert_null(command);
			continue;
		}
		assert_non_null(command);
		assert_int_equal(sscanf(command,
					"echo %u > /sys/class/net/%31[^/]/napi_defer_hard_irqs; "
					"echo %lu > /sys/class/net/%31[^/]/gro_flush_timeout",
					&deferral.hard_irqs, names[0], &timeout, names[1]),
				 4);
		assert_string_equal(names[0], "a-name-so-long5");
		assert_string_equal(names[1], "a-name-so-long5");
		assert_non_null(strstr(command, "/gro_flush_timeout"));
		deferral.flush_timeout_ns = timeout;
		assert_int_equal(busy_poll_judge(&deferral).fault, BUSY_POLL_WELL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
