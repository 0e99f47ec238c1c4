/* SPDX-License-Identifier: BSD-2-Clause */
#include "top.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <ncurses.h>

#include "client.h"

#define HEAD_LINES 3
#define FOOT_LINES 1
#define NARROW	   80 /* columns up to here leave out what is wide */
#define TEXT_SHORT 16

/* Four digits and a unit at most: "9999", "12.3k", "1.23M". */
static const char *format_number(double number, char buffer[static TEXT_SHORT])
{
	static const char units[] = " kMGTPE";
	uint32_t unit = 0;

	if (number < 9999.5) {
		snprintf(buffer, TEXT_SHORT, "%.0f", number);
		return buffer;
	}
	while (number >= 999.5 && units[unit + 1] != '\0') {
		number /= 1000;
		unit++;
	}
	snprintf(buffer, TEXT_SHORT, "%.*f%c",
		 number < 9.995	  ? 2
		 : number < 99.95 ? 1
				  : 0,
		 number, units[unit]);
	return buffer;
}

static const char *format_cell(const struct top_column *column, const struct top_cell *cell,
			       char buffer[static TEXT_SHORT])
{
	switch (column->kind) {
	case TOP_TEXT:
		return cell->text[0] != '\0' ? cell->text : "-";
	case TOP_RATE:
		return format_number(cell->rate, buffer);
	case TOP_PERCENT:
		snprintf(buffer, TEXT_SHORT, "%.1f", cell->value);
		return buffer;
	default:
		return format_number(cell->value, buffer);
	}
}

static bool is_shown(const struct top_column *column)
{
	return column->heading != NULL && (!column->is_wide || COLS > NARROW);
}

/* Of the one column that takes what the others leave. */
static int rest_width(const struct top_column *columns)
{
	int rest = COLS;

	for (uint32_t i = 0; columns[i].heading != NULL; i++)
		if (is_shown(&columns[i]) && columns[i].width > 0)
			rest -= columns[i].width + 1;
	return rest > 1 ? rest - 1 : 1;
}

/* Writes a cell at x, cut to its width. Returns where the next one begins. */
static int put_cell(int y, int x, const char *text, int width, bool is_right)
{
	if (x + width > COLS)
		width = COLS - x;
	if (width > 0)
		mvprintw(y, x, is_right ? "%*.*s" : "%-*.*s", width, width, text);
	return x + width + 1;
}

static void draw_heading(int y, enum top_pane pane, const struct top_look *look,
			 const struct top_view *view)
{
	const struct top_column *columns = top_columns[pane];
	int rest = rest_width(columns), x = 0;
	char name[TOP_TEXT_SIZE];

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	for (uint32_t i = 0; columns[i].heading != NULL; i++) {
		const char *heading = columns[i].heading;
		int width = columns[i].width > 0 ? columns[i].width : rest;

		if (!is_shown(&columns[i]))
			continue;
		if (i == 0) {
			snprintf(name, sizeof(name), "%c%s %u",
				 view->focus == (int)pane ? '>' : ' ', heading,
				 look->panes[pane].count);
			heading = name;
		}
		if (view->sort[pane] == i)
			attron(A_UNDERLINE | A_BOLD);
		x = put_cell(y, x, heading, width, columns[i].kind != TOP_TEXT);
		attroff(A_UNDERLINE | A_BOLD);
	}
	attroff(A_REVERSE);
}

static void draw_row(int y, enum top_pane pane, const struct top_row *row)
{
	const struct top_column *columns = top_columns[pane];
	int rest = rest_width(columns), x = 0;
	char buffer[TEXT_SHORT];

	if (row->is_alarming)
		attron(A_BOLD | COLOR_PAIR(1));
	for (uint32_t i = 0; columns[i].heading != NULL; i++) {
		int width = columns[i].width > 0 ? columns[i].width : rest;

		if (is_shown(&columns[i]))
			x = put_cell(y, x, format_cell(&columns[i], &row->cells[i], buffer), width,
				     columns[i].kind != TOP_TEXT);
	}
	attroff(A_BOLD | COLOR_PAIR(1));
}

/* A heading and up to `height` rows. Returns the next line. */
static int draw_pane(int y, int height, enum top_pane pane, const struct top_look *look,
		     struct top_view *view)
{
	const struct top_rows *rows = &look->panes[pane];
	uint32_t room = height > 0 ? (uint32_t)height : 0;
	uint32_t last = rows->count > room ? rows->count - room : 0;

