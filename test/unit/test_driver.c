/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fluxpin/driver.h>

static void test_frames_hold_a_packet(void **state)
{
	(void)state;
	/* In whole kilobytes, less what XDP keeps: enough for an MTU of 1500 and VLAN tags. */
	assert_true((driver_frame_size("igb", 2048) - 256) / 1024 * 1024 >= 1500 + 22);
	assert_true((driver_frame_size("igc", 2048) - 256) / 1024 * 1024 >= 1500 + 22);
	assert_int_equal(driver_frame_size("igb", 4096), 4096);
	assert_int_equal(driver_frame_size("ice", 2048), 2048);
	assert_int_equal(driver_frame_size("ice", 4096), 4096);
	assert_int_equal(driver_frame_size("", 2048), 2048);
}

static void test_no_warning_of_others(void **state)
{
	(void)state;
	assert_null(driver_warning("veth"));
	assert_null(driver_warning(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_hold_a_packet),
		cmocka_unit_test(test_no_warning_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
