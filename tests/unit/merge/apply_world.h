#ifndef TESTS_UNIT_MERGE_APPLY_WORLD_H
#define TESTS_UNIT_MERGE_APPLY_WORLD_H
/*
 * A user's directory, theirs and a trash, a plan with every kind of operation,
 * and what must hold after it. After cmocka.h; shared by test_apply.c and
 * test_apply_kills.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/apply.h"
#include "merge/diff.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/scan.h"

/* --- a world: the user's directory, theirs, the trash ------------------- */

struct world {
	char *dir, *elsewhere;
	int top, root, theirs, trash, staging;
	struct content content;
	struct apply_options o;
};

static int open_theirs(
	void *ctx, const char *path, const struct entry *want, GError **err)
{
	struct world *w = ctx;
	int fd = beneath_open(w->theirs, path, O_RDONLY, 0);

	(void)want;
	if (fd < 0)
		g_set_error(err, g_quark_from_static_string("t"), 1, "gone");
	return fd;
}

static int open_base(void *ctx, const struct digest *digest)
{
	(void)ctx;
	(void)digest;
	return -ENOENT;
}

static int sub(struct world *w, const char *name)
{
	int fd;

	assert_int_equal(beneath_mkdir(w->top, name, 0755), 0);
	fd = beneath_open(w->top, name, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	return fd;
}

static void put(int root, const char *path, const char *text, mode_t mode)
{
	autofd int fd =
		beneath_open(root, path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void fill(struct world *w)
{
	int r = w->root, t = w->theirs;

	assert_int_equal(beneath_mkdir_all(r, "d/empty", 0755), 0);
	assert_int_equal(beneath_mkdir(r, "gone-dir", 0755), 0);
	assert_int_equal(beneath_mkdir(r, "dir-to-file", 0755), 0);
	put(r, "d/file", "old bytes\n", 0644);
	put(r, "file-to-link", "was a file\n", 0600);
	put(r, "file-to-dir", "was a file, too\n", 0644);
	put(r, "gone", "will go\n", 0644);
	put(r, "gone-dir/last", "will go first\n", 0644);
	put(r, "mode", "#!/bin/sh\n", 0644);
	put(r, "untouched", "nobody's business\n", 0644);
	assert_int_equal(beneath_symlink(r, "link-to-file", "d/file"), 0);
	assert_int_equal(beneath_symlink(r, "gone-link", "nowhere"), 0);
	assert_int_equal(beneath_mkdir(t, "d", 0755), 0);
	put(t, "d/file", "new bytes\n", 0755);
	put(t, "new", "brand new\n", 0640);
	put(t, "dir-to-file", "a file now\n", 0644);
	put(t, "link-to-file", "no link any more\n", 0644);
}

/* In memory where that can be had: fsync(2) is not what is tested here. */
static void make_top(struct world *w)
{
	char name[] = "/dev/shm/apply-XXXXXX";

	w->dir = g_strdup(mkdtemp(name));
	if (!w->dir)
		w->dir = g_dir_make_tmp("apply-XXXXXX", NULL);
	assert_non_null(w->dir);
	w->top = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void world_init(struct world *w, bool trash_elsewhere)
{
	*w = (struct world){ 0 };
	make_top(w);
	w->root = sub(w, "root");
	w->theirs = sub(w, "theirs");
	w->trash = sub(w, "trash");
	w->staging = sub(w, "staging");
	if (trash_elsewhere) {
		close(w->trash);
		w->elsewhere = g_dir_make_tmp("trash-XXXXXX", NULL);
		w->trash = open(w->elsewhere, O_RDONLY | O_DIRECTORY);
	}
	fill(w);
	w->content = (struct content){
		.open_theirs = open_theirs,
		.open_base = open_base,
		.ctx = w,
	};
	w->o = (struct apply_options){
		.root_fd = w->root,
		.trash_fd = w->trash,
		.staging_fd = w->staging,
		.id = "t1",
		.name = "box",
		.content = &w->content,
	};
}

static void world_release(struct world *w)
{
	static const char *const subs[] = { "root", "theirs", "trash",
		"staging" };

	for (size_t i = 0; i < G_N_ELEMENTS(subs); i++)
		assert_int_equal(beneath_remove_all(w->top, subs[i]), 0);
	if (w->elsewhere) {
		g_autofree char *name = g_path_get_basename(w->elsewhere);
		g_autofree char *above = g_path_get_dirname(w->elsewhere);
		autofd int fd = open(above, O_RDONLY | O_DIRECTORY);

		assert_int_equal(beneath_remove_all(fd, name), 0);
		g_free(w->elsewhere);
	}
	close(w->root);
	close(w->theirs);
	close(w->trash);
	close(w->staging);
	close(w->top);
	assert_int_equal(rmdir(w->dir), 0);
	g_free(w->dir);
}

static struct manifest *scan(int root)
{
	const struct scan_options o = {
		.hash = SCAN_HASH_CHANGED,
		.threads = 1,
		.keep_temps = true,
	};
	struct manifest *m = NULL;

	assert_int_equal(scan_tree(root, &o, &m, NULL, NULL), 0);
	return m;
}

/* --- the plan ------------------------------------------------------------ */

/* In the order of a plan: creations, then deletions. */
static const struct {
	enum plan_action action;
	const char *path;
	struct entry after; /* a file's is theirs */
} ops[] = {
	{ PLAN_MKDIR, "made", { .type = ENTRY_DIR, .mode = 0750 } },
	{ PLAN_PUT, "made/link", { .type = ENTRY_LINK, .target = "../new" } },
	{ PLAN_PUT, "new", { .type = ENTRY_FILE } },
	{ PLAN_PUT, "d/file", { .type = ENTRY_FILE } },
	{ PLAN_PUT, "file-to-link", { .type = ENTRY_LINK, .target = "new" } },
	{ PLAN_PUT, "link-to-file", { .type = ENTRY_FILE } },
	{ PLAN_PUT, "dir-to-file", { .type = ENTRY_FILE } },
	{ PLAN_MKDIR, "file-to-dir", { .type = ENTRY_DIR, .mode = 0700 } },
	{ PLAN_CHMOD, "mode", { .type = ENTRY_FILE, .mode = 0755 } },
	{ PLAN_REPORT, "untouched", { 0 } },
	{ PLAN_DELETE, "gone", { 0 } },
	{ PLAN_DELETE, "gone-link", { 0 } },
	{ PLAN_DELETE, "gone-dir/last", { 0 } },
	{ PLAN_DELETE, "gone-dir", { 0 } },
};

static struct plan *make_plan(
	const struct manifest *ours, const struct manifest *theirs)
{
	struct plan *p = plan_new();

	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		struct plan_op *op = plan_add(p, ops[i].action, ops[i].path);
		const struct entry *before = manifest_find(ours, ops[i].path);
		const struct entry *t = manifest_find(theirs, ops[i].path);

		op->list = PLAN_APPLIED;
		op->kind = "file";
		if (before)
			plan_entry_set(&op->before, before);
		if (ops[i].action == PLAN_PUT &&
			ops[i].after.type == ENTRY_FILE)
			plan_entry_set(&op->after, t);
		else
			plan_entry_set(&op->after, &ops[i].after);
		if (ops[i].action == PLAN_PUT)
			op->from = g_strdup(ops[i].path);
	}
	return p;
}

/* --- what must hold ------------------------------------------------------- */

static void check_same(const struct manifest *a, const struct manifest *b,
	const char *what, int kill_at)
{
	struct diff d;
	struct diff_step s;

	diff_init(&d, a, b);
	while (diff_next(&d, &s))
		if (diff_what(s.a, s.b) & ~(unsigned)DIFF_MTIME)
			fail_msg("kill %d: %s: %s differs", kill_at, what,
				s.path);
}

/* Every file of BEFORE has its bytes somewhere, in the tree or in the trash. */
static void check_nothing_lost(
	struct world *w, const struct manifest *before, int kill_at)
{
	g_autoptr(manifest_auto) root = scan(w->root);
	g_autoptr(manifest_auto) trash = scan(w->trash);
	const struct manifest *where[] = { root, trash };

	for (size_t i = 0; i < manifest_count(before); i++) {
		const struct entry *e = manifest_at(before, i);
		bool found = e->type != ENTRY_FILE;

		for (size_t k = 0; k < 2 && !found; k++)
			for (size_t j = 0; j < manifest_count(where[k]); j++)
				found |= entry_same_content(
					e, manifest_at(where[k], j));
		if (!found)
			fail_msg("kill %d: %s is lost", kill_at, e->path);
	}
}

static void check_outcomes(const struct plan *p, int kill_at)
{
	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (op->outcome != PLAN_DONE)
			fail_msg("kill %d: %s: outcome %d, %s", kill_at,
				op->path, op->outcome,
				op->error ? op->error : "no error");
		if (op->before.type != ENTRY_ABSENT &&
			op->before.type != ENTRY_DIR &&
			op->action != PLAN_CHMOD && op->action != PLAN_REPORT &&
			!op->trash)
			fail_msg("kill %d: %s: not known where its old "
				 "version is",
				kill_at, op->path);
	}
}

/* After a run that was killed at KILL_AT (or not at all): finish, repeat,
 * undo. AFTER: what an undisturbed run leaves. */
static void finish(struct world *w, const struct manifest *before,
	const struct manifest *after, int kill_at)
{
	g_autoptr(manifest_auto) theirs = scan(w->theirs);
	g_autoptr(plan_auto) plan = make_plan(before, theirs);
	g_autoptr(plan_auto) undone = NULL;

	check_nothing_lost(w, before, kill_at);
	for (int round = 0; round < 2; round++) {
		g_autoptr(manifest_auto) now = NULL;

		assert_int_equal(apply_plan(plan, &w->o, NULL), 0);
		check_outcomes(plan, kill_at);
		now = scan(w->root);
		check_same(now, after, "applied again", kill_at);
	}
	check_nothing_lost(w, before, kill_at);
	assert_int_equal(undo_plan(plan, &w->o, &undone, NULL), 0);
	assert_int_equal(plan_list_count(undone, PLAN_HELD), 0);
	g_autoptr(manifest_auto) back = scan(w->root);

	check_same(back, before, "undone", kill_at);
}

static struct manifest *undisturbed(void)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(plan_auto) plan = NULL;
	struct manifest *after;
	struct world w;

	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	check_outcomes(plan, 0);
	after = scan(w.root);
	world_release(&w);
	return after;
}

#endif
