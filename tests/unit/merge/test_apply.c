/*
 * Every operation of a plan; and a kill at every system call that changes the
 * disk: whatever it leaves, nothing of the user's is lost, applying again ends
 * where an undisturbed run does, and undo brings everything back. The kill is
 * exact, not timed: a tracer counts the calls of a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "merge/apply.h"
#include "merge/diff.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/scan.h"

/* The sanitizers have their run over the same code with fewer kills. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif

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

static void applies_and_undoes(void **state)
{
	g_autoptr(manifest_auto) after = undisturbed();

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		const struct entry *e = manifest_find(after, ops[i].path);

		assert_int_equal(e ? e->type : ENTRY_ABSENT,
			ops[i].action == PLAN_REPORT ? ENTRY_FILE
						     : ops[i].after.type);
	}
	assert_int_equal(manifest_find(after, "mode")->mode, 0755);
	assert_int_equal(manifest_find(after, "d/file")->mode, 0755);
	assert_int_equal(manifest_find(after, "made")->mode, 0750);
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		g_autoptr(manifest_auto) before = NULL;
		struct world w;

		world_init(&w, elsewhere);
		before = scan(w.root);
		finish(&w, before, after, 0);
		world_release(&w);
	}
}

/* --- kills ------------------------------------------------------------------
 */

/* Calls that change the disk; those between leave nothing new. */
static bool changes_disk(const struct __ptrace_syscall_info *i)
{
	switch (i->entry.nr) {
	case SYS_renameat2:
	case SYS_linkat:
	case SYS_unlinkat:
	case SYS_mkdirat:
	case SYS_symlinkat:
	case SYS_write:
	case SYS_pwrite64:
	case SYS_copy_file_range:
	case SYS_ftruncate:
	case SYS_fchmod:
	case SYS_fchmodat:
	case SYS_utimensat:
	case SYS_fsync:
	case SYS_openat2:
		return true;
	default:
		return false;
	}
}

/* What an old or foreign file system refuses. */
enum refuse { REFUSE_NOTHING, REFUSE_EXCHANGE, REFUSE_EXCHANGE_AND_LINKS };

static int refuse(enum refuse what)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, args[4])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, RENAME_EXCHANGE, 0, 3),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			what == REFUSE_EXCHANGE_AND_LINKS ? SYS_linkat : -1, 0,
			1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = G_N_ELEMENTS(code),
		.filter = code,
	};

	if (what == REFUSE_NOTHING)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return -1;
	/* ENOENT from the kernel itself. */
	renameat2(-1, "/none", -1, "/none", RENAME_EXCHANGE);
	return errno == EINVAL ? 0 : -1;
}

static void child(struct world *w, struct plan *plan, enum refuse what)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || refuse(what) != 0)
		_exit(77);
	raise(SIGSTOP);
	_exit(apply_plan(plan, &w->o, NULL) == 0 ? 0 : 1);
}

/* Runs PLAN in a child and kills it at the entry of its KILL_AT-th call that
 * changes the disk. 1: it ended before; -1: it could not be traced. */
static int run_killed(
	struct world *w, struct plan *plan, enum refuse what, int kill_at)
{
	struct __ptrace_syscall_info info;
	int status, count = 0;
	pid_t pid = fork();

	if (pid == 0)
		child(w, plan, what);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 77 ? -1 : -2;
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
		PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status))
			return WEXITSTATUS(status) == 0 ? 1 : -2;
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <=
			0)
			return -1;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY &&
			changes_disk(&info) && ++count == kill_at) {
			kill(pid, SIGKILL);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			return 0;
		}
	}
}

/* A kill at every STEPth call. */
static void kill_everywhere(enum refuse what, bool elsewhere, int step)
{
	g_autoptr(manifest_auto) after = undisturbed();
	int r = 0, kill_at;

	for (kill_at = 1; r == 0; kill_at += step) {
		g_autoptr(manifest_auto) before = NULL;
		g_autoptr(manifest_auto) theirs = NULL;
		g_autoptr(plan_auto) plan = NULL;
		struct world w;

		world_init(&w, elsewhere);
		before = scan(w.root);
		theirs = scan(w.theirs);
		plan = make_plan(before, theirs);
		r = run_killed(&w, plan, what, kill_at);
		if (r >= 0)
			finish(&w, before, after, kill_at);
		world_release(&w);
	}
	if (r == -1) {
		print_message("no ptrace or seccomp here\n");
		skip();
	}
	assert_int_equal(r, 1);
	/* Some ten calls an operation: else nothing was tested. */
	assert_true(kill_at > 60);
}

static void killed_anywhere(void **state)
{
	(void)state;
	kill_everywhere(REFUSE_NOTHING, false, SLOW ? 5 : 1);
}

static void killed_with_the_trash_elsewhere(void **state)
{
	(void)state;
	kill_everywhere(REFUSE_NOTHING, true, SLOW ? 7 : 3);
}

static void killed_without_exchange(void **state)
{
	(void)state;
	kill_everywhere(REFUSE_EXCHANGE, false, SLOW ? 7 : 2);
}

