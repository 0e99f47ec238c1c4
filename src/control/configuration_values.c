/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/suggestion.h>

#include "configuration_internal.h"

static void add_finding(struct reader *reader, bool is_warning, struct position position,
			const char *format, va_list arguments)
{
	char *message;

	if (vasprintf(&message, format, arguments) < 0) {
		reader->status = -ENOMEM;
		return;
	}
	if (findings_add(reader->findings, is_warning, position, "%s", message) != 0)
		reader->status = -ENOMEM;
	free(message);
}

void reader_error(struct reader *reader, struct position position, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_finding(reader, false, position, format, arguments);
	va_end(arguments);
}

void reader_warn(struct reader *reader, struct position position, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_finding(reader, true, position, format, arguments);
	va_end(arguments);
}

void *reader_allocate(struct reader *reader, uint32_t count, size_t size)
{
	void *memory;

	if (count == 0)
		return NULL;
	memory = calloc(count, size);
	if (!memory)
		reader->status = -ENOMEM;
	return memory;
}

char *reader_copy(struct reader *reader, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		reader->status = -ENOMEM;
	return copy;
}

static bool node_is_named(const struct reader *reader, const struct node *node, const char *name)
{
	return strlen(name) == node->name_length &&
	       memcmp(reader->text + node->name_start, name, node->name_length) == 0;
}

const struct node *node_find(const struct reader *reader, const struct node *group,
			     const char *name)
{
	return tree_find_setting(reader->tree, reader->text,
				 (uint32_t)(group - reader->tree->nodes), name,
				 (uint32_t)strlen(name));
}

static void report_unknown_key(struct reader *reader, const struct node *node, const char *noun,
			       const struct key *keys, uint32_t key_count)
{
	char name[SUGGESTION_WORD_LENGTH + 1];
	const char *nearest;

	snprintf(name, sizeof(name), "%.*s", (int)node->name_length,
		 reader->text + node->name_start);
	nearest = suggestion_find(name, &keys[0].name, key_count, sizeof(keys[0]));
	if (nearest)
		reader_error(reader, node->name_position,
			     "unknown key \"%s\" in %s; did you mean \"%s\"?", name, noun, nearest);
	else
		reader_error(reader, node->name_position, "unknown key \"%s\" in %s", name, noun);
}

/* Whether the value is of the kind that its key wants; says what is wrong with it if not. */
static bool check_kind(struct reader *reader, const struct node *node, const struct key *key)
{
	static const enum node_kind wanted[] = {
		[KEY_STRING] = NODE_STRING,   [KEY_DURATION] = NODE_STRING,
		[KEY_INTEGER] = NODE_INTEGER, [KEY_BOOLEAN] = NODE_BOOLEAN,
		[KEY_GROUP] = NODE_GROUP,     [KEY_LIST] = NODE_LIST,
	};
	/* Without the suffix L, which a unit cannot follow. */
	const char *text = reader->text + node->value_start;

	if (node->is_bad)
		return false;
	if (node->kind == wanted[key->kind])
		return true;
	if (key->kind == KEY_DURATION && node->kind == NODE_INTEGER)
		reader_error(
			reader, node->value_position,
			"\"%s\" must be a string with a unit (us, ms, s, m, h): write \"%.*ss\" "
			"if seconds are meant",
			key->name, (int)strspn(text, "0123456789"), text);
	else
		reader_error(reader, node->value_position, "\"%s\" must be %s, found %s", key->name,
			     node_kind_name(wanted[key->kind]), node_kind_name(node->kind));
	return false;
}

void value_read_group(struct reader *reader, const struct value *group, const char *noun,
		      const struct key *keys, uint32_t key_count, struct value *values)
{
	const struct node *nodes = reader->tree->nodes;
	unsigned int index = 0;

	for (uint32_t k = 0; k < key_count; k++)
		values[k] = (struct value){ .key = keys[k].name };
	for (uint32_t i = group->node->first_child; i != 0; i = nodes[i].next, index++) {
		const struct node *node = &nodes[i];
		uint32_t k = 0;

		while (k < key_count && !node_is_named(reader, node, keys[k].name))
			k++;
		if (k == key_count) {
			report_unknown_key(reader, node, noun, keys, key_count);
			continue;
		}
		values[k].node = node;
		if (check_kind(reader, node, &keys[k]))
			values[k].setting = config_setting_get_elem(group->setting, index);
	}
	for (uint32_t k = 0; k < key_count; k++) {
		if (keys[k].is_required && !values[k].node)
			reader_error(reader, group->node->value_position,
				     "missing key \"%s\" in %s", keys[k].name, noun);
	}
}

