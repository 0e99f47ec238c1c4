/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/suggestion.h>

#include "replay_internal.h"

static const char *const actions[] = {
	[REPLAY_DOWN] = "down",	      [REPLAY_UP] = "up",	  [REPLAY_DRAIN] = "drain",
	[REPLAY_UNDRAIN] = "undrain", [REPLAY_RELOAD] = "reload",
};

#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

/* Digits with up to nine behind a point, in seconds. Returns 0 or -EINVAL. */
static int parse_seconds(const char *text, uint64_t *ns)
{
	uint64_t whole = 0, fraction = 0, unit = 100000000;
	const char *at = text;

	for (; isdigit((unsigned char)*at); at++) {
		whole = whole * 10 + (uint64_t)(*at - '0');
		if (whole > 1000000000)
			return -EINVAL;
	}
	if (at == text)
		return -EINVAL;
	if (*at == '.')
		for (at++; isdigit((unsigned char)*at); at++, unit /= 10)
			fraction += (uint64_t)(*at - '0') * unit;
	if (*at != '\0')
		return -EINVAL;
	*ns = whole * 1000000000 + fraction;
	return 0;
}

static int report(const char *file, uint32_t line, const char *message, const char *value)
{
	fprintf(stderr, "%s:%u: %s \"%s\"\n", file, line, message, value);
	return -EINVAL;
}

static int parse_action(const char *text, enum replay_action *action)
{
	for (size_t i = 0; i < ACTION_COUNT; i++)
		if (strcmp(text, actions[i]) == 0) {
			*action = (enum replay_action)i;
			return 0;
		}
	return -EINVAL;
}

static int read_target(const char *file, uint32_t line, char *target, struct replay_event *event)
{
	char *slash = strchr(target, '/');

	if (event->action == REPLAY_RELOAD) {
		struct findings findings = { 0 };
		int error = configuration_read(target, &event->configuration, &findings);

		findings_print(&findings, stderr);
		findings_release(&findings);
		return error == 0 ? 0 : report(file, line, "cannot reload", target);
	}
	if (slash == NULL || slash == target || slash[1] == '\0')
		return report(file, line, "not POOL/BACKEND:", target);
	event->pool = strndup(target, (size_t)(slash - target));
	event->backend = strdup(slash + 1);
	return event->pool != NULL && event->backend != NULL ? 0 : -ENOMEM;
}

/* One event; several may stand in a line. */
static int read_event(const char *file, uint32_t line, char **rest, struct replay_events *events)
{
	const char *time = strsep(rest, " \t"), *action = NULL;
	char *target = NULL;
	struct replay_event *grown, *event;

	while (*rest != NULL && (action = strsep(rest, " \t")) != NULL && *action == '\0')
		;
	while (*rest != NULL && (target = strsep(rest, " \t")) != NULL && *target == '\0')
		;
	grown = reallocarray(events->entries, events->count + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	events->entries = grown;
	event = &grown[events->count++];
	memset(event, 0, sizeof(*event));
	if (parse_seconds(time, &event->offset_ns) != 0)
		return report(file, line, "not a time in seconds:", time);
	if (action == NULL || parse_action(action, &event->action) != 0)
		return report(file, line, "not down, up, drain, undrain or reload:",
			      action != NULL ? action : "");
	if (target == NULL || *target == '\0')
		return report(file, line, "nothing behind", action);
	return read_target(file, line, target, event);
}

/* By time; those of one time stay in the file's order. */
static void sort_events(struct replay_events *events)
{
	for (uint32_t i = 1; i < events->count; i++)
		for (uint32_t j = i;
		     j > 0 && events->entries[j - 1].offset_ns > events->entries[j].offset_ns;
		     j--) {
			struct replay_event swap = events->entries[j];

			events->entries[j] = events->entries[j - 1];
			events->entries[j - 1] = swap;
		}
}

int replay_events_read(const char *file, struct replay_events *events)
{
	FILE *stream = fopen(file, "re");
	char *text = NULL;
	size_t size = 0;
	uint32_t line = 0;
	int error = 0;

	if (stream == NULL) {
		error = -errno;
		fprintf(stderr, "%s: %s\n", file, strerror(-error));
		return error;
	}
	while (error == 0 && getline(&text, &size, stream) >= 0) {
		char *rest = text;

		line++;
		text[strcspn(text, "\r\n#")] = '\0';
		while (error == 0 && rest != NULL) {
			rest += strspn(rest, " \t");
			if (*rest == '\0')
				break;
			error = read_event(file, line, &rest, events);
		}
	}
	free(text);
	fclose(stream);
	sort_events(events);
	return error;
}

void replay_events_release(struct replay_events *events)
{
	for (uint32_t i = 0; i < events->count; i++) {
		free(events->entries[i].pool);
		free(events->entries[i].backend);
		if (events->entries[i].configuration != NULL)
			configuration_release(events->entries[i].configuration);
	}
	free(events->entries);
	events->entries = NULL;
	events->count = 0;
}
