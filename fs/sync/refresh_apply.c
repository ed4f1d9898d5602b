/*
 * Carrying out a refresh's plan while mounted: through the mount point, by this
 * thread, which the adapter knows, so that the kernel's caches are right and
 * watchers in the mount see what they would see on a local disk:
 *
 *	a new file		create, modify, close_write
 *	new content		modify, close_write; the same inode, also for
 *				those who have it open
 *	mode, directory, deletion	attrib, create, delete
 *
 * What is written is complete before it is shown (fs/mirror/exchange.c). Other
 * operations (links, a file for a directory, what has several names) go the
 * restore's way, by a temporary name and an exchange.
 */
#include "fs/sync/refresh.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/mirror.h"
#include "merge/apply.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

struct target {
	struct refresh *r;
	const struct apply_options *o;
	int mount;
};

/* Whether the mirror's PATH still is E (by identity). */
static bool is_still(const struct target *t, const char *path,
	const struct entry *e)
{
	struct stat st;
	struct entry now;
	int r = beneath_stat(t->r->s->mirror_fd, path, &st);

	if (e->type == ENTRY_ABSENT)
		return r == -ENOENT;
	if (r < 0)
		return false;
	entry_from_stat(&now, &st);
	return now.type == e->type && now.ino == e->ino &&
		now.ctime_ns == e->ctime_ns && now.size == e->size;
}

static void set_mtime(int fd, int64_t ns)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	times[1].tv_sec = ns / 1000000000;
	times[1].tv_nsec = ns % 1000000000;
	if (times[1].tv_nsec < 0) {
		times[1].tv_nsec += 1000000000;
		times[1].tv_sec--;
	}
	futimens(fd, times);
}

/* The fetched or merged file with its mode and mtime; its directory and name
 * there. False: not one of ours. */
static bool find_staged(const struct target *t, const struct plan_op *op,
	mode_t mode, int *dir)
{
	struct stat st;
	autofd int fd = -1;

	if (op->source == PLAN_FROM_OURS)
		return false;
	*dir = op->source == PLAN_FROM_THEIRS ? t->r->staging_fd
					      : t->r->made_fd;
	fd = beneath_open(*dir, op->from, O_RDONLY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		fchmod(fd, mode) < 0)
		return false;
	set_mtime(fd, op->after.mtime_ns);
	return true;
}

/* "<dir>/<name>" of a staged file for calls that take a path at a descriptor:
 * the parent opened, so that nothing outside is reached. */
static int open_staged_parent(int dir, const char *from, const char **name)
{
	return beneath_open_parent(dir, from, name);
}

/* Shows new content: drops the kernel's pages, fires the events. */
static void announce(const struct target *t, const struct plan_op *op)
{
	autofd int fd = beneath_open(t->mount, op->path, O_WRONLY, 0);

	if (fd == -EACCES)
		fd = beneath_open(t->mount, op->path, O_RDONLY, 0);
	if (fd >= 0)
		set_mtime(fd, op->after.mtime_ns);
}

/* The old file, now NAME in DIR, goes to the trash. */
static void trash_old(const struct target *t, struct plan_op *op, int dir,
	const char *name)
{
	g_autofree char *up = path_parent(op->path);

	if (*up)
		beneath_mkdir_all(t->r->trash_fd, up, 0700);
	if (beneath_rename(dir, name, t->r->trash_fd, op->path, 0) == 0)
		op->trash = g_strdup(op->path);
}

static int replace_content(const struct target *t, struct plan_op *op)
{
	const char *name;
	int staged, r;
	autofd int dir = -1;

	if (!find_staged(t, op, op->after.mode & 0777, &staged))
		return -ENOTSUP;
	dir = open_staged_parent(staged, op->from, &name);
	if (dir < 0)
		return -ENOTSUP;
	r = mirror_exchange(
		t->r->s->mirror, op->path, &op->before, dir, name);
	if (r < 0)
		return r == -EBUSY && is_still(t, op->path, &op->before)
			? -ENOTSUP : r == -EBUSY ? 1 : -ENOTSUP;
	announce(t, op);
	trash_old(t, op, dir, name);
	return 0;
}

static int create_file(const struct target *t, struct plan_op *op)
{
	mode_t mode = op->after.mode & 0777;
	const char *name;
	int staged;
	autofd int dir = -1, fd = -1;

	if (!find_staged(t, op, mode | S_IRUSR | S_IWUSR, &staged))
		return -ENOTSUP;
	dir = open_staged_parent(staged, op->from, &name);
	if (dir < 0)
		return -ENOTSUP;
	mirror_offer(t->r->s->mirror, op->path, dir, name);
	fd = beneath_open(t->mount, op->path, O_WRONLY | O_CREAT | O_EXCL,
		mode);
	mirror_offer(t->r->s->mirror, NULL, -1, NULL);
	if (fd < 0)
		return fd == -EEXIST ? 1 : -ENOTSUP;
	if ((mode & (S_IRUSR | S_IWUSR)) != (S_IRUSR | S_IWUSR))
		fchmod(fd, mode);
	set_mtime(fd, op->after.mtime_ns);
	return 0;
}

/* A file or link goes; its inode stays in the trash, with what somebody who
 * has it open may still write. */
static int delete_file(const struct target *t, struct plan_op *op)
{
	g_autofree char *up = path_parent(op->path);
	int r;

	if (!is_still(t, op->path, &op->before))
		return 1;
	if (*up)
		beneath_mkdir_all(t->r->trash_fd, up, 0700);
	r = beneath_link(t->r->s->mirror_fd, op->path, t->r->trash_fd,
		op->path);
	if (r < 0)
		return -ENOTSUP;
	op->trash = g_strdup(op->path);
	r = beneath_unlink(t->mount, op->path, 0);
	return r == -ENOENT ? 1 : r < 0 ? -ENOTSUP : 0;
}

/* 0: done; 1: not as planned any more; -ENOTSUP: by the general way. */
static int apply_here(const struct target *t, struct plan_op *op)
{
	bool file = op->after.type == ENTRY_FILE;

	if (op->action == PLAN_PUT && file && op->before.type == ENTRY_FILE)
		return replace_content(t, op);
	if (op->action == PLAN_PUT && file && op->before.type == ENTRY_ABSENT)
		return create_file(t, op);
	if (op->action == PLAN_DELETE && (op->before.type == ENTRY_FILE ||
						 op->before.type == ENTRY_LINK))
		return delete_file(t, op);
	return -ENOTSUP;
}

/* One operation by merge/apply.h. */
static int apply_generally(const struct target *t, struct plan_op *op,
	GError **err)
{
	struct plan one = { .ops = g_ptr_array_new() };
	int r;

	if (refresh_expect_temps(t->r, err) < 0) {
		g_ptr_array_free(one.ops, TRUE);
		return -EIO;
	}
	g_ptr_array_add(one.ops, op);
	r = apply_plan(&one, t->o, err);
	g_ptr_array_free(one.ops, TRUE);
	return r;
}

int refresh_apply_mounted(struct refresh *r, const struct apply_options *o,
	GError **err)
{
	const struct target t = { .r = r, .o = o, .mount = o->root_fd };

	for (size_t i = 0; i < plan_count(r->plan); i++) {
		struct plan_op *op = plan_at(r->plan, i);
		int ret = apply_here(&t, op);

		if (ret == 0)
			op->outcome = PLAN_DONE;
		else if (ret == 1)
			op->outcome = PLAN_CHANGED;
		else if (apply_generally(&t, op, err) < 0)
			return -EIO;
	}
	return 0;
}
