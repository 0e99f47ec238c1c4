/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

#define INTERVAL_LOW_NS	    (10 * NANOSECONDS_PER_MILLISECOND)
#define INTERVAL_HIGH_NS    (3600 * NANOSECONDS_PER_SECOND)
#define INTERVAL_DEFAULT_NS (2 * NANOSECONDS_PER_SECOND)
#define TIMEOUT_LOW_NS	    (1 * NANOSECONDS_PER_MILLISECOND)
#define TIMEOUT_DEFAULT_NS  (1 * NANOSECONDS_PER_SECOND)
#define BODY_LENGTH_MAX	    1024
#define CA_FILE_LENGTH_MAX  4096

enum {
	TYPE,
	PORT,
	INTERVAL,
	TIMEOUT,
	RISE,
	FALL,
	INITIAL,
	SOURCE,
	VIA,
	VIP,
	PATH,
	HOST,
	STATUS,
	BODY,
	SNI,
	CA_FILE,
	INSECURE,
	SEND,
	EXPECT,
};

static const struct key keys[] = {
	[TYPE] = { "type", KEY_STRING, true },
	[PORT] = { "port", KEY_INTEGER, false },
	[INTERVAL] = { "interval", KEY_DURATION, false },
	[TIMEOUT] = { "timeout", KEY_DURATION, false },
	[RISE] = { "rise", KEY_INTEGER, false },
	[FALL] = { "fall", KEY_INTEGER, false },
	[INITIAL] = { "initial", KEY_STRING, false },
	[SOURCE] = { "source", KEY_STRING, false },
	[VIA] = { "via", KEY_STRING, false },
	[VIP] = { "vip", KEY_STRING, false },
	[PATH] = { "path", KEY_STRING, false },
	[HOST] = { "host", KEY_STRING, false },
	[STATUS] = { "status", KEY_LIST, false },
	[BODY] = { "body", KEY_STRING, false },
	[SNI] = { "sni", KEY_STRING, false },
	[CA_FILE] = { "ca_file", KEY_STRING, false },
	[INSECURE] = { "insecure", KEY_BOOLEAN, false },
	[SEND] = { "send", KEY_STRING, false },
	[EXPECT] = { "expect", KEY_STRING, false },
};

static const char *const initial_names[] = { "up", "down" };

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

/* A key that a check of this type has no use for. */
static bool is_meaningless(uint32_t key, enum health_check_type type, uint32_t via)
{
	if (type == HEALTH_CHECK_NONE)
		return false;
	if (key == VIP)
		return via == HEALTH_CHECK_DIRECT;
	if (key >= PATH && key <= BODY)
		return type != HEALTH_CHECK_HTTP && type != HEALTH_CHECK_HTTPS;
	if (key >= SNI && key <= INSECURE)
		return type != HEALTH_CHECK_HTTPS;
	return key >= SEND && type != HEALTH_CHECK_UDP;
}

