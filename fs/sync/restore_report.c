#include "fs/sync/restore.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "merge/apply.h"
#include "merge/git_diff.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

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

GBytes *restore_old_bytes(struct restore *r, const struct plan_op *op)
{
	if (op->before.type == ENTRY_LINK)
		return g_bytes_new(op->before.target,
			strlen(op->before.target));
	if (op->before.type == ENTRY_FILE)
		return read_bytes(
			beneath_open(r->local_fd, op->path, O_RDONLY, 0));
	return NULL;
}

GBytes *restore_new_bytes(struct restore *r, const struct plan_op *op)
{
	if (op->action == PLAN_CHMOD)
		return restore_old_bytes(r, op);
	if (op->action != PLAN_PUT)
		return NULL;
	if (op->after.type == ENTRY_LINK)
		return g_bytes_new(op->after.target, strlen(op->after.target));
	return op->after.type == ENTRY_FILE
		? read_bytes(open_new_version(r, op)) : NULL;
}

GBytes *restore_their_bytes(struct restore *r, const char *path)
{
	return read_bytes(
		r->content.open_theirs(r->content.ctx, path, NULL, NULL));
}

/* git knows two modes of a file; other bits are shown where only they
 * change. */
static unsigned mode_of(const struct entry *e, bool exact)
{
	if (e->type == ENTRY_LINK)
		return 0120000;
	if (exact)
		return 0100000 | entry_perm(e);
	return entry_perm(e) & 0100 ? 0100755 : 0100644;
}

static void add_diff(struct restore *r, const struct plan_op *op, GString *out)
{
	bool exact = op->action == PLAN_CHMOD &&
		mode_of(&op->before, false) == mode_of(&op->after, false);
	struct git_side a = { restore_old_bytes(r, op), mode_of(&op->before, exact) };
	struct git_side b = { restore_new_bytes(r, op), mode_of(&op->after, exact) };
	g_autofree char *text = git_diff_path(op->path, &a, &b);

	g_string_append(out, text);
	if (a.bytes)
		g_bytes_unref(a.bytes);
	if (b.bytes)
		g_bytes_unref(b.bytes);
}

static bool is_in_git(const char *path)
{
	return g_str_has_prefix(path, ".git/") || strstr(path, "/.git/");
}

char *restore_diff(struct restore *r)
{
	enum { DIFF_LIMIT = 32 << 20 };
	GString *out = g_string_new(NULL);
	size_t git = 0, cut = 0;

	for (size_t i = 0; i < plan_count(r->all); i++) {
		const struct plan_op *op = plan_at(r->all, i);

		if (op->action != PLAN_PUT && op->action != PLAN_DELETE &&
			op->action != PLAN_CHMOD)
			continue;
		if (is_in_git(op->path))
			git++;
		else if (out->len > DIFF_LIMIT)
			cut++;
		else
			add_diff(r, op, out);
	}
	if (git)
		g_string_append_printf(out, "In repositories (.git): %zu "
			"file%s\n", git, git == 1 ? "" : "s");
	if (cut)
		g_string_append_printf(out, "Not shown, as the diff is so "
			"long: %zu file%s\n", cut, cut == 1 ? "" : "s");
	return g_string_free(out, FALSE);
}
