/*
 * Settling a conflict that a restore left in the local directory: two small
 * plans, carried out like a restore's, under its lock and journal and with the
 * old version in a trash of its own. First what is to stay is put in place;
 * only when that is done the copy goes. Killed between, the conflict is still
 * there to be settled; killed within, the next restore finishes the plan.
 */
#include "fs/sync/conflicts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/state.h"
#include "fs/sync/restore.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

/* PATH as it is now, a file with its digest; type ABSENT: nothing. The target
 * is the caller's. */
static int look_at(int root, const char *path, struct entry *e)
{
	struct stat st;
	int r = beneath_stat(root, path, &st);

	*e = (struct entry){ .path = path };
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	entry_from_stat(e, &st);
	e->path = path;
	if (e->type == ENTRY_LINK)
		return beneath_readlink(root, path, (char **)&e->target);
	if (e->type == ENTRY_FILE)
		return scan_hash_file(root, e);
	return e->type == ENTRY_DIR ? 0 : -EINVAL;
}

/* Everything below the directory DIR; paths are relative to it. */
static int look_below(int root, const char *dir, struct manifest **out,
	GError **err)
{
	struct scan_options o = { .hash = SCAN_HASH_CHANGED };
	autofd int fd = beneath_open(root, dir, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fail_errno(err, fd, "conflicts: open a directory");
	return scan_tree(fd, &o, out, NULL, err);
}

static void add_delete(struct plan *p, const char *path,
	const struct entry *was)
{
	struct plan_op *op = plan_add(p, PLAN_DELETE, path);

	plan_entry_set(&op->before, was);
	op->list = PLAN_DELETED;
	op->kind = was->type == ENTRY_DIR ? "dir"
		: was->type == ENTRY_LINK ? "link" : "file";
	op->word = "deleted";
}

/* PATH and all below go, children first. */
static int delete_tree(struct plan *p, int root, const char *path, GError **err)
{
	g_autoptr(manifest_auto) below = NULL;
	struct entry e;
	int r = look_at(root, path, &e);

	if (r == 0 && e.type == ENTRY_DIR)
		r = look_below(root, path, &below, err);
	for (size_t i = below ? manifest_count(below) : 0; i-- > 0;) {
		const struct entry *child = manifest_at(below, i);
		g_autofree char *full = path_join(path, child->path);

		add_delete(p, full, child);
	}
	if (r == 0 && e.type != ENTRY_ABSENT)
		add_delete(p, path, &e);
	g_free((char *)e.target);
	return r;
}

static struct plan_op *add_put(struct plan *p, const char *path,
	const char *from, const struct entry *after)
{
	struct plan_op *op = plan_add(p,
		after->type == ENTRY_DIR ? PLAN_MKDIR : PLAN_PUT, path);

	plan_entry_set(&op->after, after);
	op->after.ino = 0;
	op->source = PLAN_FROM_OURS;
	op->from = g_strdup(from);
	op->list = PLAN_APPLIED;
	op->word = "written";
	return op;
}

/* What is at COPY is to be at PATH, too. */
static int put_copy_in_place(struct plan *p, int root,
	const struct conflict *c, GError **err)
{
	g_autoptr(manifest_auto) below = NULL;
	struct entry ours = { 0 }, copy = { 0 };
	struct plan_op *op;
	int r = look_at(root, c->copy, &copy);

	if (r == 0)
		r = copy.type == ENTRY_ABSENT ? -ENOENT
					      : look_at(root, c->path, &ours);
	if (r == 0 && ours.type == ENTRY_DIR) {
		r = delete_tree(p, root, c->path, err);
		ours.type = ENTRY_ABSENT;
	}
	if (r == 0 && copy.type == ENTRY_DIR)
		r = look_below(root, c->copy, &below, err);
	if (r == 0) {
		op = add_put(p, c->path, c->copy, &copy);
		plan_entry_set(&op->before,
			ours.type == ENTRY_ABSENT ? NULL : &ours);
		/* Copies have lost the right to run. */
		if (ours.type == ENTRY_FILE && copy.type == ENTRY_FILE)
			op->after.mode = ours.mode;
	}
	for (size_t i = 0; r == 0 && below && i < manifest_count(below); i++) {
		const struct entry *child = manifest_at(below, i);
		g_autofree char *to = path_join(c->path, child->path);
		g_autofree char *from = path_join(c->copy, child->path);

		add_put(p, to, from, child);
	}
	g_free((char *)ours.target);
	g_free((char *)copy.target);
	return r;
}

/* Q->merged is to be at PATH, if that still is what was merged. */
static int put_merged_in_place(struct plan *p, struct restore *r,
	const struct conflict *c, const struct resolve_request *q, GError **err)
{
	struct entry ours = { 0 }, made;
	char hex[DIGEST_HEX_LEN + 1] = "";
	struct plan_op *op;
	autofd int in = -1, out = -1;
	int e = look_at(r->local_fd, c->path, &ours);

	if (e < 0 || ours.type != ENTRY_FILE) {
		g_free((char *)ours.target);
		return e < 0 ? e : -ESTALE;
	}
	digest_to_hex(&ours.digest, hex);
	if (g_strcmp0(q->merged_of, hex))
		return -ESTALE;
	in = open(q->merged, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return fail_errno(err, -errno, "conflicts: open the merged "
				  "text");
	beneath_unlink(r->staging_fd, "merged", 0);
	out = beneath_open(r->staging_fd, "merged",
		O_RDWR | O_CREAT | O_EXCL, 0600);
	made = ours;
	made.flags = ENTRY_HASHED;
	made.mtime_ns = io_wall_ns();
	e = out < 0 ? out : io_copy_file(in, out, &made.digest, NULL);
	if (e == 0)
		e = io_sync(out) < 0 ? -errno : 0;
	if (e < 0)
		return e;
	made.size = lseek(out, 0, SEEK_END);
	op = add_put(p, c->path, "merged", &made);
	op->source = PLAN_FROM_STAGED;
	plan_entry_set(&op->before, &ours);
	return 0;
}

static int carry_out(struct restore *r, struct plan *p, GError **err)
{
	struct apply_options o = restore_apply_options(r);

	if (state_save_plan(r->s->state, "restore", p, err) < 0 ||
		restore_apply(r, p, &o, err) < 0 ||
		state_drop_plan(r->s->state, "restore", err) < 0)
		return -EIO;
	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->outcome != PLAN_DONE)
			return -ESTALE;
	return 0;
}

static int settle(struct restore *r, const struct conflict *c,
	const struct resolve_request *q, GError **err)
{
	g_autoptr(plan_auto) put = plan_new();
	g_autoptr(plan_auto) drop = plan_new();
	int e = 0;

	if (q->take == TAKE_SANDBOX)
		e = put_copy_in_place(put, r->local_fd, c, err);
	else if (q->merged)
		e = put_merged_in_place(put, r, c, q, err);
	if (e == 0 && plan_count(put))
		e = carry_out(r, put, err);
	if (e == 0)
		e = delete_tree(drop, r->local_fd, c->copy, err);
	return e < 0 ? e : carry_out(r, drop, err);
}

int conflicts_settle_home(struct session *s, const struct conflict *c,
	const struct resolve_request *q, GError **err)
{
	const struct restore_options none = { 0 };
	struct restore r = {
		.s = s, .o = &none, .local_fd = -1, .trash_fd = -1,
		.staging_fd = -1,
	};
	g_autofree char *shown = path_display(c->path);
	g_autoptr(GError) why = NULL;
	int e = restore_lock_local(&r, &why);

	if (e == 0)
		e = restore_choose_id(&r, &why);
	if (e == 0 && (r.interrupted || r.replaced))
		e = fail(&why, FAIL_PENDING,
			"conflicts: %s: %s; run `sandmount restore %s` first",
			shown, r.replaced ? "the local directory is another one"
					  : "a restore was interrupted",
			s->name);
	if (e == 0)
		e = restore_open_dirs(&r, &why);
	if (e == 0)
		e = settle(&r, c, q, &why);
	if (e < 0 && !why)
		fail(&why, FAIL_FAILED, "conflicts: %s: %s; look at it again",
			shown, e == -ESTALE || e == -EAGAIN
				? "it changed meanwhile" : g_strerror(-e));
	restore_close_dirs(&r);
	restore_release(&r);
	if (!why)
		return 0;
	g_propagate_error(err, g_steal_pointer(&why));
	return -EIO;
}