static void warn_meaningless(struct reader *reader, const struct value *values,
			     const struct health_check_configuration *check)
{
	for (uint32_t key = 0; key < COUNT_OF(keys); key++) {
		if (!values[key].node || !is_meaningless(key, check->type, check->via))
			continue;
		if (key == VIP)
			reader_warn(reader, values[key].node->name_position,
				    "\"vip\" means nothing without via = \"tunnel\"");
		else
			reader_warn(reader, values[key].node->name_position,
				    "\"%s\" means nothing in a health check of type \"%s\"",
				    keys[key].name, health_check_names[check->type]);
	}
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

/* The name that a certificate must have is that of the Host field, unless told otherwise. An
 * address is no name for SNI (RFC 6066 section 3). */
static void read_sni(struct reader *reader, const struct value *values,
		     struct health_check_configuration *check)
{
	struct address address;
	char name[256];
	const char *sni;

	if (value_string(&values[SNI], &sni)) {
		if (!is_host_name(sni) || address_parse(sni, &address) == 0)
			reader_error(reader, values[SNI].node->value_position,
				     "\"sni\" must be a host name, found \"%.80s\"", sni);
		check->sni = reader_copy(reader, sni);
		return;
	}
	if (!check->host || check->type != HEALTH_CHECK_HTTPS)
		return;
	snprintf(name, sizeof(name), "%s", check->host);
	name[strcspn(name, ":")] = '\0';
	if (is_host_name(name) && address_parse(name, &address) != 0)
		check->sni = reader_copy(reader, name);
}

static void read_answer(struct reader *reader, const struct value *values,
			struct health_check_configuration *check)
{
	static const struct status_range usual = { 200, 399 };
	const char *body;

	value_statuses(reader, &values[STATUS], check);
	if (!values[STATUS].node) {
		check->statuses = reader_allocate(reader, 1, sizeof(*check->statuses));
		if (check->statuses) {
			check->statuses[0] = usual;
			check->status_count = 1;
		}
	}
	if (!value_string(&values[BODY], &body))
		return;
	if (*body == '\0' || strlen(body) > BODY_LENGTH_MAX)
		reader_error(reader, values[BODY].node->value_position,
			     "\"body\" must be 1 to %d bytes, found %zu", BODY_LENGTH_MAX,
			     strlen(body));
	check->body = reader_copy(reader, body);
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

static void require(struct reader *reader, const struct value *group, const struct value *value,
		    uint32_t type)
{
	if (!value->node)
		reader_error(reader, group->node->value_position,
			     "missing key \"%s\" in a health check of type \"%s\"", value->key,
			     health_check_names[type]);
}

static void read_kind(struct reader *reader, const struct value *group, const struct value *values,
		      struct health_check_configuration *check)
{
	uint32_t type = HEALTH_CHECK_NONE, via = HEALTH_CHECK_DIRECT, initial = 0, port = 0;

	value_choice(reader, &values[TYPE], health_check_names, COUNT_OF(health_check_names),
		     &type);
	value_choice(reader, &values[VIA], health_check_via_names, COUNT_OF(health_check_via_names),
		     &via);
	value_choice(reader, &values[INITIAL], initial_names, COUNT_OF(initial_names), &initial);
	/* A check through the tunnel takes the port of the VIP. */
	if (type != HEALTH_CHECK_NONE && via == HEALTH_CHECK_DIRECT)
		require(reader, group, &values[PORT], type);
	if (type == HEALTH_CHECK_UDP)
		require(reader, group, &values[SEND], type);
	value_integer(reader, &values[PORT], 1, UINT16_MAX, &port);
	check->type = (enum health_check_type)type;
	check->via = (enum health_check_via)via;
	check->starts_down = initial == 1;
	check->port = (uint16_t)port;
}

void configuration_read_health_check(struct reader *reader, const struct value *group,
				     struct health_check_configuration *check)
{
	struct value values[COUNT_OF(keys)];
	const char *vip;

	check->interval_ns = INTERVAL_DEFAULT_NS;
	check->timeout_ns = TIMEOUT_DEFAULT_NS;
	check->rise = 2;
	check->fall = 3;
	if (!group->setting)
		return;
	value_read_group(reader, group, "a health check", keys, COUNT_OF(keys), values);
	read_kind(reader, group, values, check);
	warn_meaningless(reader, values, check);
	read_path_and_host(reader, values, check);
	read_sni(reader, values, check);
	read_answer(reader, values, check);
	if (value_path(reader, &values[CA_FILE], CA_FILE_LENGTH_MAX, &check->ca_file))
		check->ca_file_position = values[CA_FILE].node->value_position;
	value_boolean(&values[INSECURE], &check->insecure);
	if (check->insecure && values[CA_FILE].node)
		reader_warn(reader, values[CA_FILE].node->name_position,
			    "\"ca_file\" means nothing beside insecure = true");
	value_bytes(reader, &values[SEND], &check->send);
	value_bytes(reader, &values[EXPECT], &check->expect);
	value_address(reader, &values[SOURCE], &check->source);
	if (value_name(reader, &values[VIP], &vip))
		check->vip_name = reader_copy(reader, vip);
	read_times(reader, values, check);
	value_integer(reader, &values[RISE], 1, 1000, &check->rise);
	value_integer(reader, &values[FALL], 1, 1000, &check->fall);
}

void configuration_release_health_check(struct health_check_configuration *check)
{
	free(check->path);
	free(check->host);
	free(check->sni);
	free(check->ca_file);
	free(check->body);
	free(check->statuses);
	free(check->send.bytes);
	free(check->expect.bytes);
	free(check->vip_name);
}
