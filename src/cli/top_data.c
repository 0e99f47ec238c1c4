/* SPDX-License-Identifier: BSD-2-Clause */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

const char *const top_pane_names[TOP_PANE_COUNT] = { "QUEUES", "VIPS", "BACKENDS", "DROPS" };

/* Widths add up to less than 80 columns, without those that are wide. */
const struct top_column top_columns[TOP_PANE_COUNT][TOP_MAX_COLUMNS + 1] = {
	[TOP_QUEUES] = { { "INTERFACE", "n", TOP_TEXT, 0, false },
			 { "QUEUE", "u", TOP_COUNT, 5, false },
			 { "MODE", "m", TOP_TEXT, 8, false },
			 { "RX/s", "r", TOP_RATE, 6, false },
			 { "FWD/s", "t", TOP_RATE, 6, false },
			 { "SLOW/s", "k", TOP_RATE, 6, false },
			 { "DROP/s", "d", TOP_RATE, 6, false },
			 { "TABLE%", "c", TOP_PERCENT, 6, false },
			 { "FILL%", "f", TOP_PERCENT, 5, false },
			 { "LOST/s", "l", TOP_RATE, 6, false },
			 { "ANSW/s", "a", TOP_RATE, 6, true } },
	[TOP_VIPS] = { { "VIP", "n", TOP_TEXT, 0, false },
		       { "POOL", "o", TOP_TEXT, 16, false },
		       { "SERVING", "e", TOP_TEXT, 9, false },
		       { "PKT/s", "t", TOP_RATE, 8, false },
		       { "bit/s", "b", TOP_RATE, 8, false },
		       { "PACKETS", "c", TOP_COUNT, 8, true } },
	[TOP_BACKENDS] = { { "BACKEND", "n", TOP_TEXT, 0, false },
			   { "STATE", "e", TOP_TEXT, 11, false },
			   { "WEIGHT", "w", TOP_COUNT, 6, false },
			   { "PKT/s", "t", TOP_RATE, 8, false },
			   { "bit/s", "b", TOP_RATE, 8, false },
			   { "LATENCY", "y", TOP_TEXT, 8, false },
			   { "ADDRESS", "a", TOP_TEXT, 24, true } },
	[TOP_DROPS] = { { "DROPPED, BY REASON", "n", TOP_TEXT, 0, false },
			{ "PKT/s", "t", TOP_RATE, 8, false },
			{ "PACKETS", "c", TOP_COUNT, 8, false } },
};

static void set_text(struct top_cell *cell, const char *text)
{
	snprintf(cell->text, sizeof(cell->text), "%s", text);
}

static double number_of(const json_t *object, const char *key)
{
	return (double)client_number(object, key);
}

static struct top_rows *start_rows(struct top_look *look, enum top_pane pane, size_t count)
{
	struct top_rows *rows = &look->panes[pane];

	rows->rows = calloc(count + 1, sizeof(*rows->rows));
	return rows->rows != NULL ? rows : NULL;
}

static bool read_queues(struct top_look *look, const json_t *workers)
{
	struct top_rows *rows = start_rows(look, TOP_QUEUES, json_array_size(workers));
	json_t *worker;
	size_t i;

	if (rows == NULL)
		return false;
	json_array_foreach(workers, i, worker)
	{
		const json_t *counters = json_object_get(worker, "counters");
		const json_t *connections = json_object_get(worker, "connections");
		const json_t *frames = json_object_get(worker, "umem_frames");
		const json_t *xsk = json_object_get(worker, "xsk");
		double capacity = number_of(connections, "capacity"), all = 0;
		struct top_row *row = &rows->rows[rows->count++];
		const char *place;
		json_t *count;

		json_object_foreach((json_t *)frames, place, count) all +=
			(double)json_integer_value(count);
		snprintf(row->key, sizeof(row->key), "%s %llu", client_text(worker, "interface"),
			 (unsigned long long)client_number(worker, "queue"));
		set_text(&row->cells[0], client_text(worker, "interface"));
		row->cells[1].value = number_of(worker, "queue");
		set_text(&row->cells[2], client_text(worker, "mode"));
		row->cells[3].value = number_of(counters, "received_packets");
		row->cells[4].value = number_of(counters, "forwarded_packets");
		row->cells[5].value = number_of(counters, "slow_path_packets");
		row->cells[6].value = number_of(counters, "dropped_packets");
		row->cells[7].value =
			capacity > 0 ? 100 * number_of(connections, "count") / capacity : 0;
		row->cells[8].value = all > 0 ? 100 * number_of(frames, "fill") / all : 0;
		/* What the kernel dropped before it came here. */
		row->cells[9].value = number_of(xsk, "rx_dropped") + number_of(xsk, "rx_ring_full");
		row->cells[10].value = number_of(counters, "answered_packets");
		row->is_alarming = client_flag(worker, "stalled");
	}
	return true;
}

