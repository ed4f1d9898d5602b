#include "fs/sync/restore.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "merge/apply.h"
#include "merge/git_text.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

static const char *subject(const struct plan_op *op)
{
	return op->subject ? op->subject : op->path;
}

static bool is_reported(const struct plan *all, const struct plan_op *op)
{
	for (size_t i = 0; i < plan_count(all); i++) {
		const struct plan_op *old = plan_at(all, i);

		if (old->list == op->list && !strcmp(old->path, op->path))
			return true;
	}
	return false;
}

void drop_reported(const struct plan *all, struct plan *plan)
{
	for (guint i = plan->ops->len; i-- > 0;) {
		const struct plan_op *op = plan_at(plan, i);

		if (op->action == PLAN_REPORT && is_reported(all, op))
			g_ptr_array_remove_index(plan->ops, i);
	}
}

void fail_changed(struct plan *plan)
{
	for (size_t i = 0; i < plan_count(plan); i++) {
		struct plan_op *op = plan_at(plan, i);

		if (op->outcome != PLAN_CHANGED)
			continue;
		op->outcome = PLAN_FAILED;
		op->list = PLAN_HELD;
		op->word = "held";
		g_free(op->error);
		op->error = g_strdup("keeps changing; restore again when it "
				     "rests");
		g_free(op->why);
		op->why = g_strdup(op->error);
	}
	plan->incomplete = true;
}

/* The bytes behind FD (closed), or NULL when there are none or too many. */
static GBytes *read_bytes(int fd)
{
	GByteArray *all;
	char buf[65536];
	ssize_t n;

	if (fd < 0)
		return NULL;
	all = g_byte_array_new();
	while (all->len <= TEXT_MERGE_LIMIT &&
		(n = io_read_full(fd, buf, sizeof(buf))) > 0)
		g_byte_array_append(all, (const guint8 *)buf, (guint)n);
	close(fd);
	return g_byte_array_free_to_bytes(all);
}

static int open_new_version(struct restore *r, const struct plan_op *op)
{
	switch (op->source) {
	case PLAN_FROM_THEIRS:
		return r->content.open_theirs(
			r->content.ctx, op->from, &op->after, NULL);
	case PLAN_FROM_OURS:
		return beneath_open(r->local_fd, op->from, O_RDONLY, 0);
	case PLAN_FROM_STAGED:
		return beneath_open(r->staging_fd, op->from, O_RDONLY, 0);
	}
	return -1;
}

static void add_file_diff(struct restore *r, const struct plan_op *op,
	GString *out)
{
	GBytes *old = NULL, *new = NULL;
	g_autofree char *shown = path_display(op->path);
	g_autofree char *a = g_strconcat("a/", shown, NULL);
	g_autofree char *b = g_strconcat("b/", shown, NULL);
	g_autofree char *text = NULL;

	if (op->before.type == ENTRY_FILE)
		old = read_bytes(
			beneath_open(r->local_fd, op->path, O_RDONLY, 0));
	if (op->action == PLAN_PUT && op->after.type == ENTRY_FILE)
		new = read_bytes(open_new_version(r, op));
	if (old || new) {
		text = git_text_diff(old, new, old ? a : "/dev/null",
			new ? b : "/dev/null");
		g_string_append(out, text);
	}
	if (old)
		g_bytes_unref(old);
	if (new)
		g_bytes_unref(new);
}

static void add_link_diff(const struct plan_op *op, GString *out)
{
	g_autofree char *shown = path_display(op->path);
	g_autofree char *target =
		path_display(op->after.target ? op->after.target : "");

	g_string_append_printf(out, "link %s -> %s\n", shown, target);
}

char *restore_diff(struct restore *r)
{
	GString *out = g_string_new(NULL);

	for (size_t i = 0; i < plan_count(r->all); i++) {
		const struct plan_op *op = plan_at(r->all, i);

		if (op->action == PLAN_PUT && op->after.type == ENTRY_LINK)
			add_link_diff(op, out);
		else if (op->action == PLAN_PUT || op->action == PLAN_DELETE)
			add_file_diff(r, op, out);
		else if (op->action == PLAN_CHMOD) {
			g_autofree char *shown = path_display(subject(op));

			g_string_append_printf(out, "mode %04o -> %04o %s\n",
				entry_perm(&op->before),
				entry_perm(&op->after), shown);
		}
	}
	return g_string_free(out, FALSE);
}
