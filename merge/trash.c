#include "merge/apply_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "merge/entry.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

enum { TRASH_TRIES = 1000 };

static int copy_file(int from_root, const char *from, int to_root,
	const char *to, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	autofd int in = beneath_open(from_root, from, O_RDONLY, 0);
	autofd int out = -1;
	int r;

	if (in < 0)
		return in;
	out = beneath_open(to_root, to, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (out < 0)
		return out;
	r = io_copy_file(in, out, NULL, NULL);
	if (r == 0 && (fchmod(out, st->st_mode & 07777) < 0 ||
			      futimens(out, times) < 0 || io_sync(out) < 0))
		r = -errno;
	if (r < 0)
		beneath_unlink(to_root, to, 0);
	return r;
}

static int copy_link(int from_root, const char *from, int to_root,
	const char *to, const struct stat *st)
{
	g_autofree char *target = NULL;
	int r = beneath_readlink(from_root, from, &target);

	if (r == 0)
		r = beneath_symlink(to_root, to, target);
	if (r == 0)
		r = beneath_set_mtime(to_root, to,
			entry_time_ns(st->st_mtim.tv_sec,
				st->st_mtim.tv_nsec));
	return r;
}

/* A durable copy of a file or link. */
static int copy_new(int from_root, const char *from, int to_root,
	const char *to)
{
	struct stat st;
	int r = beneath_stat(from_root, from, &st);

	if (r < 0)
		return r;
	if (S_ISREG(st.st_mode))
		return copy_file(from_root, from, to_root, to, &st);
	if (S_ISLNK(st.st_mode))
		return copy_link(from_root, from, to_root, to, &st);
	return -EXDEV;
}

static int sync_dir(int root, const char *path)
{
	autofd int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY, 0);

	return fd < 0 ? fd : io_sync_dir(fd);
}

/* Across file systems: a durable copy, then the original goes. */
static int move_by_copy(int from_root, const char *from, int to_root,
	const char *to)
{
	g_autofree char *dir = path_parent(to);
	int r = copy_new(from_root, from, to_root, to);

	if (r == 0)
		r = sync_dir(to_root, dir);
	return r < 0 ? r : beneath_unlink(from_root, from, 0);
}

/* The same file under a second name where the file system can, else a copy. */
static int keep_new(int from_root, const char *from, int to_root,
	const char *to)
{
	int r = beneath_link(from_root, from, to_root, to);

	return r == 0 || r == -EEXIST || r == -ENOENT
		? r : copy_new(from_root, from, to_root, to);
}

static int move_new(int from_root, const char *from, int to_root,
	const char *to)
{
	int r = beneath_rename(from_root, from, to_root, to, RENAME_NOREPLACE);
	struct stat st;

	if (r == -EINVAL) {	/* no such flag on this file system */
		r = beneath_stat(to_root, to, &st);
		if (r == 0)
			return -EEXIST;
		r = beneath_rename(from_root, from, to_root, to, 0);
	}
	return r == -EXDEV ? move_by_copy(from_root, from, to_root, to) : r;
}

/* The Nth name that PATH may have in the trash, from 1; g_free it. */
static char *nth_name(const char *path, int n)
{
	return n == 1 ? g_strdup(path) : g_strdup_printf("%s.%d", path, n);
}

typedef int take_fn(int from_root, const char *from, int to_root,
	const char *to);

/* DIR of the trash; those that were made for it last. */
static int make_dir(const struct apply_options *o, const char *dir)
{
	g_autofree char *up = NULL;
	struct stat st;
	int r;

	if (!*dir || beneath_stat(o->trash_fd, dir, &st) == 0)
		return 0;
	up = path_parent(dir);
	r = make_dir(o, up);
	if (r == 0)
		r = beneath_mkdir(o->trash_fd, dir, 0700);
	return r < 0 || o->no_sync ? r : sync_dir(o->trash_fd, up);
}

/* TAKEs ROOT/NAME to the first free name of PATH in the trash; it lasts there
 * before anybody makes its going from ROOT last. */
static int take(const struct apply_options *o, take_fn *take_new,
	const char *name, const char *path, char **where)
{
	g_autofree char *dir = path_parent(path);
	int r = make_dir(o, dir);

	for (int i = 1; r == 0 && i < TRASH_TRIES; i++) {
		g_autofree char *to = nth_name(path, i);

		r = take_new(o->root_fd, name, o->trash_fd, to);
		if (r == 0) {
			*where = g_steal_pointer(&to);
			return o->no_sync ? 0 : sync_dir(o->trash_fd, dir);
		}
		if (r != -EEXIST && r != -ENOTEMPTY)
			return r;
		r = 0;
	}
	return r < 0 ? r : -EEXIST;
}

int trash_move(const struct apply_options *o, const char *name,
	const char *path, char **where)
{
	return take(o, move_new, name, path, where);
}

int trash_keep(const struct apply_options *o, const char *path, char **where)
{
	return take(o, keep_new, path, path, where);
}

char *trash_find(const struct apply_options *o, const char *path,
	const struct entry *e)
{
	struct stat st;

	for (int i = 1; i < TRASH_TRIES; i++) {
		g_autofree char *name = nth_name(path, i);

		if (beneath_stat(o->trash_fd, name, &st) < 0)
			return NULL;
		if (is_entry(o->trash_fd, name, e, false))
			return g_steal_pointer(&name);
	}
	return NULL;
}

int trash_restore(const struct apply_options *o, const char *where,
	const char *to)
{
	return move_new(o->trash_fd, where, o->root_fd, to);
}