static bool read_vips(struct top_look *look, const json_t *vips)
{
	struct top_rows *rows = start_rows(look, TOP_VIPS, json_array_size(vips));
	json_t *vip;
	size_t i;

	if (rows == NULL)
		return false;
	json_array_foreach(vips, i, vip)
	{
		struct top_row *row = &rows->rows[rows->count++];
		uint64_t serving = client_number(vip, "serving");

		snprintf(row->key, sizeof(row->key), "%s", client_text(vip, "name"));
		set_text(&row->cells[0], client_text(vip, "name"));
		set_text(&row->cells[1], client_text(vip, "pool"));
		snprintf(row->cells[2].text, TOP_TEXT_SIZE, "%llu/%llu",
			 (unsigned long long)serving,
			 (unsigned long long)client_number(vip, "backends"));
		row->cells[3].value = number_of(vip, "packets");
		row->cells[4].value = 8 * number_of(vip, "bytes");
		row->cells[5].value = number_of(vip, "packets");
		row->is_alarming = serving == 0;
	}
	return true;
}

/* One or two words: the most important of what is true. */
static void describe_state(const json_t *backend, struct top_row *row)
{
	const char *state = client_text(backend, "state");
	uint64_t percent = client_number(backend, "slow_start_percent");

	row->is_alarming = strcmp(state, "down") == 0;
	if (client_flag(backend, "last_resort"))
		set_text(&row->cells[1], "last resort");
	else if (client_flag(backend, "drained") && strcmp(state, "down") != 0)
		set_text(&row->cells[1], "drained");
	else if (client_flag(backend, "serves") && percent < 100)
		snprintf(row->cells[1].text, TOP_TEXT_SIZE, "growing %llu%%",
			 (unsigned long long)percent);
	else
		set_text(&row->cells[1], state);
}

static bool read_backends(struct top_look *look, const json_t *backends)
{
	struct top_rows *rows = start_rows(look, TOP_BACKENDS, json_array_size(backends));
	json_t *backend;
	size_t i;

	if (rows == NULL)
		return false;
	json_array_foreach(backends, i, backend)
	{
		struct top_row *row = &rows->rows[rows->count++];
		uint64_t latency_us =
			client_number(json_object_get(backend, "health"), "latency_us");

		snprintf(row->key, sizeof(row->key), "%s/%s", client_text(backend, "pool"),
			 client_text(backend, "name"));
		set_text(&row->cells[0], row->key);
		describe_state(backend, row);
		row->cells[2].value = number_of(backend, "weight");
		row->cells[3].value = number_of(backend, "packets");
		row->cells[4].value = 8 * number_of(backend, "bytes");
		if (latency_us > 0)
			snprintf(row->cells[5].text, TOP_TEXT_SIZE, "%.1fms",
				 (double)latency_us / 1000);
		set_text(&row->cells[6], client_text(backend, "address"));
	}
	return true;
}

