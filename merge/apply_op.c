/*
 * One operation. What a kill leaves at any point is found again by the
 * temporary's name:
 *
 *	target is `before`, temporary exists	our new file, unfinished: redone
 *	target is `after`, temporary exists	the old version: to the trash
 *	target is `after`, no temporary		done; the old version is looked
 *						for in the trash
 */
#include "merge/apply_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

char *temp_path(const struct apply_options *o, const char *path, size_t index)
{
	g_autofree char *dir = path_parent(path);
	g_autofree char *name =
		g_strdup_printf(".sandmount-%s-%zu.tmp", o->id, index);

	return path_join(dir, name);
}

int sync_parent(const struct apply_options *o, const char *path)
{
	const char *name;
	autofd int dir = -1;

	if (o->no_sync)
		return 0;
	dir = beneath_open_parent(o->root_fd, path, &name);
	return dir < 0 ? dir : io_sync_dir(dir);
}

static void failed(struct plan_op *op, int r, const char *what)
{
	op->outcome = PLAN_FAILED;
	g_free(op->error);
	op->error = g_strdup_printf("%s: %s", what, g_strerror(-r));
}

static void changed(struct plan_op *op)
{
	op->outcome = PLAN_CHANGED;
}

static void done(struct plan_op *op, const struct apply_options *o)
{
	plan_entry_clear(&op->now);
	read_entry(o->root_fd, op->path, &op->now);
	op->outcome = PLAN_DONE;
}

static int open_source(struct plan_op *op, const struct apply_options *o,
	GError **err)
{
	int fd = -1;

	switch (op->source) {
	case PLAN_FROM_THEIRS:
		return o->content->open_theirs(
			o->content->ctx, op->from, &op->after, err);
	case PLAN_FROM_OURS:
		fd = beneath_open(o->root_fd, op->from, O_RDONLY, 0);
		break;
	case PLAN_FROM_STAGED:
		fd = beneath_open(o->staging_fd, op->from, O_RDONLY, 0);
		break;
	}
	if (fd < 0)
		fail_errno(err, fd, "open what is to be written");
	return fd;
}