	if (view->first[pane] > last)
		view->first[pane] = last;
	draw_heading(y++, pane, look, view);
	for (uint32_t i = 0; i < room && view->first[pane] + i < rows->count; i++)
		draw_row(y++, pane, &rows->rows[view->first[pane] + i]);
	return y;
}

/* Shares out the lines: what each pane needs, as far as it goes round. */
static void share_lines(const struct top_look *look, int lines, int heights[TOP_PANE_COUNT])
{
	int left = lines - TOP_PANE_COUNT;

	memset(heights, 0, TOP_PANE_COUNT * sizeof(*heights));
	while (left > 0) {
		int before = left;

		for (int pane = 0; pane < TOP_PANE_COUNT && left > 0; pane++) {
			if ((uint32_t)heights[pane] >= look->panes[pane].count)
				continue;
			heights[pane]++;
			left--;
		}
		if (left == before)
			break;
	}
}

static void draw_head(const struct top_look *look, const struct top_view *view)
{
	time_t now = time(NULL);
	struct tm local = { 0 };
	char clock[TEXT_SHORT] = "", a[TEXT_SHORT], b[TEXT_SHORT], c[TEXT_SHORT], d[TEXT_SHORT],
	     e[TEXT_SHORT], f[TEXT_SHORT], g[TEXT_SHORT];

	if (localtime_r(&now, &local) != NULL)
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	mvprintw(0, 0, "%.*s", COLS, "");
	printw("fluxpin %s, up %s, %.30s generation %llu%s", look->version,
	       client_duration(look->uptime_ms), look->file, (unsigned long long)look->generation,
	       look->reload_failed ? ", last reload REFUSED" : "");
	if (COLS > 9)
		mvprintw(0, COLS - 9, " %s", clock);
	mvprintw(1, 0, "in %s/s %sbit/s  out %s/s %sbit/s  slow %s/s  answered %s/s  dropped %s/s",
		 format_number(look->received.rate, a), format_number(look->received_bytes.rate, b),
		 format_number(look->forwarded.rate, c),
		 format_number(look->forwarded_bytes.rate, d),
		 format_number(look->slow_path.rate, e), format_number(look->answered.rate, f),
		 format_number(look->dropped.rate, g));
	mvprintw(2, 0, "connections %s of %s", format_number((double)look->connections, a),
		 format_number((double)look->capacity, b));
	if (view->is_paused)
		printw("   PAUSED");
	if (view->message[0] != '\0') {
		attron(A_BOLD);
		printw("   %s", view->message);
		attroff(A_BOLD);
	}
}

static void draw_help(void)
{
	static const char *const lines[] = {
		"q         quit",
		"Tab, 1-4  choose a pane: queues, VIPs, backends, drops",
		"Enter     give the pane the whole screen, or take it back",
		"up, down, PgUp, PgDn, Home, End   scroll the pane",
		"s, S      sort the pane by the next, the previous column (underlined)",
		"r         the other way round",
		"p, space  pause",
		"h, ?      this help",
		"",
		"TABLE%    fill of the connection table",
		"FILL%     frames of the UMEM that wait in the fill ring",
		"LOST/s    dropped by the kernel for want of room in the rings",
		"bold      no backend serves, a backend is down, a worker stands still",
	};
	int count = (int)(sizeof(lines) / sizeof(lines[0]));

	for (int i = 0; i < count && HEAD_LINES + i < LINES - FOOT_LINES; i++)
		mvprintw(HEAD_LINES + i, 2, "%.*s", COLS > 4 ? COLS - 4 : 0, lines[i]);
}

void top_draw(const struct top_look *look, struct top_view *view)
{
	int lines = LINES - HEAD_LINES - FOOT_LINES, y = HEAD_LINES, heights[TOP_PANE_COUNT];

	erase();
	draw_head(look, view);
	if (view->has_help) {
		draw_help();
	} else if (view->only >= 0) {
		draw_pane(y, lines - 1, (enum top_pane)view->only, look, view);
	} else {
		share_lines(look, lines, heights);
		for (int pane = 0; pane < TOP_PANE_COUNT && y < LINES - FOOT_LINES; pane++)
			y = draw_pane(y, heights[pane], (enum top_pane)pane, look, view);
	}
	mvprintw(LINES - 1, 0, "%.*s", COLS,
		 "q quit  Tab pane  Enter whole  s sort  r reverse  p pause  h help");
	refresh();
}
