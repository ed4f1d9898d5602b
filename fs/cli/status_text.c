#include "fs/cli/status_text.h"

#include <inttypes.h>
#include <string.h>
#include <glib.h>

#include "fs/cli/report_text.h"
#include "merge/lib/path.h"
#include "transport/json.h"

char *bytes_text(uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB" };
	double n = (double)bytes / 1000;
	size_t u = 0;

	if (bytes < 1000)
		return g_strdup_printf("%" PRIu64 " byte%s", bytes,
			bytes == 1 ? "" : "s");
	while (n >= 999.95 && u + 1 < G_N_ELEMENTS(units)) {
		n /= 1000;
		u++;
	}
	return g_strdup_printf("%.1f %s", n, units[u]);
}

char *duration_text(int64_t ms)
{
	int64_t s = MAX(ms, 0) / 1000;

	if (s < 60)
		return g_strdup_printf("%" PRId64 " s", s);
	if (s < 3600)
		return g_strdup_printf("%" PRId64 " min", s / 60);
	if (s < 2 * 86400 && s / 60 % 60)
		return g_strdup_printf("%" PRId64 " h %" PRId64 " min",
			s / 3600, s / 60 % 60);
	if (s < 2 * 86400)
		return g_strdup_printf("%" PRId64 " h", s / 3600);
	return g_strdup_printf("%" PRId64 " days", s / 86400);
}

static int64_t number(const struct json *j, const char *group, const char *key)
{
	int64_t n = 0;

	if (group && j)
		j = json_get(j, group);
	if (j && json_get(j, key))
		json_is_integer(json_get(j, key), &n);
	return n;
}

static void add_line(GString *out, const char *label, const char *text)
{
	g_string_append_printf(out, "  %-13s%s\n", label, text);
}

static void add_path(GString *out, const struct json *j, const char *label,
	const char *key)
{
	g_autofree char *path = json_path(j, key);
	g_autofree char *shown = path_display(path ? path : "");

	if (path)
		add_line(out, label, shown);
}

/* "2 files, 1.3 kB" of a group. */
static char *amount(const struct json *j, const char *group)
{
	g_autofree char *files = count_text(
		(size_t)number(j, group, "files"), "file", "files");
	g_autofree char *bytes =
		bytes_text((uint64_t)number(j, group, "bytes"));

	return g_strdup_printf("%s, %s", files, bytes);
}

static void add_unsent(GString *out, const struct json *j)
{
	g_autofree char *what = amount(j, "unsent");
	g_autofree char *age =
		duration_text(number(j, "unsent", "oldest_ms"));
	g_autofree char *text = number(j, "unsent", "oldest_ms") > 0
		? g_strdup_printf("%s, the oldest for %s", what, age)
		: g_strdup(what);

	if (number(j, "unsent", "files") == 0 &&
		number(j, "unsent", "bytes") == 0 &&
		number(j, "unsent", "oldest_ms") == 0)
		add_line(out, "unsent", "nothing");
	else
		add_line(out, "unsent", text);
}

static void add_sent(GString *out, const struct json *j, int64_t now_ms)
{
	int64_t at = number(j, NULL, "last_acknowledged_ms");
	g_autofree char *what = amount(j, "sent");
	g_autofree char *batches = count_text(
		(size_t)number(j, "sent", "batches"), "batch", "batches");
	g_autofree char *ago = duration_text(now_ms - at);
	g_autofree char *text = at
		? g_strdup_printf("%s in %s; last confirmed %s ago", what,
			  batches, ago)
		: g_strdup_printf("%s in %s", what, batches);
	g_autofree char *got = amount(j, "fetched");

	add_line(out, "sent", text);
	add_line(out, "fetched", got);
}

static void add_lifetime(GString *out, const struct json *j, int64_t now_ms)
{
	const char *at = json_string(json_get(j, "expires_at"));
	g_autoptr(GDateTime) t = at ? g_date_time_new_from_iso8601(at, NULL)
				    : NULL;
	int64_t left = t ? g_date_time_to_unix(t) * 1000 - now_ms : 0;
	g_autofree char *in = duration_text(left);
	g_autofree char *shown = path_display(at ? at : "");
	g_autofree char *text = t && left > 0
		? g_strdup_printf("the sandbox ends in %s (%s)", in, shown)
		: g_strdup_printf("the sandbox ended (%s)", shown);

	if (at)
		add_line(out, "lifetime", text);
}

static void add_open_matters(GString *out, const struct json *j)
{
	int64_t conflicts = number(j, NULL, "conflicts");
	int64_t held = number(j, NULL, "held");
	g_autofree char *c =
		count_text((size_t)conflicts, "conflict", "conflicts");
	g_autofree char *h =
		count_text((size_t)held, "held path", "held paths");
	g_autofree char *text = NULL;

	if (!conflicts && !held)
		return;
	text = g_strdup_printf("%s%s%s; `sandmount log --report %s` shows them",
		conflicts ? c : "", conflicts && held ? " and " : "",
		held ? h : "", json_string(json_get(j, "name")));
	add_line(out, "to settle", text);
}

static void add_last_restore(GString *out, const struct json *report,
	int64_t now_ms)
{
	g_autofree char *summary = NULL;
	g_autofree char *ago = NULL;
	g_autofree char *text = NULL;

	if (!report)
		return;
	summary = report_summary(report);
	ago = duration_text(now_ms - number(report, NULL, "finished_ms"));
	text = g_strdup_printf("%s ago, exit code %d: %s", ago,
		(int)number(report, NULL, "exit_code"), summary);
	add_line(out, json_flag(json_get(report, "undo"), false)
			? "last undo" : "last restore", text);
}

static const char *tint_of(const char *state)
{
	static const struct {
		const char *state, *tint;
	} table[] = {
		{ "mounted", "\033[32m" }, { "restored", "\033[32m" },
		{ "offline", "\033[33m" }, { "failed", "\033[1;31m" },
		{ "crashed", "\033[1;31m" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (!strcmp(table[i].state, state))
			return table[i].tint;
	return "";
}

static const char *text_of(const struct json *j, const char *key)
{
	const char *s = json_string(json_get(j, key));

	return s ? s : "";
}

char *status_text(const struct json *status, const struct status_style *style)
{
	const char *state = text_of(status, "state");
	GString *out = g_string_new(NULL);
	g_autofree char *cwd = json_path(status, "remote_cwd");
	g_autofree char *where = g_strdup_printf("%s:%s%s%s",
		text_of(status, "provider"), text_of(status, "sandbox_id"),
		g_strcmp0(cwd, text_of(status, "sandbox_id")) ? ":" : "",
		g_strcmp0(cwd, text_of(status, "sandbox_id")) ? cwd : "");
	g_autofree char *shown = path_display(where);
	g_autofree char *error = path_display(text_of(status, "last_error"));

	g_string_append_printf(out, "%s: %s%s%s\n", text_of(status, "name"),
		style->color ? tint_of(state) : "", state,
		style->color ? "\033[0m" : "");
	add_line(out, "sandbox", shown);
	add_path(out, status, "mount point", "mountpoint");
	add_path(out, status, "local", "local");
	add_unsent(out, status);
	add_sent(out, status, style->now_ms);
	add_lifetime(out, status, style->now_ms);
	add_open_matters(out, status);
	add_last_restore(out, style->last_report, style->now_ms);
	if (*error)
		add_line(out, "last error", error);
	return g_string_free(out, FALSE);
}