static bool read_drops(struct top_look *look, const json_t *drops)
{
	struct top_rows *rows = start_rows(look, TOP_DROPS, json_object_size(drops));
	const char *reason;
	json_t *count;

	if (rows == NULL)
		return false;
	json_object_foreach((json_t *)drops, reason, count)
	{
		struct top_row *row = &rows->rows[rows->count++];

		snprintf(row->key, sizeof(row->key), "%s", reason);
		set_text(&row->cells[0], reason);
		row->cells[1].value = (double)json_integer_value(count);
		row->cells[2].value = row->cells[1].value;
	}
	return true;
}

static void read_head(struct top_look *look, const json_t *status)
{
	const json_t *totals = json_object_get(status, "totals");
	const json_t *configuration = json_object_get(status, "configuration");
	const char *file = strrchr(client_text(configuration, "file"), '/');

	snprintf(look->version, sizeof(look->version), "%s", client_text(status, "version"));
	snprintf(look->file, sizeof(look->file), "%s",
		 file != NULL ? file + 1 : client_text(configuration, "file"));
	look->uptime_ms = client_number(status, "uptime_ms");
	look->clock_ms = client_number(status, "clock_ms");
	look->generation = client_number(configuration, "generation");
	look->reload_failed = !client_flag(json_object_get(status, "reload"), "successful");
	look->received.value = number_of(totals, "received_packets");
	look->received_bytes.value = 8 * number_of(totals, "received_bytes");
	look->forwarded.value = number_of(totals, "forwarded_packets");
	look->forwarded_bytes.value = 8 * number_of(totals, "forwarded_bytes");
	look->slow_path.value = number_of(totals, "slow_path_packets");
	look->answered.value = number_of(totals, "answered_packets");
	look->dropped.value = number_of(totals, "dropped_packets");
	look->connections = client_number(totals, "connections");
	look->capacity = client_number(totals, "connection_capacity");
}

struct top_look *top_read(const json_t *status, const json_t *vips, const json_t *backends,
			  const struct top_look *previous)
{
	struct top_look *look = calloc(1, sizeof(*look));

	if (look == NULL)
		return NULL;
	read_head(look, status);
	if (!read_queues(look, json_object_get(status, "workers")) ||
	    !read_vips(look, json_object_get(vips, "vips")) ||
	    !read_backends(look, json_object_get(backends, "backends")) ||
	    !read_drops(look, json_object_get(json_object_get(status, "totals"), "drops"))) {
		top_release(look);
		return NULL;
	}
	if (previous != NULL && previous->clock_ms < look->clock_ms &&
	    previous->uptime_ms < look->uptime_ms)
		top_set_rates(look, previous, (double)(look->clock_ms - previous->clock_ms) / 1000);
	return look;
}

void top_release(struct top_look *look)
{
	if (look == NULL)
		return;
	for (int pane = 0; pane < TOP_PANE_COUNT; pane++)
		free(look->panes[pane].rows);
	free(look);
}

struct order {
	enum top_kind kind;
	uint32_t column;
	bool is_reversed;
};

static int compare_rows(const void *a, const void *b, void *context)
{
	const struct top_row *left = a, *right = b;
	const struct order *by = context;
	const struct top_cell *x = &left->cells[by->column], *y = &right->cells[by->column];
	int order;

	if (by->kind == TOP_TEXT)
		order = strcmp(x->text, y->text);
	else if (by->kind == TOP_RATE)
		order = (x->rate < y->rate) - (x->rate > y->rate);
	else
		order = (x->value < y->value) - (x->value > y->value);
	if (by->is_reversed)
		order = -order;
	return order != 0 ? order : strcmp(left->key, right->key);
}

void top_sort(struct top_look *look, const struct top_view *view)
{
	for (int pane = 0; pane < TOP_PANE_COUNT; pane++) {
		struct order order = { .kind = top_columns[pane][view->sort[pane]].kind,
				       .column = view->sort[pane],
				       .is_reversed = view->reversed[pane] };

		if (look->panes[pane].count > 1)
			qsort_r(look->panes[pane].rows, look->panes[pane].count,
				sizeof(struct top_row), compare_rows, &order);
	}
}
