/*
 * openat2(2) does the work where it can; else the walk below opens one
 * component at a time with O_NOFOLLOW | O_DIRECTORY. Every other operation is
 * an *at() call in the parent directory that one of the two has opened.
 */
#include "merge/lib/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/lib/reach.h"

/* The cached answer: 0 not asked, 1 openat2 works, -1 it does not. */
static int openat2_works;
static int walk_forced;

void beneath_force_walk(bool on)
{
	__atomic_store_n(&walk_forced, on, __ATOMIC_RELAXED);
}

static bool may_use_openat2(void)
{
	return !__atomic_load_n(&walk_forced, __ATOMIC_RELAXED) &&
		__atomic_load_n(&openat2_works, __ATOMIC_RELAXED) >= 0;
}

static int check(const char *path)
{
	return *path ? path_check(path, strlen(path)) : 0;
}

/* -ENOSYS when the kernel or a filter does not let us use it. */
static int open_by_kernel(int root, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags,
		.mode = (flags & (O_CREAT | __O_TMPFILE)) ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	if (fd >= 0) {
		__atomic_store_n(&openat2_works, 1, __ATOMIC_RELAXED);
		return (int)fd;
	}
	if (errno == ENOSYS ||
		(errno == EPERM &&
			!__atomic_load_n(&openat2_works, __ATOMIC_RELAXED))) {
		__atomic_store_n(&openat2_works, -1, __ATOMIC_RELAXED);
		return -ENOSYS;
	}
	return -errno;
}

static int open_dir_at(int dir, const char *name)
{
	int fd = openat(dir, name,
		O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	/* A link gives ENOTDIR here; openat2 says ELOOP. */
	if (fd < 0 && errno == ENOTDIR) {
		struct stat st;

		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISLNK(st.st_mode))
			return -ELOOP;
		return -ENOTDIR;
	}
	return fd < 0 ? -errno : fd;
}

/* Opens the directory of PATH's last component by walking; *NAME is it. */
static int walk_to_parent(int root, const char *path, const char **name)
{
	autofd int dir = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char part[NAME_LIMIT + 1];
	const char *slash;

	if (dir < 0)
		return -errno;
	while ((slash = strchr(path, '/'))) {
		size_t len = (size_t)(slash - path);
		int next;

		memcpy(part, path, len);
		part[len] = '\0';
		next = open_dir_at(dir, part);
		if (next < 0)
			return next;
		close(dir);
		dir = next;
		path = slash + 1;
	}
	*name = path;
	return steal_fd(&dir);
}

static int open_by_walk(int root, const char *path, int flags, mode_t mode)
{
	const char *name;
	autofd int dir = walk_to_parent(root, path, &name);
	int fd;

	if (dir < 0)
		return dir;
	fd = openat(dir, *name ? name : ".", flags, mode);
	if (fd < 0 && errno == ENOTDIR && (flags & O_DIRECTORY)) {
		struct stat st;

		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISLNK(st.st_mode))
			return -ELOOP;
		return -ENOTDIR;
	}
	return fd < 0 ? -errno : fd;
}

/* What O_DIRECTORY makes of a final link differs: it is always -ELOOP here. */
static int name_final_link(int root, const char *path, int r, int flags)
{
	struct stat st;

	if (r == -ENOTDIR && (flags & O_DIRECTORY) && *path &&
		beneath_stat(root, path, &st) == 0 && S_ISLNK(st.st_mode))
		return -ELOOP;
	return r;
}

/* A path that no system call takes. */
static int open_far(int root, const char *path, int flags, mode_t mode)
{
	autoreach struct reach at = REACH_NONE;
	int r = reach_path(&at, root, path);

	return r < 0 ? r : beneath_open(at.dir, at.path, flags, mode);
}

int beneath_open(int root, const char *path, int flags, mode_t mode)
{
	int r = check(path);

	if (r < 0)
		return r;
	if (strlen(path) >= PATH_MAX)
		return open_far(root, path, flags, mode);
	flags |= O_CLOEXEC | O_NOFOLLOW;
	if (may_use_openat2()) {
		/* RESOLVE_NO_SYMLINKS refuses a final link even with O_PATH:
		 * then the parent is opened that way and the link by name. */
		if (!(flags & O_PATH) || !*path) {
			r = open_by_kernel(
				root, *path ? path : ".", flags, mode);
			if (r != -ENOSYS)
				return name_final_link(root, path, r, flags);
		} else {
			const char *name;
			autofd int dir = beneath_open_parent(root, path, &name);

			if (dir < 0)
				return dir;
			r = openat(dir, name, flags, mode);
			return r < 0 ? -errno : r;
		}
	}
	return open_by_walk(root, path, flags, mode);
}

int beneath_open_parent(int root, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	g_autofree char *parent = NULL;
	int r = check(path);

	if (r < 0 || !*path)
		return r < 0 ? r : -EINVAL;
	parent = slash ? g_strndup(path, (gsize)(slash - path))
		       : g_strdup("");
	r = beneath_open(root, parent, O_RDONLY | O_DIRECTORY, 0);
	/* A directory without read permission can still be passed through. */
	if (r == -EACCES) {
		const char *last;
		autofd int above = walk_to_parent(root, path, &last);

		r = above < 0 ? above : steal_fd(&above);
	}
	if (r >= 0)
		*name = slash ? slash + 1 : path;
	return r;
}

