/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <fluxpin/log.h>

/* Standard error is a pipe between these two. */
static int saved = -1, reading = -1;

static void capture_begin(void)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	close(ends[1]);
	reading = ends[0];
}

static void capture_end(char *text, size_t size)
{
	size_t used = 0;
	ssize_t got;

	dup2(saved, STDERR_FILENO);
	close(saved);
	while ((got = read(reading, text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	close(reading);
}

static void test_levels(void **state)
{
	char text[4096];

	(void)state;
	capture_begin();
	log_set_level(LOG_LEVEL_WARNING);
	log_error("e %d", 1);
	log_warning("w %s", "two");
	log_info("i");
	log_debug("d");
	log_set_level(LOG_LEVEL_DEBUG);
	log_info("i");
	log_debug("d");
	log_set_level(LOG_LEVEL_INFO);
	capture_end(text, sizeof(text));
	assert_string_equal(text, "error: e 1\nwarning: w two\ninfo: i\ndebug: d\n");
}

static void test_one_line(void **state)
{
	char text[4096];

	(void)state;
	capture_begin();
	log_info("a\nb\x1b[2J\tc \n\n");
	log_info("%s", "");
	capture_end(text, sizeof(text));
	assert_string_equal(text, "info: a b [2J c\ninfo: \n");
}

static void test_long_message(void **state)
{
	char text[8192], message[5000];

	(void)state;
	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	capture_begin();
	log_info("%s", message);
	capture_end(text, sizeof(text));
	assert_true(strlen(text) > 1000 && strlen(text) <= 2048);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_errno_is_kept(void **state)
{
	char text[64];

	(void)state;
	capture_begin();
	errno = ENODEV;
	log_info("x");
	assert_int_equal(errno, ENODEV);
	capture_end(text, sizeof(text));
}

static void test_journal(void **state)
{
	char text[256], stream[64];
	struct stat information;

	(void)state;
	capture_begin();
	assert_int_equal(fstat(STDERR_FILENO, &information), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)information.st_dev,
		 (unsigned long long)information.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_initialise();
	log_error("x");
	log_warning("x");
	log_info("x");
	/* Redirected elsewhere: the variable is still there, but about another stream. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_initialise();
	log_info("x");
	setenv("JOURNAL_STREAM", "nonsense", 1);
	log_initialise();
	log_info("x");
	unsetenv("JOURNAL_STREAM");
	log_initialise();
	capture_end(text, sizeof(text));
	assert_string_equal(text, "<3>x\n<4>x\n<6>x\ninfo: x\ninfo: x\n");
}

static void test_parse_level(void **state)
{
	enum log_level level = LOG_LEVEL_INFO;

	(void)state;
	assert_int_equal(log_parse_level("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_parse_level("error", &level), 0);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_int_equal(log_parse_level("warn", &level), -EINVAL);
	assert_int_equal(log_parse_level("", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),	     cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_long_message), cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_journal),	     cmocka_unit_test(test_parse_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
