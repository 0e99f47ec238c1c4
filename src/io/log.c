/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include <fluxpin/log.h>

enum {
	MESSAGE_SIZE = 2048,
};

static const struct {
	const char *name;
	int priority; /* of syslog(3), which the journal uses */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

static enum log_level highest = LOG_LEVEL_INFO;
static bool is_journal;

void log_set_level(enum log_level level)
{
	highest = level;
}

int log_parse_level(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* A line of its own and nothing else: the journal splits at line ends, and names that come from a
 * configuration or a peer may do nothing to a terminal. Returns the length without trailing space.
 */
static size_t make_line(char *text, size_t length)
{
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte < 0x20 || byte == 0x7f)
			text[i] = ' ';
	}
	return length;
}

static void __attribute__((format(printf, 2, 0)))
write_message(enum log_level level, const char *format, va_list arguments)
{
	char line[MESSAGE_SIZE];
	size_t used, length;
	ssize_t written;
	int printed, error = errno;

	if (is_journal)
		used = (size_t)snprintf(line, sizeof(line), "<%d>", levels[level].priority);
	else
		used = (size_t)snprintf(line, sizeof(line), "%s: ", levels[level].name);
	/* One byte stays for the line's end. */
	printed = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
	if (printed < 0)
		return;
	length = strlen(line + used);
	length = used + make_line(line + used, length);
	line[length++] = '\n';
	do
		written = write(STDERR_FILENO, line, length);
	while (written < 0 && errno == EINTR);
	/* Callers log a failure and then return its errno. */
	errno = error;
}

void log_message(enum log_level level, const char *format, ...)
{
	va_list arguments;

	if (level > highest)
		return;
	va_start(arguments, format);
	write_message(level, format, arguments);
	va_end(arguments);
}

static int __attribute__((format(printf, 2, 0)))
print_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	/* Their own debug messages are hundreds of lines per program. */
	if (level != LIBBPF_DEBUG && highest >= LOG_LEVEL_DEBUG)
		write_message(LOG_LEVEL_DEBUG, format, arguments);
	return 0;
}

static int __attribute__((format(printf, 2, 0)))
print_libxdp(enum libxdp_print_level level, const char *format, va_list arguments)
{
	if (level != LIBXDP_DEBUG && highest >= LOG_LEVEL_DEBUG)
		write_message(LOG_LEVEL_DEBUG, format, arguments);
	return 0;
}

/* systemd.exec(5): the device and inode of the journal's stream, to tell it from a redirection. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat information;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &information) == 0 && information.st_dev == device &&
	       information.st_ino == inode;
}

void log_initialise(void)
{
	is_journal = stderr_is_journal();
	libbpf_set_print(print_libbpf);
	libxdp_set_print(print_libxdp);
}
