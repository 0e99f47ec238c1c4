/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of `fluxpin top`: replies of the daemon become rows of rates (top_data.c), and rows
 * become a screen (top_screen.c); top.c asks, waits and reads keys.
 */
#ifndef FLUXPIN_TOP_H
#define FLUXPIN_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum top_pane {
	TOP_QUEUES,
	TOP_VIPS,
	TOP_BACKENDS,
	TOP_DROPS,
	TOP_PANE_COUNT,
};

#define TOP_MAX_COLUMNS 11
#define TOP_TEXT_SIZE	128

/* How a column's values are shown. */
enum top_kind {
	TOP_TEXT,
	TOP_RATE,    /* per second, from a counter */
	TOP_COUNT,   /* as it is */
	TOP_PERCENT, /* of 100 */
};

struct top_column {
	const char *heading; /* "" is the end of a pane's columns */
	const char *key;     /* the letter that sorts by it, in lower case */
	enum top_kind kind;
	uint8_t width; /* 0: what the others leave */
	bool is_wide;  /* left out in 80 columns */
};

extern const struct top_column top_columns[TOP_PANE_COUNT][TOP_MAX_COLUMNS + 1];
extern const char *const top_pane_names[TOP_PANE_COUNT];

struct top_cell {
	char text[TOP_TEXT_SIZE]; /* of TOP_TEXT */
	double value;		  /* of the others; of TOP_RATE the counter */
	double rate;
};

struct top_row {
	char key[TOP_TEXT_SIZE]; /* tells it from the others of its pane */
	bool is_alarming;
	struct top_cell cells[TOP_MAX_COLUMNS];
};

struct top_rows {
	struct top_row *rows;
	uint32_t count;
};

/* One look at the daemon. */
struct top_look {
	char version[32];
	char file[TOP_TEXT_SIZE];
	uint64_t uptime_ms;
	uint64_t clock_ms;
	uint64_t generation;
	bool reload_failed;
	struct top_cell received, received_bytes, forwarded, forwarded_bytes, slow_path, answered,
		dropped;
	uint64_t connections;
	uint64_t capacity;
	struct top_rows panes[TOP_PANE_COUNT];
};

/*
 * Reads the replies to status, vips and backends; rates are those since `previous` (NULL, or of
 * another daemon: 0). Returns the look, to be released, or NULL without memory.
 */
struct top_look *top_read(const json_t *status, const json_t *vips, const json_t *backends,
			  const struct top_look *previous);
void top_release(struct top_look *look);

/* top_rates.c: fills in the rates, from an earlier look so many seconds ago. */
void top_set_rates(struct top_look *look, const struct top_look *previous, double seconds);

/* What the user chose. */
struct top_view {
	int only;		       /* the pane that has the screen to itself; -1: all */
	int focus;		       /* the pane that keys are about */
	uint32_t sort[TOP_PANE_COUNT]; /* column */
	bool reversed[TOP_PANE_COUNT];
	uint32_t first[TOP_PANE_COUNT]; /* row at the top */
	bool is_paused;
	bool has_help;
	char message[TOP_TEXT_SIZE]; /* what is wrong now */
};

/* Sorts the rows as the view says. */
void top_sort(struct top_look *look, const struct top_view *view);

/* Draws everything; keeps view->first within what there is. */
void top_draw(const struct top_look *look, struct top_view *view);

#endif