int beneath_stat(int root, const char *path, struct stat *st)
{
	const char *name;
	autofd int dir = -1;

	if (!*path)
		return fstat(root, st) < 0 ? -errno : 0;
	dir = beneath_open_parent(root, path, &name);
	if (dir < 0)
		return dir;
	return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int beneath_readlink(int root, const char *path, char **target)
{
	char buf[PATH_MAX + 1];
	const char *name;
	autofd int dir = beneath_open_parent(root, path, &name);
	ssize_t n;

	if (dir < 0)
		return dir;
	n = readlinkat(dir, name, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	if (n == (ssize_t)sizeof(buf))
		return -ENAMETOOLONG;
	*target = g_strndup(buf, (gsize)n);
	return 0;
}

int beneath_mkdir(int root, const char *path, mode_t mode)
{
	const char *name;
	autofd int dir = beneath_open_parent(root, path, &name);

	if (dir < 0)
		return dir;
	failpoint("mkdir");
	return mkdirat(dir, name, mode) < 0 ? -errno : 0;
}

int beneath_mkdir_all(int root, const char *path, mode_t mode)
{
	g_autofree char *copy = g_strdup(path);
	struct stat st;
	int r = check(path);

	for (char *p = copy; r == 0 && *copy; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		r = beneath_mkdir(root, copy, mode);
		if (r == -EEXIST)
			r = beneath_stat(root, copy, &st);
		if (r == 0 && c == '\0')
			break;
		*p = c;
	}
	if (r == 0 && *path) {
		r = beneath_stat(root, path, &st);
		if (r == 0 && !S_ISDIR(st.st_mode))
			r = -ENOTDIR;
	}
	return r;
}

int beneath_symlink(int root, const char *path, const char *target)
{
	const char *name;
	autofd int dir = beneath_open_parent(root, path, &name);

	if (dir < 0)
		return dir;
	failpoint("symlink");
	return symlinkat(target, dir, name) < 0 ? -errno : 0;
}

int beneath_unlink(int root, const char *path, int flags)
{
	const char *name;
	autofd int dir = beneath_open_parent(root, path, &name);

	if (dir < 0)
		return dir;
	failpoint("unlink");
	return unlinkat(dir, name, flags) < 0 ? -errno : 0;
}

int beneath_rename(int from_root, const char *from, int to_root,
	const char *to, unsigned flags)
{
	const char *from_name, *to_name;
	autofd int from_dir = beneath_open_parent(from_root, from, &from_name);
	autofd int to_dir = -1;
	int r;

	if (from_dir < 0)
		return from_dir;
	to_dir = beneath_open_parent(to_root, to, &to_name);
	if (to_dir < 0)
		return to_dir;
	failpoint("rename");
	r = renameat2(from_dir, from_name, to_dir, to_name, flags) < 0
		? -errno : 0;
	failpoint("renamed");
	return r;
}

int beneath_link(int from_root, const char *from, int to_root, const char *to)
{
	const char *from_name, *to_name;
	autofd int from_dir = beneath_open_parent(from_root, from, &from_name);
	autofd int to_dir = -1;

	if (from_dir < 0)
		return from_dir;
	to_dir = beneath_open_parent(to_root, to, &to_name);
	if (to_dir < 0)
		return to_dir;
	failpoint("link");
	return linkat(from_dir, from_name, to_dir, to_name, 0) < 0 ? -errno : 0;
}

int beneath_chmod(int root, const char *path, mode_t mode)
{
	char proc[64];
	struct stat st;
	autofd int fd = beneath_open(root, path, O_PATH, 0);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	/* fchmod refuses O_PATH; through /proc it is the same file. */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	failpoint("chmod");
	return chmod(proc, mode & 07777) < 0 ? -errno : 0;
}

int beneath_set_mtime(int root, const char *path, int64_t mtime_ns)
{
	const char *name;
	autofd int dir = beneath_open_parent(root, path, &name);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	if (dir < 0)
		return dir;
	times[1].tv_sec = mtime_ns / 1000000000;
	times[1].tv_nsec = mtime_ns % 1000000000;
	if (times[1].tv_nsec < 0) {
		times[1].tv_nsec += 1000000000;
		times[1].tv_sec--;
	}
	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
								     : 0;
}

/* Opens a directory for removal of what is in it. */
static int open_for_removal(int dir, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags);

	if (fd < 0 && errno == EACCES &&
		fchmodat(dir, name, 0700, 0) == 0)
		fd = openat(dir, name, flags);
	return fd < 0 ? -errno : fd;
}

static int remove_at(int dir, const char *name);

static int remove_inside(int fd)
{
	int first = 0;
	struct dirent *e;
	DIR *d = fdopendir(fd);

	if (!d) {
		first = -errno;
		close(fd);
		return first;
	}
	while ((e = readdir(d))) {
		int r;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = remove_at(dirfd(d), e->d_name);
		if (r < 0 && first == 0)
			first = r;
	}
	closedir(d);
	return first;
}

static int remove_at(int dir, const char *name)
{
	int fd, r;

	failpoint("remove");
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != EACCES)
		return -errno;
	r = -errno;
	fd = open_for_removal(dir, name);
	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP ? r : fd;
	/* Ours, but not writable: make it so, or its names cannot go. */
	if (faccessat(fd, ".", W_OK | X_OK, 0) < 0)
		fchmod(fd, 0700);
	r = remove_inside(fd);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}

int beneath_remove_all(int root, const char *path)
{
	const char *name;
	autofd int dir = beneath_open_parent(root, path, &name);

	if (dir == -ENOENT)
		return 0;
	return dir < 0 ? dir : remove_at(dir, name);
}
