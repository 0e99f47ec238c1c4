/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/configuration_json.h>

/* Lists of things that have names. */
static const struct {
	const char *key;
	const char *kind;
} named[] = {
	{ "pools", "pool" },
	{ "backends", "backend" },
	{ "vips", "VIP" },
	{ "interfaces", "interface" },
};

#define NAMED_COUNT (sizeof(named) / sizeof(named[0]))

/* What a reload does not change: settings of the top level, or groups of them. */
static const char *const restart[] = { "slow_path", "connections.capacity", "fragments", "umem" };

#define RESTART_COUNT (sizeof(restart) / sizeof(restart[0]))

/* Where the comparison is. */
struct place {
	json_t *changes;
	const char *kind;
	const char *name; /* of the thing, "" for the file itself */
};

static const char *kind_of(const char *key)
{
	for (size_t i = 0; i < NAMED_COUNT; i++)
		if (strcmp(named[i].key, key) == 0)
			return named[i].kind;
	return NULL;
}

static bool takes_restart(const struct place *place, const char *setting)
{
	if (strcmp(place->kind, "interface") == 0)
		return true;
	if (strcmp(place->kind, "setting") != 0)
		return false;
	for (size_t i = 0; i < RESTART_COUNT; i++) {
		size_t length = strlen(restart[i]);

		if (strncmp(setting, restart[i], length) == 0 &&
		    (setting[length] == '\0' || setting[length] == '.'))
			return true;
	}
	return false;
}

static void add(const struct place *place, json_t *change, const char *setting)
{
	if (takes_restart(place, setting))
		json_object_set_new(change, "restart", json_true());
	json_array_append_new(place->changes, change);
}

static void add_whole(const struct place *place, const char *what)
{
	add(place,
	    json_pack("{s:s, s:s, s:s}", "change", what, "kind", place->kind, "name", place->name),
	    "");
}

static void add_setting(const struct place *place, const char *setting, const json_t *from,
			const json_t *to)
{
	bool is_secret = strcmp(setting, "hash_seed") == 0;

	add(place,
	    json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "change", "changed", "kind", place->kind,
		      "name", place->name, "setting", setting, "from",
		      is_secret ? json_null() : json_incref((json_t *)from), "to",
		      is_secret ? json_null() : json_incref((json_t *)to)),
	    setting);
}

static void compare(const struct place *place, const char *setting, const json_t *from,
		    const json_t *to);

/* {name: thing} */
static json_t *by_name(const json_t *list)
{
	json_t *object = json_object(), *thing;
	size_t i;

	json_array_foreach(list, i, thing)
		json_object_set(object, json_string_value(json_object_get(thing, "name")), thing);
	return object;
}

/* Things of `list` that are not in `others`. */
static void add_missing(const struct place *place, const json_t *list, const json_t *others,
			const char *prefix, const char *what)
{
	const char *name;
	json_t *thing;

	json_object_foreach((json_t *)list, name, thing)
	{
		char full[160];

		if (json_object_get(others, name) != NULL)
			continue;
		snprintf(full, sizeof(full), "%s%s", prefix, name);
		add_whole(&(struct place){ place->changes, place->kind, full }, what);
	}
}

static void compare_lists(const struct place *place, const char *kind, const json_t *from,
			  const json_t *to)
{
	json_t *before = by_name(from), *after = by_name(to), *thing;
	const char *name;
	char prefix[80] = "";

	if (place->name[0] != '\0')
		snprintf(prefix, sizeof(prefix), "%s/", place->name);
	add_missing(&(struct place){ place->changes, kind, "" }, before, after, prefix, "removed");
	add_missing(&(struct place){ place->changes, kind, "" }, after, before, prefix, "added");
	json_object_foreach(before, name, thing)
	{
		json_t *other = json_object_get(after, name);
		char full[160];

		snprintf(full, sizeof(full), "%s%s", prefix, name);
		if (other != NULL)
			compare(&(struct place){ place->changes, kind, full }, "", thing, other);
	}
	json_decref(before);
	json_decref(after);
}

/* Members that both have, or either has below the top level. */
static void compare_objects(const struct place *place, const char *setting, const json_t *from,
			    const json_t *to)
{
	bool is_top = place->name[0] == '\0' && setting[0] == '\0';
	json_t *keys = json_copy((json_t *)from), *value;
	const char *key;

	json_object_update_missing(keys, (json_t *)to);
	json_object_foreach(keys, key, value)
	{
		const json_t *before = json_object_get(from, key),
			     *after = json_object_get(to, key);
		char name[160];

		if (is_top && (before == NULL || after == NULL))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", setting, setting[0] != '\0' ? "." : "", key);
		compare(place, name, before, after);
	}
	json_decref(keys);
}

static void compare(const struct place *place, const char *setting, const json_t *from,
		    const json_t *to)
{
	const char *kind = kind_of(setting);

	if (json_equal(from, to))
		return;
	if (kind != NULL && json_is_array(from) && json_is_array(to))
		compare_lists(place, kind, from, to);
	else if (json_is_object(from) && json_is_object(to))
		compare_objects(place, setting, from, to);
	else
		add_setting(place, setting, from != NULL ? from : json_null(),
			    to != NULL ? to : json_null());
}

json_t *configuration_diff(const json_t *from, const json_t *to)
{
	struct place top = { .changes = json_array(), .kind = "setting", .name = "" };

	if (top.changes != NULL)
		compare(&top, "", from, to);
	return top.changes;
}

static void print_value(const json_t *value, FILE *stream)
{
	char *text;

	if (json_is_null(value) || value == NULL) {
		fputs("none", stream);
	} else if (json_is_string(value)) {
		fputs(json_string_value(value), stream);
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		fputs(text != NULL ? text : "?", stream);
		free(text);
	}
}

static void print_change(const json_t *change, FILE *stream)
{
	const char *what = json_string_value(json_object_get(change, "change"));
	const char *kind = json_string_value(json_object_get(change, "kind"));
	const char *name = json_string_value(json_object_get(change, "name"));
	const char *setting = json_string_value(json_object_get(change, "setting"));
	const json_t *from = json_object_get(change, "from"), *to = json_object_get(change, "to");

	if (what == NULL || kind == NULL || name == NULL)
		return;
	fputs(strcmp(what, "added") == 0     ? "+ "
	      : strcmp(what, "removed") == 0 ? "- "
					     : "~ ",
	      stream);
	if (name[0] != '\0')
		fprintf(stream, "%s %s", kind, name);
	if (setting != NULL) {
		fprintf(stream, "%s%s ", name[0] != '\0' ? ": " : "", setting);
		if (json_is_null(from) && json_is_null(to)) {
			fputs("changes; it is not shown", stream);
		} else {
			print_value(from, stream);
			fputs(" -> ", stream);
			print_value(to, stream);
		}
	}
	fputs(json_is_true(json_object_get(change, "restart")) ? " (takes a restart)\n" : "\n",
	      stream);
}

void configuration_print_changes(const json_t *changes, FILE *stream)
{
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change) print_change(change, stream);
}
