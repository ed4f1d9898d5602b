/*
 * The report of a restore: JSON by CLI.md, and lines for a person.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/plan.h"
#include "transport/json.h"

static const struct list_name {
	enum plan_list list;
	const char *key;
	const char *title;
} lists[] = {
	{ PLAN_APPLIED, "applied", "brought home" },
	{ PLAN_DELETED, "deleted", "deleted (kept in the trash)" },
	{ PLAN_MERGED, "merged", "merged, both sides' work in one file" },
	{ PLAN_CONFLICTS, "conflicts",
		"conflicts, yours in place and the sandbox's beside it" },
	{ PLAN_HELD, "held", "held back" },
	{ PLAN_KEPT_LOCAL, "kept_local", "kept as you have it" },
};

void report_free(struct report *r)
{
	if (!r)
		return;
	plan_free(r->plan);
	g_free(r->trash);
	g_free(r->diff);
	g_free(r->note);
	g_free(r);
}

int report_exit_code(const struct report *r)
{
	return r->unsent ? 4 : plan_exit_code(r->plan);
}

static const char *subject(const struct plan_op *op)
{
	return op->subject ? op->subject : op->path;
}

static const char *reason(const struct plan_op *op)
{
	if (op->outcome == PLAN_FAILED && op->error)
		return op->error;
	return op->why ? op->why : "";
}

/* What failed is not "applied": it is still to be done. */
static enum plan_list list_of(const struct plan_op *op)
{
	return op->outcome == PLAN_FAILED ? PLAN_HELD : op->list;
}

static struct json *line_to_json(const struct plan_op *op)
{
	struct json *j = json_new_object();

	json_put_path(j, "path", subject(op));
	json_put_string(j, "kind", op->kind ? op->kind : "file");
	json_put_string(j, "action",
		op->outcome == PLAN_FAILED ? "failed"
					   : (op->word ? op->word : ""));
	json_put_string(j, "why", reason(op));
	if (op->copy)
		json_put_path(j, "copy", op->copy);
	return j;
}

static struct json *list_to_json(const struct plan *p, enum plan_list list)
{
	struct json *arr = json_new_array();

	for (size_t i = 0; i < plan_count(p); i++)
		if (list_of(plan_at(p, i)) == list)
			json_append(arr, line_to_json(plan_at(p, i)));
	return arr;
}

struct json *report_to_json(const struct report *r)
{
	struct json *j = json_new_object();

	for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
		json_put(j, lists[i].key, list_to_json(r->plan, lists[i].list));
	if (r->trash)
		json_put_path(j, "trash", r->trash);
	else
		json_put_string(j, "trash", NULL);
	json_put_int(j, "bytes_fetched", (int64_t)r->bytes_fetched);
	json_put_int(j, "duration_ms", r->duration_ms);
	if (r->note)
		json_put_string(j, "note", r->note);
	return j;
}

static void append_line(GString *out, const struct plan_op *op)
{
	g_autofree char *path = path_display(subject(op));

	g_string_append_printf(out, "  %s", path);
	if (op->copy) {
		g_autofree char *copy = path_display(op->copy);

		g_string_append_printf(out, "\n    sandbox's: %s", copy);
	}
	if (*reason(op))
		g_string_append_printf(out, "  (%s)", reason(op));
	g_string_append_c(out, '\n');
}

/* The ".git" that PATH lies in (g_free), or NULL: a repository's own files say
 * little one by one. */
static char *git_dir_of(const char *path)
{
	const char *at = strstr(path, ".git/");

	if (!at || (at != path && at[-1] != '/'))
		return NULL;
	return g_strndup(path, (gsize)(at - path) + strlen(".git"));
}

static bool append_git_line(GString *out, const struct plan_op *op,
	GHashTable *seen)
{
	g_autofree char *dir = git_dir_of(subject(op));

	if (!dir || list_of(op) == PLAN_HELD)
		return false;
	if (g_hash_table_add(seen, g_strdup(dir))) {
		g_autofree char *shown = path_display(dir);

		g_string_append_printf(out,
			"  %s  (its files; --json lists them)\n", shown);
	}
	return true;
}

static void append_list(GString *out, const struct report *r,
	const struct list_name *l)
{
	enum { SHOWN = 30 };
	g_autoptr(GHashTable) seen = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);
	size_t n = 0;

	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);

		if (list_of(op) != l->list)
			continue;
		if (n == 0 && g_hash_table_size(seen) == 0)
			g_string_append_printf(out, "%s:\n", l->title);
		if (append_git_line(out, op, seen))
			continue;
		if (n++ < SHOWN)
			append_line(out, op);
	}
	if (n > SHOWN)
		g_string_append_printf(out, "  … and %zu more (--json lists "
			"all)\n", n - SHOWN);
}

char *report_to_text(const struct report *r, const char *name)
{
	GString *out = g_string_new(NULL);
	int code = report_exit_code(r);

	for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
		append_list(out, r, &lists[i]);
	if (r->note)
		g_string_append_printf(out, "note: %s\n", r->note);
	if (out->len == 0)
		g_string_append(out, "nothing to bring home\n");
	if (code == 4)
		g_string_append_printf(out,
			"Not everything was done; what is left is kept. Look "
			"with `sandmount status %s`, go on with `sandmount "
			"restore %s` (deletions: --allow-deletes).\n",
			name, name);
	else if (plan_list_count(r->plan, PLAN_APPLIED) +
			plan_list_count(r->plan, PLAN_DELETED) +
			plan_list_count(r->plan, PLAN_MERGED))
		g_string_append_printf(out,
			"`sandmount restore %s --undo` puts everything back.\n",
			name);
	return g_string_free(out, FALSE);
}

int report_save(struct session *s, const struct report *r, GError **err)
{
	struct json *j = report_to_json(r);
	g_autofree char *text = json_to_text(j, true);
	g_autofree char *temp = io_temp_name();
	autofd int fd = beneath_open(
		s->dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int ret = fd;

	json_free(j);
	if (ret >= 0)
		ret = io_write_full(fd, text, strlen(text));
	if (ret >= 0 && fsync(fd) < 0)
		ret = -errno;
	if (ret >= 0)
		ret = beneath_rename(
			s->dir_fd, temp, s->dir_fd, "report.json", 0);
	if (ret >= 0)
		return 0;
	beneath_unlink(s->dir_fd, temp, 0);
	return fail_errno(err, ret, "write %s/report.json", s->dir);
}
