/*
 * A kill at every system call that changes the disk: whatever it leaves,
 * nothing of the user's is lost, applying again ends where an undisturbed run
 * does, and undo brings everything back. The kill is exact, not timed: a
 * tracer counts the calls of a child.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/merge/apply_world.h"

/* The sanitizers have their run over the same code with fewer kills. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_anywhere),
		cmocka_unit_test(killed_with_the_trash_elsewhere),
		cmocka_unit_test(killed_without_exchange),
		cmocka_unit_test(killed_without_exchange_or_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
