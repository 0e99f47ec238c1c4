/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/connection_survey.h>

/* The backend of an entry, or NULL when it is stale. */
static struct survey_backend *backend_of(const struct connection_survey *survey,
					 const struct connection *entry)
{
	struct survey_backend *backend;

	if (entry->backend >= survey->backend_count)
		return NULL;
	backend = &survey->backends[entry->backend];
	return backend->generation == entry->generation ? backend : NULL;
}

static void add_sample(struct connection_survey *survey, const struct connection *entry,
		       uint64_t second, bool is_stale)
{
	if (survey->sample_count == survey->sample_room)
		return;
	survey->samples[survey->sample_count++] = (struct survey_sample){
		.hash = entry->hash,
		.backend = entry->backend,
		.age = connection_age(entry, second),
		.state = entry->state,
		.vip_tag = entry->vip_tag,
		.is_stale = is_stale,
	};
}

static void consider_sample(struct connection_survey *survey, const struct connection *entry,
			    uint64_t second)
{
	if (survey->sample_backend != SURVEY_NO_BACKEND && survey->sample_backend != entry->backend)
		return;
	if (survey->sample_skip > 0) {
		survey->sample_skip--;
		return;
	}
	survey->sample_skip = survey->sample_stride - 1;
	add_sample(survey, entry, second, false);
}

static void count(struct connection_survey *survey, const struct connection *entry, uint64_t second)
{
	struct survey_backend *backend = backend_of(survey, entry);

	if (backend == NULL) {
		survey->stale++;
		return;
	}
	survey->flows++;
	survey->states[entry->state]++;
	survey->tags[(size_t)backend->pool * SURVEY_TAGS + entry->vip_tag]++;
	backend->flows++;
	backend->closing += entry->state == CONNECTION_CLOSING;
	consider_sample(survey, entry, second);
}

bool connection_survey_step(struct connection_survey *survey, const struct connection_table *table,
			    uint64_t second, uint32_t budget)
{
	const struct connection *found;

	if (survey->is_lookup) {
		found = connection_find(table, survey->hash, second);
		if (found != NULL)
			add_sample(survey, found, second, backend_of(survey, found) == NULL);
		return true;
	}
	for (; budget > 0 && survey->position < table->bucket_count; budget--) {
		const struct connection_bucket *bucket = &table->buckets[survey->position++];

		for (int i = 0; i < CONNECTION_BUCKET_ENTRIES; i++)
			if (connection_is_live(table, &bucket->entries[i], second))
				count(survey, &bucket->entries[i], second);
	}
	return survey->position == table->bucket_count;
}