/* The new version of a file as TEMP. */
static int make_file(struct plan_op *op, const struct apply_options *o,
	const char *temp)
{
	g_autoptr(GError) why = NULL;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	struct digest got;
	autofd int from = open_source(op, o, &why);
	autofd int to = -1;
	int r;

	if (from < 0) {
		op->outcome = PLAN_FAILED;
		op->error = g_strdup(why ? why->message : "no content");
		return -EIO;
	}
	to = beneath_open(o->root_fd, temp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return to;
	r = io_copy_file(from, to, &got, NULL);
	if (r < 0)
		return r;
	if ((op->after.flags & ENTRY_HASHED) &&
		!digest_equal(&got, &op->after.digest)) {
		op->outcome = PLAN_FAILED;
		op->error = g_strdup("the sandbox's version changed while it "
				     "was copied; restore again");
		return -EIO;
	}
	times[1].tv_sec = op->after.mtime_ns / 1000000000;
	times[1].tv_nsec = op->after.mtime_ns % 1000000000;
	if (times[1].tv_nsec < 0) {
		times[1].tv_nsec += 1000000000;
		times[1].tv_sec--;
	}
	if (fchmod(to, op->after.mode & 0777) < 0 || futimens(to, times) < 0 ||
		(!o->no_sync && io_sync(to) < 0))
		return -errno;
	return 0;
}

static int make_new(struct plan_op *op, const struct apply_options *o,
	const char *temp)
{
	int r;

	if (op->action == PLAN_MKDIR) {
		r = beneath_mkdir(o->root_fd, temp, 0700);
		return r < 0 ? r : beneath_chmod(o->root_fd, temp,
						op->after.mode & 0777);
	}
	if (op->after.type != ENTRY_LINK)
		return make_file(op, o, temp);
	r = beneath_symlink(o->root_fd, temp, op->after.target);
	return r < 0 ? r : beneath_set_mtime(o->root_fd, temp,
					op->after.mtime_ns);
}

/* The old version, now at TEMP, goes to the trash (an empty directory just
 * goes). */
static int trash_old(struct plan_op *op, const struct apply_options *o,
	const char *temp)
{
	g_autofree char *where = NULL;
	int r;

	if (op->before.type == ENTRY_DIR) {
		r = beneath_unlink(o->root_fd, temp, AT_REMOVEDIR);
		if (r == 0 || r == -ENOENT)
			return 0;
	}
	r = trash_move(o, temp, op->path, &where);
	if (r == 0) {
		g_free(op->trash);
		op->trash = g_steal_pointer(&where);
	}
	return r;
}

/* Done by an earlier run that was killed before it could say where the old
 * version went: undo wants to know. */
static void find_old(struct plan_op *op, const struct apply_options *o)
{
	if (op->trash || op->before.type == ENTRY_ABSENT ||
		op->before.type == ENTRY_DIR)
		return;
	op->trash = trash_find(o, op->path, &op->before);
}

/* Without RENAME_EXCHANGE: the old version goes to the trash first. */
static int replace_plainly(struct plan_op *op, const struct apply_options *o,
	const char *temp)
{
	g_autofree char *where = NULL;
	int r;

	/* An empty directory is not kept, and nothing but one is replaced by
	 * one. */
	if (op->before.type == ENTRY_DIR || op->after.type == ENTRY_DIR) {
		r = op->before.type == ENTRY_DIR
			? beneath_unlink(o->root_fd, op->path, AT_REMOVEDIR)
			: trash_move(o, op->path, op->path, &where);
		if (r < 0)
			return r == -ENOTEMPTY ? 1 : r;
	} else {
		g_autofree char *old = trash_find(o, op->path, &op->before);

		/* A killed run may have kept it already. */
		if (old)
			where = g_steal_pointer(&old);
		r = where ? 0 : trash_keep(o, op->path, &where);
		if (r < 0)
			return r;
		/* Written between the look and the copy. */
		if (!is_entry(o->trash_fd, where, &op->before, false))
			return 1;
	}
	g_free(op->trash);
	op->trash = g_steal_pointer(&where);
	return beneath_rename(o->root_fd, temp, o->root_fd, op->path, 0);
}

/* The exchange is taken back, as R says why. Should even that fail, what is at
 * TEMP is the only copy of the user's file: it stays, and is named. */
static int exchange_back(struct plan_op *op, const struct apply_options *o,
	const char *temp, int r)
{
	int back = beneath_rename(
		o->root_fd, temp, o->root_fd, op->path, RENAME_EXCHANGE);
	g_autofree char *shown = path_display(temp);

	if (back == 0)
		return r;
	op->outcome = PLAN_FAILED;
	g_free(op->error);
	op->error = g_strdup_printf("could not be put back (%s): your "
		"version is %s", g_strerror(-back), shown);
	return -ENOTRECOVERABLE;
}

static bool is_absent(const struct apply_options *o, const char *path)
{
	const struct entry none = { 0 };

	return is_entry(o->root_fd, path, &none, false);
}

/* Where the old version had to go first (replace_plainly()) and a kill came
 * before the new one: the place is as empty as we left it. */
static bool was_cleared(struct plan_op *op, const struct apply_options *o)
{
	if (!is_absent(o, op->path))
		return false;
	find_old(op, o);
	return op->trash || op->before.type == ENTRY_DIR;
}

/* TEMP takes the place of `before`. 1: it is no longer that.
 * -ENOTRECOVERABLE: TEMP must stay. */
static int publish(struct plan_op *op, const struct apply_options *o,
	const char *temp)
{
	int r;

	if (op->before.type == ENTRY_ABSENT || was_cleared(op, o)) {
		r = beneath_rename(o->root_fd, temp, o->root_fd, op->path,
			RENAME_NOREPLACE);
		if (r == -EINVAL && is_absent(o, op->path))
			r = beneath_rename(
				o->root_fd, temp, o->root_fd, op->path, 0);
		return r == -EEXIST ? 1 : r;
	}
	if (!is_entry(o->root_fd, op->path, &op->before, false))
		return 1;
	r = beneath_rename(
		o->root_fd, temp, o->root_fd, op->path, RENAME_EXCHANGE);
	if (r == -EINVAL)
		return replace_plainly(op, o, temp);
	if (r == -ENOENT)
		return 1;
	if (r < 0)
		return r;
	/* Somebody may have written between the look and the exchange. */
	if (!is_entry(o->root_fd, temp, &op->before, false))
		return exchange_back(op, o, temp, 1);
	r = trash_old(op, o, temp);
	/* Never without the old version in the trash. */
	return r < 0 ? exchange_back(op, o, temp, r) : 0;
}

static bool is_after(const struct plan_op *op, const struct apply_options *o)
{
	struct entry want = op->after;

	want.ino = 0;	/* their identity, not ours */
	return is_entry(o->root_fd, op->path, &want, true);
}

static int parent_missing(const struct apply_options *o, const char *path)
{
	g_autofree char *dir = path_parent(path);

	return *dir ? beneath_mkdir_all(o->root_fd, dir, 0755) : 0;
}

/* What OP makes is there already, perhaps by a run that was killed: the old
 * version may still have to leave the temporary name. */
static void finish(struct plan_op *op, size_t index,
	const struct apply_options *o)
{
	g_autofree char *temp = temp_path(o, op->path, index);
	struct stat st;
	int r = beneath_stat(o->root_fd, temp, &st) < 0 ? 0
		: op->before.type == ENTRY_ABSENT
		? beneath_remove_all(o->root_fd, temp)
		: trash_old(op, o, temp);

	if (r < 0) {
		failed(op, r, "move the old version to the trash");
		return;
	}
	find_old(op, o);
	done(op, o);
}

/* A temporary that a killed run left is in the way: unfinished, or the old
 * version, when the target was written again after the exchange. */
static int clear_temp(struct plan_op *op, const struct apply_options *o,
	const char *temp)
{
	struct stat st;

	if (beneath_stat(o->root_fd, temp, &st) < 0)
		return 0;
	return op->before.type != ENTRY_ABSENT &&
			is_entry(o->root_fd, temp, &op->before, false)
		? trash_old(op, o, temp)
		: beneath_remove_all(o->root_fd, temp);
}

static void apply_put(struct plan_op *op, size_t index,
	const struct apply_options *o)
{
	g_autofree char *temp = temp_path(o, op->path, index);
	int r;

	if (is_after(op, o)) {
		finish(op, index, o);
		return;
	}
	r = clear_temp(op, o, temp);
	if (r < 0) {
		failed(op, r, "move the old version to the trash");
		return;
	}
	if (!is_entry(o->root_fd, op->path, &op->before, false) &&
		!was_cleared(op, o)) {
		changed(op);
		return;
	}
	r = parent_missing(o, op->path);
	if (r == 0)
		r = make_new(op, o, temp);
	if (r == 0)
		r = publish(op, o, temp);
	if (r != 0 && r != -ENOTRECOVERABLE)
		beneath_remove_all(o->root_fd, temp);
	if (r == 0)
		r = sync_parent(o, op->path);
	if (r == 1)
		changed(op);
	else if (r == 0)
		done(op, o);
	else if (op->outcome != PLAN_FAILED)
		failed(op, r, "write");
}

/* In place, for a merge that is not finished after a kill: a directory that
 * appears by a rename shows watchers something else. */
static void mkdir_plainly(struct plan_op *op, const struct apply_options *o)
{
	int r = parent_missing(o, op->path);

	if (r == 0)
		r = beneath_mkdir(o->root_fd, op->path, 0700);
	if (r == 0)
		r = beneath_chmod(
			o->root_fd, op->path, op->after.mode & 0777);
	if (r == -EEXIST)
		changed(op);
	else if (r < 0)
		failed(op, r, "create the directory");
	else
		done(op, o);
}

static void apply_mkdir(struct plan_op *op, size_t index,
	const struct apply_options *o)
{
	struct entry dir = { .type = ENTRY_DIR };

	if (!is_entry(o->root_fd, op->path, &dir, false)) {
		if (op->before.type == ENTRY_ABSENT && o->no_sync)
			mkdir_plainly(op, o);
		else
			apply_put(op, index, o);
		return;
	}
	/* One that is there already is as good, whatever its mode. */
	finish(op, index, o);
}

static void apply_chmod(struct plan_op *op, const struct apply_options *o)
{
	int r;

	if (!is_entry(o->root_fd, op->path, &op->before, false)) {
		changed(op);
		return;
	}
	r = beneath_chmod(o->root_fd, op->path, op->after.mode & 0777);
	if (r < 0)
		failed(op, r, "set its permissions");
	else
		done(op, o);
}

static void delete_dir(struct plan_op *op, const struct apply_options *o)
{
	int r = beneath_unlink(o->root_fd, op->path, AT_REMOVEDIR);

	if (r == -ENOTEMPTY || r == -EEXIST) {
		op->list = PLAN_KEPT_LOCAL;
		op->word = "kept";
		g_free(op->why);
		op->why = g_strdup("still holds files that are not part of "
				   "the workspace");
	} else if (r < 0 && r != -ENOENT) {
		failed(op, r, "remove the directory");
		return;
	}
	done(op, o);
}

static void apply_delete(struct plan_op *op, const struct apply_options *o)
{
	g_autofree char *where = NULL;
	struct entry none = { 0 };
	int r;

	if (op->before.type == ENTRY_DIR) {
		delete_dir(op, o);
		return;
	}
	if (is_entry(o->root_fd, op->path, &none, false)) {
		find_old(op, o);
		done(op, o);
		return;
	}
	if (!is_entry(o->root_fd, op->path, &op->before, false)) {
		changed(op);
		return;
	}
	r = trash_move(o, op->path, op->path, &where);
	if (r < 0) {
		failed(op, r, "move to the trash");
		return;
	}
	/* Written between the look and the move: back with it. */
	if (!is_entry(o->trash_fd, where, &op->before, false) &&
		trash_restore(o, where, op->path) == 0) {
		changed(op);
		return;
	}
	g_free(op->trash);
	op->trash = g_steal_pointer(&where);
	r = sync_parent(o, op->path);
	if (r < 0)
		failed(op, r, "remove");
	else
		done(op, o);
}

int apply_op(struct plan_op *op, size_t index, const struct apply_options *o,
	GError **err)
{
	switch (op->action) {
	case PLAN_REPORT:
		op->outcome = PLAN_DONE;
		break;
	case PLAN_MKDIR:
		apply_mkdir(op, index, o);
		break;
	case PLAN_PUT:
		apply_put(op, index, o);
		break;
	case PLAN_CHMOD:
		apply_chmod(op, o);
		break;
	case PLAN_DELETE:
		apply_delete(op, o);
		break;
	case PLAN_MERGE:
	case PLAN_GIT:
		return fail(err, FAIL_FAILED,
			"internal: a plan was applied unresolved");
	}
	return 0;
}