static struct value element_of_kind(struct reader *reader, const struct value *list,
				    const struct node *node, uint32_t index, const char *noun,
				    enum node_kind kind)
{
	struct value value = { .key = noun, .node = node };

	if (node->is_bad)
		return value;
	if (node->kind != kind)
		reader_error(reader, node->value_position, "%s must be %s, found %s", noun,
			     node_kind_name(kind), node_kind_name(node->kind));
	else
		value.setting = config_setting_get_elem(list->setting, index);
	return value;
}

struct value value_element(struct reader *reader, const struct value *list, const struct node *node,
			   uint32_t index, const char *noun)
{
	return element_of_kind(reader, list, node, index, noun, NODE_GROUP);
}

struct value value_string_element(struct reader *reader, const struct value *list,
				  const struct node *node, uint32_t index, const char *noun)
{
	return element_of_kind(reader, list, node, index, noun, NODE_STRING);
}

bool value_string(const struct value *value, const char **text)
{
	if (!value->setting)
		return false;
	*text = config_setting_get_string(value->setting);
	return true;
}

bool value_integer(struct reader *reader, const struct value *value, int64_t low, int64_t high,
		   uint32_t *number)
{
	int64_t read;

	if (!value->setting)
		return false;
	/* Widens a 32-bit one, too. */
	read = config_setting_get_int64(value->setting);
	if (read < low || read > high) {
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be %" PRId64 " to %" PRId64 ", found %.*s", value->key,
			     low, high, (int)value->node->value_length,
			     reader->text + value->node->value_start);
		return false;
	}
	*number = (uint32_t)read;
	return true;
}

bool value_boolean(const struct value *value, bool *flag)
{
	if (!value->setting)
		return false;
	*flag = config_setting_get_bool(value->setting);
	return true;
}

bool value_duration(struct reader *reader, const struct value *value, uint64_t low_ns,
		    uint64_t high_ns, uint64_t *nanoseconds)
{
	char low[32], high[32];
	const char *text;
	uint64_t read;
	int status;

	if (!value_string(value, &text))
		return false;
	status = duration_parse(text, &read);
	if (status == -EINVAL) {
		reader_error(
			reader, value->node->value_position,
			"\"%s\" must be a number with a unit (us, ms, s, m, h) such as \"10s\", "
			"found \"%.40s\"",
			value->key, text);
		return false;
	}
	if (status != 0 || read < low_ns || read > high_ns) {
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be %s to %s, found \"%.40s\"", value->key,
			     duration_format(low_ns, low), duration_format(high_ns, high), text);
		return false;
	}
	*nanoseconds = read;
	return true;
}

bool value_choice(struct reader *reader, const struct value *value, const char *const *names,
		  uint32_t count, uint32_t *choice)
{
	char list[128] = "";
	const char *text, *nearest;
	size_t used = 0;

	if (!value_string(value, &text))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const char *link = i + 2 < count ? ", " : i + 1 < count ? " or " : "";

		if (strcmp(text, names[i]) == 0) {
			*choice = i;
			return true;
		}
		used += (size_t)snprintf(list + used, sizeof(list) - used, "\"%s\"%s", names[i],
					 link);
	}
	nearest = suggestion_find(text, names, count, sizeof(*names));
	reader_error(reader, value->node->value_position,
		     "\"%s\" must be %s, found \"%.63s\"%s%s%s", value->key, list, text,
		     nearest ? "; did you mean \"" : "", nearest ? nearest : "",
		     nearest ? "\"?" : "");
	return false;
}

bool value_name(struct reader *reader, const struct value *value, const char **name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:";
	const char *text;
	size_t length;

	if (!value_string(value, &text))
		return false;
	length = strlen(text);
	if (length == 0 || length > CONFIGURATION_NAME_LENGTH || strspn(text, allowed) != length) {
		reader_error(
			reader, value->node->value_position,
			"\"%s\" must be 1 to %d letters, digits, \"-\", \"_\", \".\" or \":\", "
			"found \"%.80s\"",
			value->key, CONFIGURATION_NAME_LENGTH, text);
		return false;
	}
	*name = text;
	return true;
}

bool value_path(struct reader *reader, const struct value *value, size_t size, char **path)
{
	const char *text;

	if (!value_string(value, &text))
		return false;
	if (*text == '\0' || strlen(text) >= size) {
		reader_error(reader, value->node->value_position,
			     "\"%s\" must be a path of 1 to %zu bytes, found %zu", value->key,
			     size - 1, strlen(text));
		return false;
	}
	*path = reader_copy(reader, text);
	return *path != NULL;
}
