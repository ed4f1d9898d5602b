/*
 * The report of a restore as JSON (CLI.md), and the last one on disk.
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
} lists[] = {
	{ PLAN_APPLIED, "applied" }, { PLAN_DELETED, "deleted" },
	{ PLAN_MERGED, "merged" }, { PLAN_CONFLICTS, "conflicts" },
	{ PLAN_HELD, "held" }, { PLAN_KEPT_LOCAL, "kept_local" },
};

void report_free(struct report *r)
{
	if (!r)
		return;
	plan_free(r->plan);
	g_free(r->trash);
	g_free(r->diff);
	json_free(r->offer);
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
	if (r->dry_run)
		json_put_bool(j, "dry_run", true);
	if (r->undo)
		json_put_bool(j, "undo", true);
	return j;
}

struct json *report_load(const char *name)
{
	g_autofree char *dir = session_dir(name);
	g_autofree char *file = g_build_filename(dir, "report.json", NULL);
	g_autofree char *text = NULL;
	gsize len;

	if (!g_file_get_contents(file, &text, &len, NULL))
		return NULL;
	return json_parse(text, len, NULL);
}

int report_save(struct session *s, const struct report *r, GError **err)
{
	struct json *j = report_to_json(r);
	g_autofree char *text = NULL;
	g_autofree char *temp = io_temp_name();
	autofd int fd = beneath_open(
		s->dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int ret = fd;

	json_put_int(j, "exit_code", report_exit_code(r));
	json_put_int(j, "finished_ms", io_wall_ns() / 1000000);
	text = json_to_text(j, true);
	json_free(j);
	if (ret >= 0)
		ret = io_write_full(fd, text, strlen(text));
	if (ret >= 0 && io_sync(fd) < 0)
		ret = -errno;
	if (ret >= 0)
		ret = beneath_rename(
			s->dir_fd, temp, s->dir_fd, "report.json", 0);
	if (ret >= 0)
		return 0;
	beneath_unlink(s->dir_fd, temp, 0);
	return fail_errno(err, ret, "write %s/report.json", s->dir);
}