static void killed_without_exchange_or_links(void **state)
{
	(void)state;
	kill_everywhere(REFUSE_EXCHANGE_AND_LINKS, false, SLOW ? 7 : 2);
}

/* --- what changes under it
 * ---------------------------------------------------- */

/* Every target is something else by now: nothing is written but what is the
 * same either way, and what the user made stays. */
static void leaves_what_changed(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(manifest_auto) mine = NULL;
	g_autoptr(manifest_auto) left = NULL;
	g_autoptr(plan_auto) plan = NULL;
	struct world w;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		const struct entry *e = manifest_find(ours, ops[i].path);

		if (ops[i].action == PLAN_MKDIR && !e)
			continue;
		beneath_remove_all(w.root, ops[i].path);
		beneath_mkdir_all(w.root, "made", 0755);
		beneath_mkdir_all(w.root, "gone-dir", 0755);
		put(w.root, ops[i].path, "mine\n", 0600);
		if (!strcmp(ops[i].path, "gone-dir/last"))
			break;
	}
	mine = scan(w.root);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	left = scan(w.root);
	check_same(left, mine, "what the user made", 0);
	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		enum plan_outcome want = PLAN_CHANGED;

		if (!strcmp(ops[i].path, "made") ||
			!strcmp(ops[i].path, "gone-dir") ||
			ops[i].action == PLAN_REPORT)
			want = PLAN_DONE;
		if (plan_at(plan, i)->outcome != want)
			fail_msg("%s: outcome %d", ops[i].path,
				plan_at(plan, i)->outcome);
	}
	world_release(&w);
}

/* Theirs is not what was planned: failed, and nothing touched. */
static void refuses_other_bytes(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(manifest_auto) left = NULL;
	g_autoptr(plan_auto) plan = NULL;
	struct world w;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	put(w.theirs, "d/file", "other!!!!\n", 0755);
	assert_int_equal(beneath_unlink(w.theirs, "new", 0), 0);
	for (size_t i = 0; i < plan_count(plan); i++)
		if (strcmp(plan_at(plan, i)->path, "d/file") &&
			strcmp(plan_at(plan, i)->path, "new"))
			plan_at(plan, i)->outcome = PLAN_DONE;
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	assert_int_equal(plan_at(plan, 2)->outcome, PLAN_FAILED);
	assert_int_equal(plan_at(plan, 3)->outcome, PLAN_FAILED);
	assert_non_null(plan_at(plan, 3)->error);
	left = scan(w.root);
	check_same(left, ours, "after a failure", 0);
	world_release(&w);
}

/* Undo leaves what changed since the restore, and says so. */
static void undo_holds_newer_work(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(plan_auto) plan = NULL;
	g_autoptr(plan_auto) undone = NULL;
	struct stat st;
	struct world w;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	put(w.root, "d/file", "edited after the restore\n", 0755);
	put(w.root, "gone", "here again\n", 0644);
	assert_int_equal(undo_plan(plan, &w.o, &undone, NULL), 0);
	assert_int_equal(plan_list_count(undone, PLAN_HELD), 2);
	assert_int_equal(beneath_stat(w.root, "d/file", &st), 0);
	assert_int_equal(st.st_size, 25);
	assert_int_equal(beneath_stat(w.root, "gone", &st), 0);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(beneath_stat(w.root, "new", &st), -ENOENT);
	world_release(&w);
}

/* Killed after the exchange, and then the user wrote there again: what the
 * exchange took away goes to the trash, and the user's file is left alone. */
static void keeps_the_old_of_a_killed_exchange(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(plan_auto) plan = NULL;
	g_autofree char *temp = NULL;
	char text[16] = "";
	struct stat st;
	struct world w;
	size_t i = 0;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	while (strcmp(plan_at(plan, i)->path, "d/file"))
		i++;
	temp = g_strdup_printf("d/.sandmount-%s-%zu.tmp", w.o.id, i);
	assert_int_equal(
		beneath_rename(w.root, "d/file", w.root, temp, 0), 0);
	put(w.root, "d/file", "the user's\n", 0644);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	assert_int_equal(plan_at(plan, i)->outcome, PLAN_CHANGED);
	assert_int_equal(beneath_stat(w.root, "d/file", &st), 0);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(beneath_stat(w.root, temp, &st), -ENOENT);
	autofd int fd = beneath_open(w.trash, "d/file", O_RDONLY, 0);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 10);
	assert_string_equal(text, "old bytes\n");
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(applies_and_undoes),
		cmocka_unit_test(killed_anywhere),
		cmocka_unit_test(killed_with_the_trash_elsewhere),
		cmocka_unit_test(killed_without_exchange),
		cmocka_unit_test(killed_without_exchange_or_links),
		cmocka_unit_test(leaves_what_changed),
		cmocka_unit_test(keeps_the_old_of_a_killed_exchange),
		cmocka_unit_test(refuses_other_bytes),
		cmocka_unit_test(undo_holds_newer_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
