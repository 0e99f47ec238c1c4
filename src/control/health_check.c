/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "health_internal.h"

struct check check_of_pool(const struct configuration *configuration,
			   const struct pool_configuration *pool)
{
	struct check check = { .configuration = pool->health_check };

	check.configuration.vip_name = NULL;
	if (pool->health_check.via != HEALTH_CHECK_TUNNEL)
		return check;
	check.encapsulation = pool->encapsulation;
	check.udp_checksum = pool->udp_checksum;
	check.tunnel_source = address_is_ipv4(&pool->health_check.vip) ? configuration->source_ipv4
								       : configuration->source_ipv6;
	return check;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_texts(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

static int compare_bytes(const struct byte_string *a, const struct byte_string *b)
{
	int order = compare_numbers(a->length, b->length);

	return order != 0 || a->length == 0 ? order : memcmp(a->bytes, b->bytes, a->length);
}

static int compare_addresses(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_statuses(const struct health_check_configuration *a,
			    const struct health_check_configuration *b)
{
	int order = compare_numbers(a->status_count, b->status_count);

	for (uint32_t i = 0; i < a->status_count && order == 0; i++) {
		order = compare_numbers(a->statuses[i].low, b->statuses[i].low);
		if (order == 0)
			order = compare_numbers(a->statuses[i].high, b->statuses[i].high);
	}
	return order;
}

int check_compare(const struct check *a, const struct check *b)
{
	const struct health_check_configuration *x = &a->configuration, *y = &b->configuration;
	const uint64_t numbers[][2] = {
		{ x->type, y->type },
		{ x->via, y->via },
		{ x->port, y->port },
		{ x->starts_down, y->starts_down },
		{ x->insecure, y->insecure },
		{ x->interval_ns, y->interval_ns },
		{ x->timeout_ns, y->timeout_ns },
		{ x->rise, y->rise },
		{ x->fall, y->fall },
		{ a->encapsulation, b->encapsulation },
		{ a->udp_checksum, b->udp_checksum },
	};
	const char *const texts[][2] = {
		{ x->path, y->path }, { x->host, y->host },	  { x->sni, y->sni },
		{ x->body, y->body }, { x->ca_file, y->ca_file },
	};
	int order = 0;

	for (uint32_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && order == 0; i++)
		order = compare_numbers(numbers[i][0], numbers[i][1]);
	for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && order == 0; i++)
		order = compare_texts(texts[i][0], texts[i][1]);
	if (order == 0)
		order = compare_statuses(x, y);
	if (order == 0)
		order = compare_bytes(&x->send, &y->send);
	if (order == 0)
		order = compare_bytes(&x->expect, &y->expect);
	if (order == 0)
		order = compare_addresses(&x->source, &y->source);
	if (order == 0)
		order = compare_addresses(&x->vip, &y->vip);
	return order != 0 ? order : compare_addresses(&a->tunnel_source, &b->tunnel_source);
}

/* Each returns false without memory; nothing is copied as nothing. */
static bool copy_text(char **copy, const char *text)
{
	*copy = text != NULL ? strdup(text) : NULL;
	return text == NULL || *copy != NULL;
}

static bool copy_memory(void *copy, const void *memory, size_t size)
{
	void *made = size > 0 ? malloc(size) : NULL;

	if (made != NULL)
		memcpy(made, memory, size);
	*(void **)copy = made;
	return size == 0 || made != NULL;
}

struct check *check_copy(const struct check *check)
{
	const struct health_check_configuration *from = &check->configuration;
	struct check *copy = calloc(1, sizeof(*copy));
	struct health_check_configuration *to;
	bool ok;

	if (copy == NULL)
		return NULL;
	*copy = *check;
	to = &copy->configuration;
	ok = copy_text(&to->path, from->path);
	ok &= copy_text(&to->host, from->host);
	ok &= copy_text(&to->sni, from->sni);
	ok &= copy_text(&to->body, from->body);
	ok &= copy_text(&to->ca_file, from->ca_file);
	ok &= copy_memory(&to->statuses, from->statuses,
			  from->status_count * sizeof(*from->statuses));
	ok &= copy_memory(&to->send.bytes, from->send.bytes, from->send.length);
	ok &= copy_memory(&to->expect.bytes, from->expect.bytes, from->expect.length);
	if (ok)
		return copy;
	check_release(copy);
	return NULL;
}

void check_release(struct check *check)
{
	struct health_check_configuration *configuration = &check->configuration;

	http_check_release(check);
	free(configuration->path);
	free(configuration->host);
	free(configuration->sni);
	free(configuration->body);
	free(configuration->ca_file);
	free(configuration->statuses);
	free(configuration->send.bytes);
	free(configuration->expect.bytes);
	free(check);
}
