#include "fs/cli/outcome.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib.h>

#include "fs/cli/report_text.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "transport/json.h"

enum { LOGGED_PATHS = 30 };

/* --- log ------------------------------------------------------------------ */

static void log_list(const struct json *report, const char *key,
	const char *what)
{
	const struct json *l = json_get(report, key);
	size_t n = l && json_kind_of(l) == JSON_ARRAY ? json_count(l) : 0;

	for (size_t i = 0; i < n && i < LOGGED_PATHS; i++) {
		const struct json *line = json_at(l, i);
		g_autofree char *path = json_path(line, "path");
		g_autofree char *copy = json_path(line, "copy");
		g_autofree char *shown = path_display(path ? path : "?");
		g_autofree char *beside = path_display(copy ? copy : "");
		const char *why = json_string(json_get(line, "why"));

		log_write(LOG_INFO, "restore: %s: %s%s%s%s%s", what, shown,
			copy ? ", the sandbox's is " : "", beside,
			why && *why ? ": " : "", why ? why : "");
	}
	if (n > LOGGED_PATHS)
		log_write(LOG_INFO, "restore: %s: and %zu more", what,
			n - LOGGED_PATHS);
}

void outcome_log(const struct json *report, int code)
{
	g_autofree char *summary = report_summary(report);

	if (json_flag(json_get(report, "dry_run"), false))
		return;
	log_write(LOG_INFO, "restore: %s (exit code %d)", summary, code);
	log_list(report, "applied", "came home");
	log_list(report, "deleted", "deleted");
	log_list(report, "merged", "merged");
	log_list(report, "conflicts", "conflict");
	log_list(report, "held", "held back");
	log_list(report, "kept_local", "kept");
	if (json_string(json_get(report, "note")))
		log_write(LOG_WARNING, "restore: %s",
			json_string(json_get(report, "note")));
}

/* --- terminal ------------------------------------------------------------- */

struct terminal {
	char *path;
	struct stat st;
};

struct terminal *terminal_remember(void)
{
	static const int fds[] = { STDERR_FILENO, STDOUT_FILENO,
		STDIN_FILENO };

	for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
		char path[256];
		struct terminal *t;

		if (!isatty(fds[i]) ||
			ttyname_r(fds[i], path, sizeof(path)) != 0)
			continue;
		t = g_new0(struct terminal, 1);
		t->path = g_strdup(path);
		if (stat(path, &t->st) == 0)
			return t;
		terminal_free(t);
	}
	return NULL;
}

void terminal_free(struct terminal *t)
{
	if (!t)
		return;
	g_free(t->path);
	g_free(t);
}

/* A number of /dev/pts is used again after its terminal has gone; a new one
 * has a new change time, which writing does not alter. */
static bool is_same_terminal(const struct terminal *t, int fd)
{
	struct stat now;

	return fstat(fd, &now) == 0 && now.st_rdev == t->st.st_rdev &&
		now.st_dev == t->st.st_dev && now.st_ino == t->st.st_ino &&
		now.st_uid == t->st.st_uid &&
		now.st_ctim.tv_sec == t->st.st_ctim.tv_sec &&
		now.st_ctim.tv_nsec == t->st.st_ctim.tv_nsec;
}

bool terminal_say(const struct terminal *t, const char *line)
{
	autofd int fd = -1;
	g_autofree char *text = g_strdup_printf("\r\n%s\r\n", line);

	if (!t)
		return false;
	fd = open(t->path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	/* One short write that does not wait: a stopped terminal (Ctrl-S)
	 * must not hold the session. */
	return fd >= 0 && is_same_terminal(t, fd) && isatty(fd) &&
		write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* --- notification --------------------------------------------------------- */

static bool has_desktop(void)
{
	return g_getenv("DISPLAY") || g_getenv("WAYLAND_DISPLAY") ||
		g_getenv("DBUS_SESSION_BUS_ADDRESS");
}

void outcome_notify(const char *title, const char *text, bool urgent)
{
	g_autofree char *program = g_find_program_in_path("notify-send");
	/* The body may hold markup: "&" and "<" are escaped. */
	g_autofree char *body = g_markup_escape_text(text, -1);
	const char *argv[] = { program, "--app-name=sandmount",
		urgent ? "--urgency=critical" : "--urgency=normal", "--",
		title, body, NULL };

	if (!program || !has_desktop())
		return;
	/* GLib forks twice: nobody has to wait for the child. */
	g_spawn_async("/", (char **)argv, NULL,
		G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
		NULL, NULL, NULL);
}
