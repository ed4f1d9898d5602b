/* Every case twice: with openat2, and with the walk that stands in for it; and
 * once more under a filter that refuses openat2 as old kernels do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/beneath.h"
#include "merge/lib/io.h"

struct place {
	char *dir;
	int fd;
};

static struct place make_place(void)
{
	struct place p = { .dir = g_dir_make_tmp("beneath-XXXXXX", NULL) };

	p.fd = open(p.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p.fd >= 0);
	assert_int_equal(beneath_mkdir_all(p.fd, "a/b/c", 0755), 0);
	assert_int_equal(beneath_symlink(p.fd, "a/up", "../.."), 0);
	assert_int_equal(beneath_symlink(p.fd, "abs", "/etc"), 0);
	assert_int_equal(beneath_symlink(p.fd, "inside", "a"), 0);
	int fd = beneath_open(p.fd, "a/f", O_WRONLY | O_CREAT | O_EXCL, 0640);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, "text", 4), 0);
	close(fd);
	return p;
}

static void drop_place(struct place *p)
{
	assert_int_equal(beneath_remove_all(p->fd, "a"), 0);
	beneath_unlink(p->fd, "abs", 0);
	beneath_unlink(p->fd, "inside", 0);
	close(p->fd);
	assert_int_equal(rmdir(p->dir), 0);
	g_free(p->dir);
}

static void check_all(void)
{
	static const struct {
		const char *path;
		int flags, result;
	} rows[] = {
		{ "a/f", O_RDONLY, 0 },
		{ "a/b", O_RDONLY | O_DIRECTORY, 0 },
		{ "", O_RDONLY | O_DIRECTORY, 0 },
		{ "a/none", O_RDONLY, -ENOENT },
		{ "a/f/x", O_RDONLY, -ENOTDIR },
		{ "inside/f", O_RDONLY, -ELOOP },
		{ "abs/passwd", O_RDONLY, -ELOOP },
		{ "a/up/x", O_RDONLY, -ELOOP },
		{ "inside", O_RDONLY, -ELOOP },
		{ "inside", O_RDONLY | O_DIRECTORY, -ELOOP },
		{ "inside", O_PATH, 0 },
		{ "../x", O_RDONLY, -EINVAL },
		{ "/etc", O_RDONLY, -EINVAL },
		{ "a//f", O_RDONLY, -EINVAL },
		{ "a/./f", O_RDONLY, -EINVAL },
		{ "a/", O_RDONLY, -EINVAL },
	};
	struct place p = make_place();
	g_autofree char *target = NULL;
	struct stat st;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		int fd = beneath_open(p.fd, rows[i].path, rows[i].flags, 0);

		if (fd >= 0) {
			close(fd);
			fd = 0;
		}
		if (fd != rows[i].result)
			fail_msg("%s: %d, not %d", rows[i].path, fd,
				rows[i].result);
	}
	assert_int_equal(beneath_stat(p.fd, "inside", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(beneath_readlink(p.fd, "a/up", &target), 0);
	assert_string_equal(target, "../..");
	assert_int_equal(beneath_chmod(p.fd, "abs", 0600), -ELOOP);
	assert_int_equal(beneath_chmod(p.fd, "a/f", 0600), 0);
	assert_int_equal(beneath_stat(p.fd, "a/f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(beneath_set_mtime(p.fd, "inside", 1234567890), 0);
	assert_int_equal(beneath_stat(p.fd, "inside", &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1);
	assert_int_equal(st.st_mtim.tv_nsec, 234567890);
	assert_int_equal(beneath_mkdir(p.fd, "inside/new", 0755), -ELOOP);
	assert_int_equal(beneath_unlink(p.fd, "inside/f", 0), -ELOOP);
	assert_int_equal(
		beneath_rename(p.fd, "a/f", p.fd, "inside/g", 0), -ELOOP);
	assert_int_equal(beneath_rename(p.fd, "a/f", p.fd, "a/b/g", 0), 0);
	assert_int_equal(beneath_mkdir_all(p.fd, "a/b/g", 0755), -ENOTDIR);
	assert_int_equal(beneath_remove_all(p.fd, "a/none/x"), 0);
	drop_place(&p);
}

static void with_openat2(void **state)
{
	(void)state;
	beneath_force_walk(false);
	check_all();
}

static void by_walking(void **state)
{
	(void)state;
	beneath_force_walk(true);
	check_all();
	beneath_force_walk(false);
}

/* A removal never leaves the directory, whatever links are in the way. */
static void removal_stays_inside(void **state)
{
	struct place p = make_place(), other = make_place();

	(void)state;
	assert_int_equal(beneath_symlink(p.fd, "a/b/out", other.dir), 0);
	assert_int_equal(beneath_remove_all(p.fd, "a"), 0);
	struct stat st;

	assert_int_equal(beneath_stat(other.fd, "a/f", &st), 0);
	drop_place(&p);
	drop_place(&other);
}

static void refuse_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = G_N_ELEMENTS(code), .filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(77);
}

/* In a process of its own: the filter and the cached answer stay there. */
static void under_a_filter(void **state)
{
	static const char self[] = "/proc/self/exe";
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		refuse_openat2();
		execl(self, self, "filtered", NULL);
		_exit(78);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_openat2),
		cmocka_unit_test(by_walking),
		cmocka_unit_test(removal_stays_inside),
		cmocka_unit_test(under_a_filter),
	};

	/* The filtered child runs the plain cases only. */
	if (argc > 1 && !strcmp(argv[1], "filtered")) {
		check_all();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
