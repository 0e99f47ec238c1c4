/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages for the operator, on standard error: one line each, with the journal's priority prefix
 * ("<4>", sd-daemon(3)) when standard error is the journal's stream, otherwise with the level's
 * name. Standard output is left to data.
 *
 * Never called on the packet path. Safe from any thread: each message is one write(2).
 */
#ifndef FLUXPIN_LOG_H
#define FLUXPIN_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Messages above this level are left out; the default is LOG_LEVEL_INFO. Thread: start-up only. */
void log_set_level(enum log_level level);

/* "error", "warning", "info" or "debug" to a level. Returns 0 or -EINVAL. Thread: any. */
int log_parse_level(const char *text, enum log_level *level);

/*
 * Detects the journal (JOURNAL_STREAM, systemd.exec(5)) and routes the messages of libbpf and
 * libxdp into ours: their warnings become debug messages, since every failure that
 * matters is reported by the caller in our own words. Thread: start-up only.
 */
void log_initialise(void);

void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
