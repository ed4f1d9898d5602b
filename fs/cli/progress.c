#include "fs/cli/progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/status_text.h"
#include "merge/lib/io.h"

enum {
	REDRAW_MS = 100, LINE_MS = 2000,
	RATE_AFTER_MS = 500,	/* earlier a rate says nothing */
	BAR_MIN = 10, BAR_MAX = 40,
};

/* --- what is drawn -------------------------------------------------------- */

static char *amount(uint64_t n, bool bytes)
{
	return bytes ? bytes_text(n) : g_strdup_printf("%" PRIu64, n);
}

/* "12.3 MB of 30.8 MB  3.1 MB/s  6 s left". */
static char *numbers(const struct progress_view *v)
{
	g_autofree char *done = amount(v->done, v->bytes);
	g_autofree char *total = amount(v->total, v->bytes);
	GString *out = g_string_new(NULL);
	double rate = v->elapsed_ms >= RATE_AFTER_MS
		? (double)v->done * 1000 / (double)v->elapsed_ms : 0;

	if (v->total)
		g_string_append_printf(out, "%s of %s", done, total);
	else if (v->done)
		g_string_append(out, done);
	if (v->bytes && rate >= 1) {
		g_autofree char *r = bytes_text((uint64_t)rate);

		g_string_append_printf(out, "  %s/s", r);
	}
	if (rate > 0 && v->total > v->done) {
		g_autofree char *left = duration_text((int64_t)(
			(double)(v->total - v->done) * 1000 / rate) + 999);

		g_string_append_printf(out, "  %s left", left);
	}
	return g_string_free(out, FALSE);
}

static void add_bar(GString *out, unsigned percent, unsigned width)
{
	unsigned full = width * percent / 100;

	g_string_append(out, "  [");
	for (unsigned i = 0; i < width; i++)
		g_string_append_c(out, i < full ? '='
				: i == full ? '>' : ' ');
	g_string_append_c(out, ']');
}

char *progress_text(const struct progress_view *v)
{
	g_autofree char *text = numbers(v);
	GString *out = g_string_new(v->what);
	uint64_t done = MIN(v->done, v->total);
	unsigned percent = v->total
		? (unsigned)((double)done * 100 / (double)v->total) : 0;
	/* "  [" and "]", "  100%", two blanks. */
	size_t fixed = out->len + strlen(text) + 4 + 6 + 2;

	if (v->total && v->columns >= fixed + BAR_MIN)
		add_bar(out, percent,
			(unsigned)MIN(v->columns - fixed, BAR_MAX));
	if (v->total)
		g_string_append_printf(out, "  %3u%%", percent);
	if (*text)
		g_string_append_printf(out, "  %s", text);
	if (v->columns && out->len > v->columns)
		g_string_truncate(out, v->columns);
	return g_string_free(out, FALSE);
}

/* --- the line of this process --------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* All guarded by lock. */
static struct line {
	char what[64];		/* "": nothing is going on */
	int64_t began_ns, drawn_ns;
	struct progress_view last;
	bool shown, terminal;
} line;

static unsigned columns_of_terminal(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 79;
	return size.ws_col - 1u;	/* the last one may wrap */
}

static void draw_locked(const struct progress_view *v)
{
	g_autofree char *text = progress_text(v);

	fprintf(stderr, line.terminal ? "\r\033[K%s" : "%s\n", text);
	fflush(stderr);
	line.shown = true;
}

/* The line's work is over. */
static void finish_locked(void)
{
	if (!line.what[0])
		return;
	if (line.terminal && line.shown)
		fputs("\r\033[K", stderr);
	else if (!line.terminal && line.last.done) {
		line.last.what = line.what;
		draw_locked(&line.last);
	}
	line.what[0] = '\0';
	line.shown = false;
	line.last = (struct progress_view){ 0 };
}

static void show(void *ctx, const char *what, uint64_t done, uint64_t total,
	bool bytes)
{
	int64_t now = io_now_ns(), every;
	bool begins;

	(void)ctx;
	pthread_mutex_lock(&lock);
	begins = what && strcmp(line.what, what) != 0;
	if (!what || begins)
		finish_locked();
	if (begins) {
		g_strlcpy(line.what, what, sizeof(line.what));
		line.began_ns = now;
		line.drawn_ns = 0;
	}
	every = line.terminal ? REDRAW_MS : LINE_MS;
	if (what) {
		line.last = (struct progress_view){
			.what = line.what, .done = done, .total = total,
			.bytes = bytes,
			.elapsed_ms = (now - line.began_ns) / 1000000,
			.columns = line.terminal ? columns_of_terminal() : 0,
		};
		if (begins || now - line.drawn_ns >= every * 1000000) {
			line.drawn_ns = now;
			draw_locked(&line.last);
		}
	}
	pthread_mutex_unlock(&lock);
}

bool progress_is_mode(const char *mode)
{
	return !mode || !strcmp(mode, "auto") || !strcmp(mode, "always") ||
		!strcmp(mode, "never");
}

bool cli_check_progress(const char *mode, int *code)
{
	if (progress_is_mode(mode))
		return true;
	*code = cli_usage("--progress: %s is not auto, always or never", mode);
	return false;
}

struct session_progress cli_progress(const char *mode, bool quiet)
{
	bool terminal = isatty(STDERR_FILENO) &&
		g_strcmp0(g_getenv("TERM"), "dumb") != 0;
	bool on = !quiet && (g_strcmp0(mode, "always") == 0 ||
		(g_strcmp0(mode, "never") != 0 && terminal));

	line.terminal = terminal;
	return (struct session_progress){ .step = on ? show : NULL };
}

void cli_progress_end(void)
{
	pthread_mutex_lock(&lock);
	finish_locked();
	pthread_mutex_unlock(&lock);
}
