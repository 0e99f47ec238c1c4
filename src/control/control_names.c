/* SPDX-License-Identifier: BSD-2-Clause */
/* Backends by their names, and what a survey says of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/suggestion.h>

#include "control_answers.h"

const char *control_pool_name(const struct daemon *daemon, uint32_t place)
{
	return daemon->configuration->pools[daemon->tables->backends[place].pool].name;
}

const char *control_backend_name(const struct daemon *daemon, uint32_t place)
{
	const struct forwarding_backend *backend = &daemon->tables->backends[place];

	return daemon->configuration->pools[backend->pool].backends[backend->backend].name;
}

static const struct pool_configuration *find_pool(const struct configuration *configuration,
						  const char *name, size_t length)
{
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		const struct pool_configuration *pool = &configuration->pools[i];

		if (strlen(pool->name) == length && memcmp(pool->name, name, length) == 0)
			return pool;
	}
	return NULL;
}

/* `nearest` may be NULL; `prefix` is what stands in front of it. */
static void refuse(struct control_call *call, const char *what, const char *name,
		   const char *prefix, const char *nearest)
{
	if (nearest == NULL)
		control_refuse(call, "there is no %s \"%.128s\"", what, name);
	else
		control_refuse(call, "there is no %s \"%.128s\"; did you mean \"%s%s\"?", what,
			       name, prefix, nearest);
}

bool control_find_backend(const struct daemon *daemon, struct control_call *call, const char *text,
			  uint32_t *place)
{
	const struct configuration *configuration = daemon->configuration;
	const struct pool_configuration *pool;
	const char *slash = strchr(text, '/');
	char pool_name[CONFIGURATION_NAME_LENGTH + 2];

	if (slash == NULL) {
		control_refuse(call, "a backend is given as POOL/BACKEND, not \"%.128s\"", text);
		return false;
	}
	snprintf(pool_name, sizeof(pool_name), "%.*s", (int)(slash - text), text);
	pool = find_pool(configuration, text, (size_t)(slash - text));
	if (pool == NULL) {
		refuse(call, "pool", pool_name, "",
		       suggestion_find(pool_name,
				       (const char *const *)&configuration->pools[0].name,
				       configuration->pool_count, sizeof(*pool)));
		return false;
	}
	for (uint32_t i = 0; i < daemon->tables->backend_count; i++) {
		const struct forwarding_backend *backend = &daemon->tables->backends[i];

		if (&configuration->pools[backend->pool] == pool &&
		    strcmp(control_backend_name(daemon, i), slash + 1) == 0) {
			*place = i;
			return true;
		}
	}
	snprintf(pool_name, sizeof(pool_name), "%s/", pool->name);
	refuse(call, "backend", text, pool_name,
	       suggestion_find(slash + 1, (const char *const *)&pool->backends[0].name,
			       pool->backend_count, sizeof(*pool->backends)));
	return false;
}

uint32_t control_survey_flows(const struct control_survey *survey, uint32_t place,
			      uint32_t *closing)
{
	const struct forwarding_backend *backend =
		&survey->answers->daemon->tables->backends[place];
	const struct survey_backend *found = &survey->survey.backends[backend->index];

	*closing = 0;
	if (backend->index >= survey->survey.backend_count ||
	    found->generation != backend->generation)
		return 0;
	*closing = found->closing;
	return found->flows;
}

/* A flow's VIP, or NULL: gone, or one of several. */
static const char *vip_name(const struct daemon *daemon, uint32_t pool, uint8_t tag)
{
	const struct configuration *configuration = daemon->configuration;
	const char *name = NULL;

	for (uint32_t i = 0; i < configuration->vip_count; i++) {
		if (configuration->vips[i].pool != pool ||
		    (uint8_t)daemon->tables->vip_indexes[i] != tag)
			continue;
		if (name != NULL)
			return NULL;
		name = configuration->vips[i].name;
	}
	return name;
}

json_t *control_entry(const struct control_survey *survey, uint32_t worker, uint32_t i)
{
	const struct daemon *daemon = survey->answers->daemon;
	const struct survey_sample *sample = &survey->survey.samples[i];
	uint32_t place = sample->backend < survey->survey.backend_count
				 ? survey->places[sample->backend]
				 : SURVEY_NO_BACKEND;
	const char *vip = NULL;
	char hash[17];

	/* The index may have gone to another backend since. */
	if (sample->is_stale)
		place = SURVEY_NO_BACKEND;
	if (place != SURVEY_NO_BACKEND)
		vip = vip_name(daemon, daemon->tables->backends[place].pool, sample->vip_tag);
	snprintf(hash, sizeof(hash), "%016" PRIx64, sample->hash);
	return json_pack(
		"{s:s, s:I, s:s, s:s?, s:s?, s:s?, s:s, s:I}", "interface",
		worker_interface(daemon->workers[worker]), "queue",
		(json_int_t)worker_queue(daemon->workers[worker]), "hash", hash, "pool",
		place != SURVEY_NO_BACKEND ? control_pool_name(daemon, place) : NULL, "backend",
		place != SURVEY_NO_BACKEND ? control_backend_name(daemon, place) : NULL, "vip", vip,
		"state", connection_state_label((enum connection_state)sample->state),
		"age_seconds", (json_int_t)sample->age);
}
