/* SPDX-License-Identifier: BSD-2-Clause */
#include "top.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ncurses.h>

#include <fluxpin/clock.h>

#include "client.h"
#include "commands.h"

#define INTERVAL_DEFAULT_MS 1000
#define INTERVAL_LOW_MS	    100
#define INTERVAL_HIGH_MS    60000

static const char usage[] =
	"usage: fluxpin top [--control PATH] [--interval SECONDS]\n"
	"\n"
	"Shows rates, health and drops of a running daemon, again and again.\n"
	"\n"
	"      --control PATH      its control socket (/run/fluxpin/control.sock)\n"
	"      --interval SECONDS  between two looks, 0.1 to 60 (1)\n"
	"  -h, --help              print this\n"
	"\n"
	"Keys: q quit, Tab pane, Enter whole screen, s sort, r reverse, p pause, h help.\n";

enum {
	OPTION_INTERVAL = 256,
};

struct top {
	struct client_options options;
	struct top_view view;
	struct top_look *look;
	int interval_ms;
};

static int take_option(void *context, int option, const char *value)
{
	struct top *top = context;
	char *end;
	double seconds = strtod(value, &end);

	(void)option;
	if (end == value || *end != '\0' || !(seconds * 1000 >= INTERVAL_LOW_MS) ||
	    !(seconds * 1000 <= INTERVAL_HIGH_MS))
		return client_usage(&top->options, "--interval must be 0.1 to 60, found", value);
	top->interval_ms = (int)(seconds * 1000);
	return EXIT_DONE;
}

/* One look. Returns EXIT_DONE, or another exit status after saying why. */
static int look_again(struct top *top)
{
	json_t *status = NULL, *vips = NULL, *backends = NULL;
	struct top_look *look;
	int result = client_ask(&top->options, json_pack("{s:s}", "command", "status"), &status);

	if (result == EXIT_DONE)
		result = client_ask(&top->options, json_pack("{s:s}", "command", "vips"), &vips);
	if (result == EXIT_DONE)
		result = client_ask(&top->options,
				    json_pack("{s:s, s:b}", "command", "backends", "flows", 0),
				    &backends);
	if (result == EXIT_DONE) {
		look = top_read(status, vips, backends, top->look);
		if (look != NULL) {
			top_release(top->look);
			top->look = look;
			top_sort(look, &top->view);
		}
	}
	json_decref(backends);
	json_decref(vips);
	json_decref(status);
	return result;
}

static uint32_t column_count(int pane)
{
	uint32_t count = 0;

	while (count < TOP_MAX_COLUMNS && top_columns[pane][count].heading != NULL)
		count++;
	return count;
}

static void choose_column(struct top_view *view, int step)
{
	uint32_t count = column_count(view->focus);
	uint32_t *column = &view->sort[view->focus];

	do
		*column = (*column + count + (uint32_t)step) % count;
	while (top_columns[view->focus][*column].is_wide && COLS <= 80);
}

static void focus_on(struct top_view *view, int pane)
{
	view->focus = pane;
	if (view->only >= 0)
		view->only = pane;
}

static void scroll_by(struct top_view *view, int rows)
{
	uint32_t *first = &view->first[view->focus];

	if (rows < 0 && *first < (uint32_t)-rows)
		*first = 0;
	else
		*first += (uint32_t)rows;
}

/* Returns whether to go on. top_draw keeps positions within what there is. */
static bool take_key(struct top *top, int key)
{
	struct top_view *view = &top->view;

	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case '\t':
		focus_on(view, (view->focus + 1) % TOP_PANE_COUNT);
		break;
	case KEY_BTAB:
		focus_on(view, (view->focus + TOP_PANE_COUNT - 1) % TOP_PANE_COUNT);
		break;
	case '1':
	case '2':
	case '3':
	case '4':
		focus_on(view, key - '1');
		break;
	case '\n':
	case '\r':
	case KEY_ENTER:
		view->only = view->only >= 0 ? -1 : view->focus;
		break;
	case 's':
		choose_column(view, 1);
		break;
	case 'S':
		choose_column(view, -1);
		break;
	case 'r':
		view->reversed[view->focus] = !view->reversed[view->focus];
		break;
	case 'p':
	case ' ':
		view->is_paused = !view->is_paused;
		break;
	case 'h':
	case '?':
		view->has_help = !view->has_help;
		break;
	case KEY_UP:
		scroll_by(view, -1);
		break;
	case KEY_DOWN:
		scroll_by(view, 1);
		break;
	case KEY_PPAGE:
		scroll_by(view, -10);
		break;
	case KEY_NPAGE:
		scroll_by(view, 10);
		break;
	case KEY_HOME:
		view->first[view->focus] = 0;
		break;
	case KEY_END:
		view->first[view->focus] = INT32_MAX;
		break;
	default: /* KEY_RESIZE: drawn anew */
		break;
	}
	top_sort(top->look, view);
	return true;
}

static int run(struct top *top)
{
	uint64_t next = clock_ms() + (uint64_t)top->interval_ms;

	for (;;) {
		uint64_t now = clock_ms();
		int key, status;

		if (now >= next && !top->view.is_paused) {
			status = look_again(top);
			if (status != EXIT_DONE)
				return status;
			now = clock_ms();
		}
		if (now >= next)
			next = now + (uint64_t)top->interval_ms;
		top_draw(top->look, &top->view);
		timeout((int)(next - now));
		key = getch();
		if (key != ERR && !take_key(top, key))
			return EXIT_DONE;
	}
}

static int start_screen(void)
{
	/* newterm, unlike initscr, does not end the process itself. */
	if (newterm(NULL, stdout, stdin) == NULL) {
		const char *terminal = getenv("TERM");

		fprintf(stderr, "fluxpin top: the terminal type \"%s\" is not known here\n",
			terminal != NULL ? terminal : "");
		return EXIT_FAILED;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	set_escdelay(25);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_RED, -1);
	}
	return EXIT_DONE;
}

int command_top(int argc, char **argv)
{
	static const struct client_long_option own[] = {
		{ "interval", OPTION_INTERVAL, true },
	};
	struct top top = { .options = { .command = "top", .usage = usage },
			   .view = { .only = -1, .focus = TOP_BACKENDS, .sort = { 0, 3, 3, 1 } },
			   .interval_ms = INTERVAL_DEFAULT_MS };
	int status;

	if (!client_read_options(argc, argv, &top.options, false, own, 1, take_option, &top,
				 &status))
		return status;
	if (optind < argc)
		return client_usage(&top.options, "unexpected argument", argv[optind]);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fputs("fluxpin top: needs a terminal; for programs there is fluxpin status "
		      "--json\n",
		      stderr);
		return EXIT_FAILED;
	}
	setlocale(LC_CTYPE, "");
	/* Before the screen is taken: what it says then can be read. */
	status = look_again(&top);
	if (status == EXIT_DONE)
		status = top.look != NULL ? start_screen() : EXIT_FAILED;
	if (status == EXIT_DONE) {
		char *said = NULL;
		size_t length = 0;
		FILE *normal = stderr, *memory = open_memstream(&said, &length);

		/* What the client says belongs below the screen, not into it. */
		if (memory != NULL)
			stderr = memory;
		status = run(&top);
		endwin();
		stderr = normal;
		if (memory != NULL) {
			fclose(memory);
			fputs(said, stderr);
		}
		free(said);
	}
	top_release(top.look);
	return status;
}
