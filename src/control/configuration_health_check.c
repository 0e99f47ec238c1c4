/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "configuration_internal.h"

#define INTERVAL_LOW_NS	    (10 * NANOSECONDS_PER_MILLISECOND)
#define INTERVAL_HIGH_NS    (3600 * NANOSECONDS_PER_SECOND)
#define INTERVAL_DEFAULT_NS (2 * NANOSECONDS_PER_SECOND)
#define TIMEOUT_LOW_NS	    (1 * NANOSECONDS_PER_MILLISECOND)
#define TIMEOUT_DEFAULT_NS  (1 * NANOSECONDS_PER_SECOND)

enum {
	TYPE,
	PORT,
	PATH,
	HOST,
	INTERVAL,
	TIMEOUT,
	RISE,
	FALL
};

static const struct key keys[] = {
	[TYPE] = { "type", KEY_STRING, true },
	[PORT] = { "port", KEY_INTEGER, false },
	[PATH] = { "path", KEY_STRING, false },
	[HOST] = { "host", KEY_STRING, false },
	[INTERVAL] = { "interval", KEY_DURATION, false },
	[TIMEOUT] = { "timeout", KEY_DURATION, false },
	[RISE] = { "rise", KEY_INTEGER, false },
	[FALL] = { "fall", KEY_INTEGER, false },
};

/* The request's path and Host field go into an HTTP request line by line: no spaces or control
 * characters may get there (RFC 9112 section 3). */
static bool is_one_word(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text > '~')
			return false;
	}
	return true;
}

static void read_path_and_host(struct reader *reader, const struct value *values,
			       struct health_check_configuration *check)
{
	const char *path = "/", *host;

	if (value_string(&values[PATH], &path) && (*path != '/' || !is_one_word(path)))
		reader_error(reader, values[PATH].node->value_position,
			     "\"path\" must begin with \"/\" and hold printable ASCII without "
			     "spaces, found \"%.80s\"",
			     path);
	check->path = reader_copy(reader, path);
	if (!value_string(&values[HOST], &host))
		return;
	if (*host == '\0' || strlen(host) > 255 || !is_one_word(host) || strpbrk(host, "/@\\\"")) {
		reader_error(reader, values[HOST].node->value_position,
			     "\"host\" must be a host name, found \"%.80s\"", host);
		return;
	}
	check->host = reader_copy(reader, host);
}

static void read_times(struct reader *reader, const struct value *values,
		       struct health_check_configuration *check)
{
	char timeout[32], interval[32];

	value_duration(reader, &values[INTERVAL], INTERVAL_LOW_NS, INTERVAL_HIGH_NS,
		       &check->interval_ns);
	if (check->timeout_ns > check->interval_ns)
		check->timeout_ns = check->interval_ns;
	if (value_duration(reader, &values[TIMEOUT], TIMEOUT_LOW_NS, INTERVAL_HIGH_NS,
			   &check->timeout_ns) &&
	    check->timeout_ns > check->interval_ns)
		reader_error(reader, values[TIMEOUT].node->value_position,
			     "\"timeout\" is %s, longer than the interval of %s",
			     duration_format(check->timeout_ns, timeout),
			     duration_format(check->interval_ns, interval));
}

void configuration_read_health_check(struct reader *reader, const struct value *group,
				     struct health_check_configuration *check)
{
	struct value values[COUNT_OF(keys)];
	uint32_t type = HEALTH_CHECK_NONE, port = 0;

	check->interval_ns = INTERVAL_DEFAULT_NS;
	check->timeout_ns = TIMEOUT_DEFAULT_NS;
	check->rise = 2;
	check->fall = 3;
	if (!group->setting)
		return;
	value_read_group(reader, group, "a health check", keys, COUNT_OF(keys), values);
	if (value_choice(reader, &values[TYPE], health_check_names, COUNT_OF(health_check_names),
			 &type) &&
	    type != HEALTH_CHECK_NONE && !values[PORT].node)
		reader_error(reader, group->node->value_position,
			     "missing key \"port\" in a health check of type \"%s\"",
			     health_check_names[type]);
	for (uint32_t key = PATH; type == HEALTH_CHECK_TCP && key <= HOST; key++) {
		if (values[key].node)
			reader_warn(reader, values[key].node->name_position,
				    "\"%s\" means nothing in a health check of type \"tcp\"",
				    keys[key].name);
	}
	value_integer(reader, &values[PORT], 1, UINT16_MAX, &port);
	check->type = (enum health_check_type)type;
	check->port = (uint16_t)port;
	read_path_and_host(reader, values, check);
	read_times(reader, values, check);
	value_integer(reader, &values[RISE], 1, 1000, &check->rise);
	value_integer(reader, &values[FALL], 1, 1000, &check->fall);
}
