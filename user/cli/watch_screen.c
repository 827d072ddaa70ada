// SPDX-License-Identifier: Apache-2.0
/*
 * Watch, screen: the status of jobs and a look at their trackers' maps flow in
 * each second, a terminal full of bars flows out (ncurses).
 */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/collect.h"
#include "cli/jobs.h"
#include "cli/watch.h"
#include "lib/cleanup.h"
#include "lib/netlink.h"
#include "lib/units.h"
#include "source/job.h"

#define MAP_COLUMNS_MAX 512
#define MAP_WINDOWS_MAX 64	/* of a walk, each second and disk */
#define SECTORS_OF(bytes) ((bytes) / BLKFERRY_SECTOR_BYTES)

struct screen {
	const struct cli *cli;
	struct bf_netlink *nl;		/* NULL: no maps */
	struct bf_walk_window *window;
	int row;
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : -1;
}

/* A line, cut at the terminal's edge; the last row is the legend's. */
static void line(struct screen *screen, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void line(struct screen *screen, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (screen->row < LINES - 1)
		mvaddnstr(screen->row, 0, text, COLS);
	screen->row++;
}

/* As many lines as it takes, broken at spaces where there are some. */
static void paragraph(struct screen *screen, const char *text)
{
	int width = COLS > 4 ? COLS - 2 : 2;

	while (*text) {
		int length = (int)strlen(text);

		if (length > width) {
			length = width;
			while (length > width / 2 && text[length] != ' ')
				length--;
		}
		line(screen, "  %.*s", length, text);
		text += length;
		text += *text == ' ';
	}
}

static const char *size_text(double bytes, char text[BF_UNIT_TEXT_BYTES])
{
	return bytes < 0 ? "-" : bf_format_size(bytes, text);
}

static const char *rate_text(double rate, char text[BF_UNIT_TEXT_BYTES])
{
	return rate < 0 ? "unknown" : bf_format_rate((uint64_t)rate, text);
}

static const char *time_text(double ns, char text[BF_UNIT_TEXT_BYTES])
{
	return ns < 0 ? "-" : bf_format_time(ns, text);
}

/* ---- the map of dirty regions ---- */

static void mark_columns(double share[MAP_COLUMNS_MAX], int columns,
			 uint64_t disk_sectors, const struct blkferry_extent *e)
{
	double per_column = (double)disk_sectors / columns;
	uint64_t at = e->sector, end = e->sector + e->nr_sectors;

	while (at < end && at < disk_sectors) {
		int column = at / per_column;
		uint64_t edge = (column + 1) * per_column + 1;
		uint64_t until = edge < end ? edge : end;

		if (column < columns)
			share[column] += (until - at) / per_column;
		at = until;
	}
}

/* As far as it was seen: "?" from where the look was cut short. */
static int look_at_map(struct screen *screen, const struct bf_tracker *tracker,
		       double share[MAP_COLUMNS_MAX], int columns)
{
	uint64_t from = 0;

	for (int i = 0; i < MAP_WINDOWS_MAX; i++) {
		struct bf_error err;

		if (bf_tracker_peek(screen->nl, tracker->id, from,
				    screen->window, &err))
			break;
		for (size_t k = 0; k < screen->window->nr_extents; k++)
			mark_columns(share, columns, tracker->nr_sectors,
				     &screen->window->extents[k]);
		if (screen->window->end)
			return columns;
		if (screen->window->next_sector <= from)
			break;
		from = screen->window->next_sector;
	}
	return (double)from * columns / (tracker->nr_sectors + 1);
}

static char cell_of(double share)
{
	static const char cells[] = ".-=+*#%@";

	if (share <= 0)
		return ' ';
	if (share >= 1)
		return '@';
	return cells[(int)(share * (sizeof(cells) - 1))];
}

static void draw_map(struct screen *screen, const char *job, const char *disk)
{
	double share[MAP_COLUMNS_MAX] = { 0 };
	char name[BLKFERRY_NAME_MAX + 1], cells[MAP_COLUMNS_MAX + 1];
	int columns = COLS - 6, known;
	struct bf_tracker tracker;
	struct bf_error err;

	if (columns > MAP_COLUMNS_MAX)
		columns = MAP_COLUMNS_MAX;
	if (!screen->nl || columns < 8 ||
	    bf_job_tracker_name(job, disk, name, &err) ||
	    bf_tracker_find(screen->nl, name, &tracker, &err) ||
	    !tracker.nr_sectors)
		return;
	known = look_at_map(screen, &tracker, share, columns);
	for (int i = 0; i < columns; i++)
		cells[i] = i < known ? cell_of(share[i]) : '?';
	cells[columns] = '\0';
	line(screen, "    [%s]", cells);
}

/* ---- jobs ---- */

#define BAR_BESIDE 46			/* columns of a bar's line */

static void draw_bar(struct screen *screen, const json_t *status)
{
	const json_t *pass = json_object_get(status, "pass");
	double planned = number_of(pass, "planned_bytes");
	double done = number_of(pass, "done_bytes");
	char bar[128], size[BF_UNIT_TEXT_BYTES], eta[BF_UNIT_TEXT_BYTES];
	int width = COLS - BAR_BESIDE, full;

	if (planned <= 0)
		return;
	if (width > (int)sizeof(bar) - 1)
		width = sizeof(bar) - 1;
	if (width < 4)
		width = 0;
	full = done / planned * width;
	for (int i = 0; i < width; i++)
		bar[i] = i < full ? '#' : '.';
	bar[width] = '\0';
	line(screen, "  pass %-6s [%s] %3.0f%% of %s, ETA %s",
	     text_of(pass, "kind"), bar, 100 * done / planned,
	     size_text(planned, size),
	     time_text(number_of(status, "eta_ns"), eta));
}

static void draw_last_pass(struct screen *screen, const json_t *pass)
{
	char size[BF_UNIT_TEXT_BYTES], time[BF_UNIT_TEXT_BYTES];

	if (pass)
		line(screen, "  last pass: %s, %s in %s", text_of(pass, "kind"),
		     size_text(number_of(pass, "raw_bytes"), size),
		     time_text(number_of(pass, "duration_ns"), time));
}

/* What cannot be known of a copy without a tracker is not spoken of. */
static void draw_forecast(struct screen *screen, const json_t *status)
{
	const json_t *converging = json_object_get(status, "converging");
	double downtime = number_of(status, "projected_downtime_ns");
	char dirty[BF_UNIT_TEXT_BYTES], time[BF_UNIT_TEXT_BYTES];
	char bound[BF_UNIT_TEXT_BYTES];

	if (downtime >= 0)
		line(screen, "  dirty %s, a cutover would take %s of %s allowed%s",
		     size_text(number_of(status, "dirty_bytes"), dirty),
		     time_text(downtime, time),
		     time_text(number_of(status, "max_downtime_ns"), bound),
		     json_is_false(converging) ? ", NOT CONVERGING" : "");
}

static void draw_figures(struct screen *screen, const json_t *status)
{
	char raw[BF_UNIT_TEXT_BYTES], wire[BF_UNIT_TEXT_BYTES];
	char dirty[BF_UNIT_TEXT_BYTES];

	if (number_of(status, "raw_rate") < 0)	/* it has failed */
		return;
	line(screen, "  raw %s, wire %s, newly dirty %s",
	     rate_text(number_of(status, "raw_rate"), raw),
	     rate_text(number_of(status, "wire_rate"), wire),
	     rate_text(number_of(status, "dirty_rate"), dirty));
	draw_forecast(screen, status);
	draw_last_pass(screen, json_object_get(status, "last_pass"));
	draw_bar(screen, status);
}

/* A disk's part of the running pass. */
static const char *pass_text(const json_t *pass, char text[64])
{
	double planned = number_of(pass, "planned_bytes");
	char size[BF_UNIT_TEXT_BYTES];

	*text = '\0';
	if (planned > 0)
		snprintf(text, 64, ", %.0f%% of %s",
			 100 * number_of(pass, "done_bytes") / planned,
			 size_text(planned, size));
	return text;
}

static void draw_disk(struct screen *screen, const char *job,
		      const json_t *disk)
{
	const json_t *reasons = json_object_get(disk, "reasons");
	double unreadable = number_of(disk, "unreadable_bytes");
	char size[BF_UNIT_TEXT_BYTES], dirty[BF_UNIT_TEXT_BYTES];
	char lost[BF_UNIT_TEXT_BYTES], pass[64];

	line(screen, "  %-10s %-16s %8s, %s dirty%s%s%s%s%s", text_of(disk, "name"),
	     text_of(disk, "device"),
	     size_text(number_of(disk, "size_bytes"), size),
	     size_text(number_of(disk, "dirty_bytes"), dirty),
	     pass_text(json_object_get(disk, "pass"), pass),
	     unreadable > 0 ? ", UNREADABLE: " : "",
	     unreadable > 0 ? size_text(unreadable, lost) : "",
	     json_array_size(reasons) ? ", RESYNC NEEDED: " : "",
	     json_array_size(reasons) ?
	     json_string_value(json_array_get(reasons, 0)) : "");
	draw_map(screen, job, text_of(disk, "name"));
}

static void draw_job(struct screen *screen, const json_t *status)
{
	const json_t *reason = json_object_get(status, "reason");
	const char *mode = text_of(status, "mode");
	json_t *disk;
	size_t index;

	attron(A_BOLD);
	line(screen, "%s: %s, to %s%s%s", text_of(status, "job"),
	     text_of(status, "state"), text_of(status, "receiver"),
	     *text_of(status, "description") ? ": " : "",
	     text_of(status, "description"));
	attroff(A_BOLD);
	if (*mode)
		line(screen, "  %" JSON_INTEGER_FORMAT " passes, %s: %s",
		     json_integer_value(json_object_get(status, "passes")),
		     mode, text_of(status, "mode_reason"));
	draw_figures(screen, status);
	paragraph(screen, text_of(reason, "text"));
	json_array_foreach(json_object_get(status, "disks"), index, disk)
		draw_disk(screen, text_of(status, "job"), disk);
	screen->row++;
}

static void draw_legend(const struct screen *screen)
{
	int hidden = screen->row - 1 - (LINES - 1);

	move(LINES - 1, 0);
	clrtoeol();
	if (hidden > 0)
		printw("q: end   %d lines more than fit here: name one job",
		       hidden);
	else
		addnstr("q: end   map: blank clean, . to @ dirty", COLS);
}

static int draw(struct screen *screen, struct bf_error *err)
{
	json_t *jobs = json_array(), *status;
	size_t index;
	int ret;

	if (screen->cli->nr_arguments) {
		ret = cli_collect_job(screen->cli, screen->cli->arguments[0],
				      &status, err);
		if (!ret)
			json_array_append_new(jobs, status);
	} else {
		ret = cli_collect_jobs(screen->cli, jobs, err);
	}
	erase();
	screen->row = 0;
	if (!json_array_size(jobs))
		line(screen, "no job is running");
	json_array_foreach(jobs, index, status)
		draw_job(screen, status);
	draw_legend(screen);
	refresh();
	json_decref(jobs);
	return ret && err->code != BF_E_NOT_RUNNING ? ret : 0;
}

/* Up to a second. Return: true if it is time to end. */
static bool wait_for_end(int stop_fd)
{
	struct pollfd fds[] = {
		{ stop_fd, POLLIN, 0 },
		{ STDIN_FILENO, POLLIN, 0 },
	};
	int key;

	poll(fds, 2, 1000);
	key = fds[1].revents ? getch() : ERR;
	return fds[0].revents || key == 'q' || key == 'Q';
}

int cli_watch_screen(const struct cli *cli, int stop_fd, struct bf_error *err)
{
	struct screen screen = { .cli = cli };
	_cleanup_free_ void *window = malloc(sizeof(*screen.window));
	struct bf_error no_module;
	int ret;

	screen.window = window;
	if (!window)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	if (bf_netlink_open(&screen.nl, &no_module))
		screen.nl = NULL;
	setlocale(LC_CTYPE, "");
	if (!newterm(NULL, stdout, stdin)) {
		bf_netlink_close(screen.nl);
		return bf_fail(err, BF_E_SYSTEM, ENOTTY,
			       "the terminal \"%s\" is not known: set TERM, or pipe the output through cat",
			       getenv("TERM") ? getenv("TERM") : "");
	}
	cbreak();
	noecho();
	curs_set(0);
	nodelay(stdscr, TRUE);
	do {
		ret = draw(&screen, err);
	} while (!ret && !wait_for_end(stop_fd));
	endwin();
	bf_netlink_close(screen.nl);
	return ret;
}
