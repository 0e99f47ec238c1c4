/* SPDX-License-Identifier: BSD-2-Clause */
/* What of the doctor is pure: commands, words of a shell, interrupts by name, routes as words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/control/doctor_internal.h"
#include "../../src/control/doctor_interrupts.h"

static void test_report(void **state)
{
	struct doctor_report report = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		doctor_add(&report, i % 2 ? DOCTOR_ERROR : DOCTOR_NOTE, "mtu", "eth0",
			   i % 3 ? NULL : "true", "number %d", i);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.count, 100);
	assert_int_equal(report.by_severity[DOCTOR_ERROR], 50);
	assert_int_equal(report.by_severity[DOCTOR_NOTE], 50);
	assert_string_equal(report.findings[99].sentence, "number 99");
	assert_string_equal(report.findings[99].command, "true");
	assert_null(report.findings[98].command);
	doctor_report_release(&report);
	assert_null(report.findings);
}

static void test_command_without_room(void **state)
{
	char command[DOCTOR_COMMAND_SIZE], text[DOCTOR_COMMAND_SIZE + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[DOCTOR_COMMAND_SIZE] = '\0';
	assert_null(doctor_command(command, "%s", text));
	text[DOCTOR_COMMAND_SIZE - 1] = '\0';
	assert_string_equal(doctor_command(command, "%s", text), text);
}

/* The shell itself says whether the word is the text again. */
static void test_quote(void **state)
{
	static const char *const texts[] = { "/run/a.prom", "",	 "a b", "it's", "$(reboot)",
					     "''",	    "*", "a;b", "\\",	"\"" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char quoted[64], command[128], output[64] = "";
		FILE *pipe;

		assert_non_null(doctor_quote(texts[i], quoted, sizeof(quoted)));
		snprintf(command, sizeof(command), "printf %%s %s", quoted);
		pipe = popen(command, "re");
		assert_non_null(pipe);
		output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
		assert_int_equal(pclose(pipe), 0);
		assert_string_equal(output, texts[i]);
	}
}

static void test_quote_without_room(void **state)
{
	char quoted[64];

	(void)state;
	/* The word, both quotes and the terminating zero. */
	assert_string_equal(doctor_quote("a b", quoted, 6), "'a b'");
	assert_null(doctor_quote("a b", quoted, 5));
	assert_string_equal(doctor_quote("ab", quoted, 3), "ab");
	assert_null(doctor_quote("ab", quoted, 2));
	assert_null(doctor_quote("'", quoted, 6));
	assert_null(doctor_quote(" ", quoted, 2));
}

static void test_interrupts(void **state)
{
	static const char text[] =
		"           CPU0       CPU1\n"
		"  0:         34          0   IO-APIC    2-edge      timer\n"
		" 24:          0          0   PCI-MSI 65536-edge      eth0\n"
		" 25:          0          0   PCI-MSI 65537-edge      eth0-TxRx-0\n"
		" 26:          0          0   PCI-MSI 65538-edge      eth0-TxRx-1\n"
		" 27:          0          0   PCI-MSI 65538-edge      eth1-tx-0\n"
		" 28:          0          0   PCI-MSI 65538-edge      eth1-rx-0\n"
		" 29:          0          0   PCI-MSI 65538-edge      ice-enp3s0-TxRx-11\n"
		" 30:          0          0   PCI-MSI 65538-edge      eth01-TxRx-3\n"
		" 31:          0          0   PCI-MSIX-0000:00:03.0 0-edge virtio0-config\n"
		" 32:          0          0   PCI-MSIX-0000:00:03.0 1-edge virtio0-input.0\n"
		" 33:          0          0   PCI-MSIX-0000:00:03.0 2-edge virtio0-output.1\n"
		" 34:          0          0   PCI-MSIX-0000:00:03.0 3-edge virtio0-input.1\n"
		" 35:          0          0   PCI-MSI 1-edge mlx5_comp0@pci:0000:81:00.0\n"
		" 36:          0          0   PCI-MSI 1-edge mlx5_comp0@pci:0000:81:00.1\n"
		" 37:          0          0   PCI-MSI 1-edge ens5-Tx-Rx-0\n"
		" 38:          0          0   PCI-MSI 1-edge ens5-Tx-Rx-1\n"
		"NMI:          0          0   Non-maskable interrupts\n"
		"LOC: eth0-rx-7\n";
	char path[] = "/tmp/test_doctor-XXXXXX";
	int descriptor = mkstemp(path);

	(void)state;
	assert_true(descriptor >= 0);
	assert_int_equal(write(descriptor, text, sizeof(text) - 1), sizeof(text) - 1);
	close(descriptor);
	assert_int_equal(interrupts_find(path, "eth0", "", 0), 25);
	assert_int_equal(interrupts_find(path, "eth0", "", 1), 26);
	assert_int_equal(interrupts_find(path, "eth0", "", 3), -1);
	assert_int_equal(interrupts_find(path, "eth0", "", 7), -1);
	assert_int_equal(interrupts_find(path, "eth1", "", 0), 28);
	assert_int_equal(interrupts_find(path, "enp3s0", "", 11), 29);
	assert_int_equal(interrupts_find(path, "enp3s0", "", 1), -1);
	assert_int_equal(interrupts_find(path, "3s0", "", 11), -1);
	assert_int_equal(interrupts_find(path, "ens5", "0000:00:05.0", 1), 38);
	assert_int_equal(interrupts_find(path, "eth5", "virtio0", 1), 34);
	assert_int_equal(interrupts_find(path, "eth5", "virtio0", 2), -1);
	assert_int_equal(interrupts_find(path, "eth5", "virtio", 0), -1);
	assert_int_equal(interrupts_find(path, "eth5", "0000:81:00.1", 0), 36);
	assert_int_equal(interrupts_find(path, "eth0", "0000:00:04.0", 1), 26);
	unlink(path);
	assert_int_equal(interrupts_find(path, "eth0", "", 0), -1);
}

static void test_route_as_words(void **state)
{
	struct host_route route = { .table = 254, .protocol = 3, .device = 2, .metric = 100 };
	char words[128];

	(void)state;
	snprintf(route.device_name, sizeof(route.device_name), "eth0");
	assert_string_equal(host_route_format(&route, words, sizeof(words)),
			    "default dev eth0 metric 100");
	route.prefix_length = 24;
	route.protocol = 4;
	route.metric = 0;
	route.is_onlink = true;
	address_parse("10.1.0.0", &route.prefix);
	address_parse("10.0.0.1", &route.gateway);
	address_parse("10.0.0.5", &route.source);
	assert_string_equal(host_route_format(&route, words, sizeof(words)),
			    "10.1.0.0/24 via 10.0.0.1 dev eth0 proto 4 src 10.0.0.5 onlink");
	assert_null(host_route_format(&route, words, 20));
	route.table = 77;
	assert_null(host_route_format(&route, words, sizeof(words)));
	route.table = 254;
	route.is_multipath = true;
	assert_null(host_route_format(&route, words, sizeof(words)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),	   cmocka_unit_test(test_command_without_room),
		cmocka_unit_test(test_quote),	   cmocka_unit_test(test_quote_without_room),
		cmocka_unit_test(test_interrupts), cmocka_unit_test(test_route_as_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
