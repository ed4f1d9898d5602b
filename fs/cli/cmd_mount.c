#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

/* An existing empty directory, or made. */
static int make_mountpoint(const char *path, GError **err)
{
	g_autofree char *shown = path_display(path);
	g_autoptr(GDir) dir = NULL;
	g_autoptr(GError) why = NULL;

	if (g_mkdir_with_parents(path, 0755) < 0)
		return fail_errno(err, -errno, "mount point %s", shown);
	dir = g_dir_open(path, 0, &why);
	if (!dir)
		return fail(err, FAIL_LOCAL, "mount point %s: %s", shown,
			why->message);
	if (g_dir_read_name(dir))
		return fail(err, FAIL_LOCAL,
			"mount point %s: is not empty; choose an empty or new "
			"directory", shown);
	return 0;
}

static int check_mountpoint(const char *path, const char *name, GError **err)
{
	g_autofree char *shown = path_display(path);

	switch (mount_kind(path)) {
	case MOUNT_NONE:
		return make_mountpoint(path, err);
	case MOUNT_OURS:
		return fail(err, FAIL_FAILED,
			"mount point %s: a sandbox is mounted there already; "
			"`sandmount umount %s` ends it", shown, shown);
	case MOUNT_OTHER:
		return fail(err, FAIL_FAILED,
			"mount point %s: another file system is mounted there; "
			"choose another directory", shown);
	case MOUNT_DEAD:
		fprintf(stderr, "sandmount: %s was left by a crash; unmounting "
			"it and taking up session %s\n", shown, name);
		return unmount(path, true, err);
	}
	return 0;
}

static char *choose_mountpoint(const char *given, const char *name)
{
	g_autofree char *cwd = g_get_current_dir();

	return given ? g_canonicalize_filename(given, cwd)
		     : g_build_filename(
			       g_get_home_dir(), "sandboxes", name, NULL);
}

/* Waits for the child's word: its exit code and what to print. */
static int wait_until_ready(int fd)
{
	char buf[65536];
	char code = EXIT_FAILED;
	ssize_t n;

	if (io_read_full(fd, &code, 1) != 1) {
		fprintf(stderr, "sandmount: the session's process ended before "
				"the mount was usable; `sandmount log` and "
				"`sandmount status` may tell why\n");
		return EXIT_FAILED;
	}
	n = io_read_full(fd, buf, sizeof(buf) - 1);
	if (n > 0) {
		buf[n] = '\0';
		puts(buf);
	}
	return code;
}

/* Forks before any thread exists; the parent ends when the mount is usable. */
static int run_in_background(struct start *s, const struct mount_options *m,
	const char *mountpoint)
{
	int ready[2];
	pid_t pid;

	fflush(NULL);
	if (pipe2(ready, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "sandmount: cannot start a process: %s\n",
			g_strerror(errno));
		return EXIT_FAILED;
	}
	if (pid > 0) {
		close(ready[1]);
		return wait_until_ready(ready[0]);
	}
	close(ready[0]);
	setsid();
	if (chdir("/") < 0)
		_exit(EXIT_FAILED);
	exit(daemon_run(s, m, mountpoint, ready[1]));
}

int cmd_mount(int argc, char **argv)
{
	struct mount_options m = { 0 };
	struct start s = { 0 };
	g_autoptr(GError) why = NULL;
	g_autofree char *mountpoint = NULL;
	int code = EXIT_FAILED;

	if (mount_options_parse(&m, &argc, &argv, true, &code)) {
		if (start_resolve(&s, &m, argv[1], &why) < 0) {
			code = cli_fail(why);
		} else {
			mountpoint = choose_mountpoint(
				argc > 2 ? argv[2] : NULL, s.name);
			if (check_mountpoint(mountpoint, s.name, &why) < 0)
				code = cli_fail(why);
			else if (m.foreground)
				code = daemon_run(&s, &m, mountpoint, -1);
			else
				code = run_in_background(&s, &m, mountpoint);
		}
	}
	start_release(&s);
	mount_options_release(&m);
	return code;
}
