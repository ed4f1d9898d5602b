/* status and list. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/pager.h"
#include "fs/cli/status_text.h"
#include "fs/cli/watch.h"
#include "fs/ctl/ctl.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/json.h"

/* The status object: from the running session, else from its files. */
static struct json *status_of(const char *name, GError **err)
{
	struct ctl_client *c = live_connect(name);
	struct json *answer, *status = NULL;
	int code;

	if (!c)
		return session_saved_status(name, err);
	answer = live_call(c, "status", NULL, &code, NULL);
	if (answer && json_get(answer, "status")) {
		g_autofree char *text =
			json_to_text(json_get(answer, "status"), false);

		status = json_parse(text, strlen(text), NULL);
	}
	json_free(answer);
	ctl_client_free(c);
	return status ? status : session_saved_status(name, err);
}

static const char *text_of(const struct json *j, const char *key)
{
	const char *s = json_string(json_get(j, key));

	return s ? s : "-";
}

/* What a person reads about a session. */
static char *text_for(const char *name, const struct json *status)
{
	struct json *report = report_load(name);
	struct status_style style = {
		.last_report = report,
		.now_ms = io_wall_ns() / 1000000,
		.color = cli_color(STDOUT_FILENO),
	};
	char *text = status_text(status, &style);

	json_free(report);
	return text;
}

static int print_one(const char *name, bool json)
{
	g_autoptr(GError) why = NULL;
	struct json *j = status_of(name, &why);

	if (!j) {
		cli_fail(why);
		return EXIT_FAILED;	/* unknown: 1, by contract */
	}
	if (json) {
		cli_print_json(j);
	} else {
		g_autofree char *text = text_for(name, j);

		fputs(text, stdout);
	}
	json_free(j);
	return EXIT_DONE;
}

static int print_all(bool json)
{
	g_auto(GStrv) names = session_names();
	struct json *arr = json_new_array();

	for (char **n = names; *n; n++) {
		struct json *j = status_of(*n, NULL);

		if (j && !json)
			printf("%-20s %-10s %s %s\n", text_of(j, "name"),
				text_of(j, "state"), text_of(j, "provider"),
				text_of(j, "sandbox_id"));
		if (j)
			json_append(arr, j);
	}
	if (json)
		cli_print_json(arr);
	else if (json_count(arr) == 0)
		puts("no sessions");
	json_free(arr);
	return EXIT_DONE;
}

static int show(const char *given, bool json)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *name =
		given ? session_resolve_name(given, &why) : NULL;

	if (!given)
		return print_all(json);
	if (!name) {
		cli_fail(why);
		return EXIT_FAILED;
	}
	return print_one(name, json);
}

/* --- watch ---------------------------------------------------------------- */

/* The last lines of a session's log, as "19:39:16 message". */
static void add_log_tail(GString *out, const char *name)
{
	enum { TAIL = 16384, LINES = 12, TIME_AT = 11, TIME = 8 };
	g_autofree char *dir = session_dir(name);
	g_autofree char *file = g_build_filename(dir, "log", NULL);
	autofd int fd = open(file, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	g_autofree char *text = g_malloc0(TAIL + 1);
	g_auto(GStrv) lines = NULL;
	guint n;

	if (size <= 0 || pread(fd, text, TAIL, size > TAIL ? size - TAIL : 0) <
		0)
		return;
	lines = g_strsplit(g_strchomp(text), "\n", -1);
	n = g_strv_length(lines);
	g_string_append(out, "\n  recent\n");
	/* The first may be half a line. */
	for (guint i = n > LINES ? n - LINES : size > TAIL; i < n; i++) {
		const char *at = strchr(lines[i], ' ');

		if (at && at - lines[i] > TIME_AT + TIME) {
			g_autofree char *shown = path_display(at + 1);

			g_string_append_printf(out, "  %.*s  %s\n", TIME,
				lines[i] + TIME_AT, shown);
		}
	}
}

struct watched {
	char *name;	/* NULL: all sessions */
	bool json;
};

static char *watch_one(struct watched *w, int *code)
{
	g_autoptr(GError) why = NULL;
	struct json *j = status_of(w->name, &why);
	GString *out;

	if (!j) {
		cli_fail(why);
		*code = EXIT_FAILED;
		return NULL;
	}
	if (w->json) {
		out = g_string_new(NULL);
		g_autofree char *line = json_to_text(j, false);

		g_string_append_printf(out, "%s\n", line);
	} else {
		g_autofree char *text = text_for(w->name, j);

		out = g_string_new(text);
		add_log_tail(out, w->name);
		g_string_append(out, isatty(STDOUT_FILENO)
			? "\n  q ends this\n" : "\n");
	}
	json_free(j);
	return g_string_free(out, FALSE);
}

static char *watch_all(struct watched *w)
{
	g_auto(GStrv) names = session_names();
	struct json *arr = json_new_array();
	GString *out = g_string_new(NULL);

	for (char **n = names; *n; n++) {
		struct json *j = status_of(*n, NULL);

		if (!j)
			continue;
		g_string_append_printf(out, "%-20s %-10s %s\n",
			text_of(j, "name"), text_of(j, "state"),
			text_of(j, "provider"));
		json_append(arr, j);
	}
	if (w->json) {
		g_autofree char *line = json_to_text(arr, false);

		g_string_printf(out, "%s\n", line);
	}
	json_free(arr);
	return g_string_free(out, FALSE);
}

static char *next_text(void *ctx, int *code)
{
	struct watched *w = ctx;

	return w->name ? watch_one(w, code) : watch_all(w);
}

static int watch_sessions(const char *given, bool json)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *name =
		given ? session_resolve_name(given, &why) : NULL;
	struct watched w = { name, json };

	if (given && !name) {
		cli_fail(why);
		return EXIT_FAILED;
	}
	return watch_run(next_text, &w, json);
}

int cmd_status(int argc, char **argv)
{
	gboolean json = FALSE, watch = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"one JSON object on standard output", NULL },
		{ "watch", 'w', 0, G_OPTION_ARG_NONE, &watch,
			"show it again every second", NULL },
		{ 0 },
	};
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "[NAME]", "Shows sessions.", options,
		    &code))
		return code;
	if (argc > 2)
		return cli_usage("status: give at most one NAME");
	return watch ? watch_sessions(argc > 1 ? argv[1] : NULL, json)
		     : show(argc > 1 ? argv[1] : NULL, json);
}

int cmd_list(int argc, char **argv)
{
	gboolean json = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"a JSON array on standard output", NULL },
		{ 0 },
	};
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "", "Lists all sessions.", options,
		    &code))
		return code;
	return print_all(json);
}
