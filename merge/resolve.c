/* What needs contents before a plan can be shown or applied. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "merge/apply_internal.h"
#include "merge/git_text.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/reconcile.h"

/* FD's bytes (it is closed), NULL when there are too many or none can be had.
 */
static GBytes *read_all(int fd)
{
	struct stat st;
	GBytes *bytes = NULL;
	char *buf;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size <= TEXT_MERGE_LIMIT) {
		buf = g_malloc((gsize)st.st_size + 1);
		ssize_t n = io_read_full(fd, buf, (size_t)st.st_size + 1);

		if (n >= 0)
			bytes = g_bytes_new_take(buf, (gsize)n);
		else
			g_free(buf);
	}
	close(fd);
	return bytes;
}

static void drop_bytes(GBytes *b)
{
	if (b)
		g_bytes_unref(b);
}

static bool moves_ours(const struct plan_op *op)
{
	return strcmp(op->ours_path, op->path) != 0;
}

/* Their version becomes what `policy` says of a conflict. One that moves ours
 * is left to part_rename(). */
static void become_conflict(struct plan_op *op, const char *why)
{
	g_free(op->why);
	op->why = g_strdup(why);
	if (moves_ours(op))
		return;
	if (op->policy == CONFLICT_OURS) {
		op->action = PLAN_REPORT;
		op->list = PLAN_KEPT_LOCAL;
		op->word = "kept";
		return;
	}
	op->action = PLAN_PUT;
	op->source = PLAN_FROM_THEIRS;
	plan_entry_set(&op->after, &op->theirs);
	if (op->policy == CONFLICT_THEIRS) {
		op->list = PLAN_APPLIED;
		op->word = "written";
		return;
	}
	op->after.mode &= 0666;
	op->list = PLAN_CONFLICTS;
	op->word = "copied";
	op->subject = op->path;
	op->path = g_strdup(op->copy);
	plan_entry_clear(&op->before);
}

static int stage(struct plan_op *op, size_t index, GBytes *merged,
	const struct apply_options *o, GError **err)
{
	gsize n;
	const void *data = g_bytes_get_data(merged, &n);
	g_autofree char *name = g_strdup_printf("merged-%zu", index);
	autofd int fd = -1;
	int r;

	beneath_unlink(o->staging_fd, name, 0);
	fd = beneath_open(
		o->staging_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	r = fd < 0 ? fd : io_write_full(fd, data, n);
	if (r == 0 && !o->no_sync && io_sync(fd) < 0)
		r = -errno;
	if (r < 0)
		return fail_errno(err, r, "keep a merged text");
	op->action = PLAN_PUT;
	op->source = PLAN_FROM_STAGED;
	g_free(op->from);
	op->from = g_steal_pointer(&name);
	op->after.size = (int64_t)n;
	op->after.ino = 0;
	op->after.flags = ENTRY_HASHED;
	digest_bytes(data, n, &op->after.digest);
	g_clear_pointer(&op->copy, g_free);
	return 0;
}

static int merge_texts(struct plan_op *op, size_t index, GBytes *base,
	GBytes *ours, GBytes *theirs, const struct apply_options *o,
	GError **err)
{
	GBytes *merged = NULL;
	int r;

	if (!ours || !theirs) {
		become_conflict(op, "both sides changed it");
		return 0;
	}
	/* A pure rename of theirs: our bytes as they are, text or not. */
	if (digest_equal(&op->theirs.digest, &op->base.digest)) {
		return stage(op, index, ours, o, err);
	}
	if (!base) {
		become_conflict(op, "both sides changed it, and its earlier "
				    "bytes are not kept");
		return 0;
	}
	r = git_text_merge(base, ours, theirs, &merged);
	if (r == GIT_TEXT_MERGED)
		r = stage(op, index, merged, o, err);
	else
		become_conflict(op, r == GIT_TEXT_CONFLICT
				? "both sides changed the same lines"
				: "both sides changed it, and it is no text");
	drop_bytes(merged);
	return r < 0 ? r : 0;
}

static int resolve_merge(struct plan_op *op, size_t index,
	const struct apply_options *o, GError **err)
{
	const struct content *c = o->content;
	GBytes *ours = read_all(
		beneath_open(o->root_fd, op->ours_path, O_RDONLY, 0));
	GBytes *theirs = read_all(
		c->open_theirs(c->ctx, op->from, &op->theirs, NULL));
	GBytes *base = read_all(c->open_base(c->ctx, &op->base.digest));
	int r = merge_texts(op, index, base, ours, theirs, o, err);

	drop_bytes(base);
	drop_bytes(ours);
	drop_bytes(theirs);
	return r;
}

/* OP, which was to carry our change to their new name, could not: theirs comes
 * under its name, and ours stays under the old one. */
static void part_rename(struct plan *p, struct plan_op *op)
{
	for (size_t i = 0; i < plan_count(p); i++) {
		struct plan_op *old = plan_at(p, i);

		if (old->action != PLAN_DELETE ||
			strcmp(old->path, op->ours_path))
			continue;
		old->action = PLAN_REPORT;
		old->list = PLAN_KEPT_LOCAL;
		old->word = "kept";
		g_free(old->why);
		old->why = g_strdup_printf("you changed it, the sandbox "
			"renamed it to %s: %s", op->path, op->why);
	}
	op->action = PLAN_PUT;
	op->source = PLAN_FROM_THEIRS;
	plan_entry_set(&op->after, &op->theirs);
	op->list = PLAN_APPLIED;
	op->word = "created";
	g_clear_pointer(&op->why, g_free);
}

int resolve_plan(struct plan *p, const struct apply_options *o, GError **err)
{
	size_t n = plan_count(p);

	for (size_t i = 0; i < n; i++) {
		struct plan_op *op = plan_at(p, i);
		int r = 0;

		if (op->action == PLAN_MERGE) {
			r = resolve_merge(op, i, o, err);
			if (r == 0 && op->action == PLAN_MERGE)
				part_rename(p, op);
		}
		if (op->action == PLAN_GIT)
			r = resolve_git(p, i, o, err);
		if (r < 0)
			return -EIO;
	}
	resolve_copies(p, o);
	return 0;
}
