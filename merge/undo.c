/* Undo of an applied plan, last operation first. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>

#include "merge/apply_internal.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/path.h"

struct undo {
	const struct apply_options *o;
	struct plan *result;
};

static void line(struct undo *u, const struct plan_op *op, bool ok,
	const char *why)
{
	struct plan_op *l = plan_add(u->result, PLAN_REPORT, op->path);

	l->list = ok ? PLAN_APPLIED : PLAN_HELD;
	l->kind = op->kind;
	l->word = ok ? "undone" : "held";
	l->why = g_strdup(why);
	l->outcome = PLAN_DONE;
}

/* The path is still as the restore left it. */
static bool is_untouched(const struct undo *u, const struct plan_op *op)
{
	struct entry want = op->now;

	/* A rename into place changes ctime after `now` was read on some file
	 * systems; the bytes decide where the identity does not. */
	if (op->after.flags & ENTRY_HASHED && want.type == ENTRY_FILE) {
		want.digest = op->after.digest;
		want.flags |= ENTRY_HASHED;
	}
	return is_entry(u->o->root_fd, op->path, &want, true);
}

/* The path is as it was before the restore: an undo that was killed did this
 * one already. */
static bool is_as_before(const struct undo *u, const struct plan_op *op)
{
	return is_entry(u->o->root_fd, op->path, &op->before, true);
}

/* The old version from the trash to beside its place. Of an undo that was
 * killed it may have been there already, and then nowhere else. */
static int fetch_old(struct undo *u, const struct plan_op *op,
	const char *temp)
{
	int r = trash_restore(u->o, op->trash, temp);

	if (r == -EEXIST) {	/* a copy that was cut off */
		r = beneath_remove_all(u->o->root_fd, temp);
		return r < 0 ? r : trash_restore(u->o, op->trash, temp);
	}
	if (r == -ENOENT && is_entry(u->o->root_fd, temp, &op->before, false))
		return 0;
	return r;
}

/* The old version from the trash in place of what is there. */
static int put_back(struct undo *u, const struct plan_op *op, const char *temp)
{
	int r;

	if (!op->trash)
		return -ENOENT;
	r = fetch_old(u, op, temp);
	if (r == 0)
		r = beneath_rename(u->o->root_fd, temp, u->o->root_fd,
			op->path, RENAME_EXCHANGE);
	if (r == -EINVAL)
		return beneath_rename(
			u->o->root_fd, temp, u->o->root_fd, op->path, 0);
	if (r == 0)
		r = beneath_remove_all(u->o->root_fd, temp);
	return r;
}

static int undo_written(struct undo *u, const struct plan_op *op,
	const char *temp)
{
	int root = u->o->root_fd, r;

	if (op->before.type == ENTRY_ABSENT)
		return beneath_unlink(root, op->path, 0);
	if (op->before.type != ENTRY_DIR)
		return put_back(u, op, temp);
	r = beneath_unlink(root, op->path, 0);
	if (r == 0 || r == -ENOENT)
		r = beneath_mkdir(root, op->path, 0700);
	return r < 0 ? r : beneath_chmod(root, op->path,
					op->before.mode & 07777);
}

static int undo_mkdir(struct undo *u, const struct plan_op *op)
{
	int root = u->o->root_fd;
	int r;

	if (op->before.type == ENTRY_DIR)
		return 0;	/* was there before */
	r = beneath_unlink(root, op->path, AT_REMOVEDIR);
	if (r == 0 && op->trash)
		r = trash_restore(u->o, op->trash, op->path);
	return r;
}

static int undo_delete(struct undo *u, const struct plan_op *op)
{
	int root = u->o->root_fd, r;

	if (op->before.type != ENTRY_DIR)
		return op->trash ? trash_restore(u->o, op->trash, op->path)
				 : -ENOENT;
	r = beneath_mkdir(root, op->path, 0700);
	if (r == -EEXIST && !is_entry(root, op->path,
		    &(struct entry){ .type = ENTRY_DIR, .mode = 0700 }, true))
		return 0;
	if (r == -EEXIST)
		r = 0;
	return r < 0 ? r : beneath_chmod(root, op->path,
					op->before.mode & 07777);
}

/* A file that took a directory's place is gone, the directory not made yet. */
static bool is_between(const struct undo *u, const struct plan_op *op)
{
	struct entry none = { .type = ENTRY_ABSENT };

	return op->before.type == ENTRY_DIR &&
		is_entry(u->o->root_fd, op->path, &none, false);
}

static int undo_op(struct undo *u, const struct plan_op *op, size_t index)
{
	g_autofree char *temp = temp_path(u->o, op->path, index);

	if (is_as_before(u, op))
		return beneath_remove_all(u->o->root_fd, temp);
	switch (op->action) {
	case PLAN_PUT:
		return is_untouched(u, op) || is_between(u, op)
			? undo_written(u, op, temp) : -EBUSY;
	case PLAN_MKDIR:
		return undo_mkdir(u, op);
	case PLAN_CHMOD:
		return is_untouched(u, op)
			? beneath_chmod(u->o->root_fd, op->path,
				  op->before.mode & 07777)
			: -EBUSY;
	case PLAN_DELETE:
		return undo_delete(u, op);
	case PLAN_REPORT:
	case PLAN_MERGE:
	case PLAN_GIT:
		return 0;
	}
	return 0;
}

static const char *explain(int r)
{
	switch (r) {
	case -EBUSY:
	case -EEXIST:
	case -ENOTEMPTY:
		return "changed again since the restore; left as it is";
	case -ENOENT:
		return "what the restore left, or the trash, is gone";
	default:
		return g_strerror(-r);
	}
}

int undo_plan(const struct plan *p, const struct apply_options *o,
	struct plan **result, GError **err)
{
	struct undo u = { .o = o, .result = plan_new() };

	for (size_t i = plan_count(p); i-- > 0;) {
		const struct plan_op *op = plan_at(p, i);
		int r;

		if (op->outcome != PLAN_DONE || op->action == PLAN_REPORT ||
			(op->action == PLAN_DELETE &&
				op->list == PLAN_KEPT_LOCAL))
			continue;
		if (o->cancel && *o->cancel) {
			plan_free(u.result);
			return fail(err, FAIL_CANCELLED,
				"undo: interrupted; run it again");
		}
		r = undo_op(&u, op, i);
		if (r == 0)
			sync_parent(o, op->path);
		line(&u, op, r == 0,
			r == 0 ? "as before the restore" : explain(r));
	}
	*result = u.result;
	return 0;
}
