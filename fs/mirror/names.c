/* Finding and making names. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/node.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/want_internal.h"
#include "merge/lib/io.h"

static void fill_attr(struct mirror *m, struct node *n,
	struct mirror_attr *out)
{
	node_current(m, n);
	out->node = n->id;
	out->generation = 0;
	node_get_stat(n, &out->st);
}

static bool is_reserved(const struct mirror *m, const struct node *parent,
	const char *name)
{
	return parent == m->root && m->config.runtime_dir &&
		!strcmp(name, m->config.runtime_dir);
}

int mirror_lookup(struct mirror *m, uint64_t parent, const char *name,
	struct mirror_attr *out)
{
	int r = -ENOENT;

	mutex_lock(&m->lock);
	struct node *dir = node_find(m, parent);
	struct place *p = dir ? place_find(dir, name) : NULL;

	if (strlen(name) > 255) {
		r = -ENAMETOOLONG;
	} else if (p) {
		p->node->lookups++;
		fill_attr(m, p->node, out);
		r = 0;
	}
	mutex_unlock(&m->lock);
	return r;
}

void mirror_forget(struct mirror *m, uint64_t node, uint64_t count)
{
	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);

	if (n) {
		n->lookups -= MIN(n->lookups, count);
		node_release(m, n);
	}
	mutex_unlock(&m->lock);
}

/* The directory and the place on the disk of a new name in it. */
static int new_spot(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, struct node **dir,
	struct spot *spot)
{
	if (m->config.read_only && !c->quiet)
		return -EROFS;
	*dir = node_find(m, parent);
	if (!*dir)
		return -ESTALE;
	if (strlen(name) > 255)
		return -ENAMETOOLONG;
	if (is_reserved(m, *dir, name))
		return -EACCES;
	return spot_init(m, spot, child_path(*dir, name));
}

/* A daemon that is root gives what it makes to the caller; giving takes setuid
 * bits away, which get back what ST has. */
static int give_to_caller(const struct mirror_caller *c,
	const struct node *dir, const struct reach *at, struct stat *st)
{
	gid_t gid = dir->mode & S_ISGID ? dir->gid : c->gid;
	mode_t mode = st->st_mode;

	if (geteuid() != 0 || (c->uid == 0 && gid == 0) || c->quiet)
		return 0;
	if (fchownat(at->dir, at->path, c->uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(mode) && (mode & (S_ISUID | S_ISGID)) &&
		fchmodat(at->dir, at->path, mode & 07777, 0) < 0)
		return -errno;
	return fstatat(at->dir, at->path, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
									: 0;
}

/* Enters what was just made as NAME in DIR, for the caller, into the table. */
static struct node *adopt(struct mirror *m, const struct mirror_caller *c,
	struct node *dir, const char *name, const struct stat *st)
{
	struct node *n = node_take(m, st);
	struct place *p = place_add(m, dir, name, n);

	dir->outdated = true;
	if (!c->quiet)
		mark_dirty(m, p, true);
	n->lookups++;
	return n;
}

struct creation {
	mode_t mode;
	dev_t rdev;
	const char *target;
};

/* One of the calls that make a name, and its entry in the table. */
static int create(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name,
	int (*call)(int root, const char *path, const struct creation *what),
	const struct creation *what, struct mirror_attr *out)
{
	autospot struct spot spot = SPOT_NONE;
	struct node *dir;
	struct stat st;

	mutex_lock(&m->lock);
	int r = new_spot(m, c, parent, name, &dir, &spot);

	if (r == 0)
		r = call(spot.at.dir, spot.at.path, what);
	if (r == 0 && fstatat(spot.at.dir, spot.at.path, &st,
			      AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0)
		r = give_to_caller(c, dir, &spot.at, &st);
	if (r == 0)
		fill_attr(m, adopt(m, c, dir, name, &st), out);
	mutex_unlock(&m->lock);
	if (r == 0)
		wake(m, c);
	return r;
}

static int call_mknod(int root, const char *path, const struct creation *what)
{
	/* The sticky bit of a file is the mark of a stub. */
	mode_t mode = what->mode & ~(S_ISREG(what->mode) ? S_ISVTX : 0U);

	if (mknodat(root, path, mode, what->rdev) < 0)
		return -errno;
	/* Our own umask must not count a second time. */
	return fchmodat(root, path, mode & 07777, 0) < 0 ? -errno : 0;
}

/* The sticky bit a new file was made with is only remembered. */
static void show_sticky(struct mirror *m, struct node *n, mode_t mode,
	struct mirror_attr *out)
{
	n->sticky = (mode & S_ISVTX) != 0;
	fill_attr(m, n, out);
}

int mirror_mknod(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, mode_t mode, dev_t rdev,
	struct mirror_attr *out)
{
	struct creation what = { .mode = mode, .rdev = rdev };

	if ((S_ISCHR(mode) || S_ISBLK(mode)) && c->uid != 0)
		return -EPERM;
	int r = create(m, c, parent, name, call_mknod, &what, out);

	if (r == 0 && S_ISREG(mode) && (mode & S_ISVTX)) {
		mutex_lock(&m->lock);
		/* Held by the reference that was just given. */
		show_sticky(m, node_find(m, out->node), mode, out);
		mutex_unlock(&m->lock);
	}
	return r;
}

static int call_mkdir(int root, const char *path, const struct creation *what)
{
	struct stat st;

	if (mkdirat(root, path, what->mode) < 0)
		return -errno;
	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* Without our own umask, and with an inherited setgid bit. */
	return fchmodat(root, path,
		       (what->mode & 07777) | (st.st_mode & S_ISGID), 0) < 0
		? -errno : 0;
}

int mirror_mkdir(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, mode_t mode,
	struct mirror_attr *out)
{
	struct creation what = { .mode = mode };

	return create(m, c, parent, name, call_mkdir, &what, out);
}

static int call_symlink(int root, const char *path,
	const struct creation *what)
{
	return symlinkat(what->target, root, path) < 0 ? -errno : 0;
}

int mirror_symlink(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, const char *target,
	struct mirror_attr *out)
{
	struct creation what = { .target = target };

	return create(m, c, parent, name, call_symlink, &what, out);
}

/* An unnamed file (O_TMPFILE) is linked through its descriptor. */
static int link_node(struct mirror *m, const struct node *n,
	const struct reach *to)
{
	autospot struct spot from = SPOT_NONE;
	g_autofree char *proc = NULL;

	if (n->names) {
		int r = spot_init(m, &from, node_path(n));

		if (r < 0)
			return r;
		return linkat(from.at.dir, from.at.path, to->dir, to->path,
			       0) < 0 ? -errno : 0;
	}
	if (!n->files)
		return -ENOENT;
	proc = g_strdup_printf("/proc/self/fd/%d", n->files->fd);
	return linkat(AT_FDCWD, proc, to->dir, to->path, AT_SYMLINK_FOLLOW) <
			0 ? -errno : 0;
}

int mirror_link(struct mirror *m, const struct mirror_caller *c, uint64_t node,
	uint64_t parent, const char *name, struct mirror_attr *out)
{
	autospot struct spot spot = SPOT_NONE;
	struct node *dir, *n;
	struct place *p;

	mutex_lock(&m->lock);
	int r = new_spot(m, c, parent, name, &dir, &spot);

	n = node_find(m, node);
	if (r == 0 && !n)
		r = -ESTALE;
	if (r == 0)
		r = link_node(m, n, &spot.at);
	if (r == 0) {
		p = place_add(m, dir, name, n);
		node_refresh(m, n, spot.path);
		dir->outdated = true;
		if (!c->quiet)
			mark_dirty(m, p, true);
		n->lookups++;
		fill_attr(m, n, out);
	}
	mutex_unlock(&m->lock);
	if (r == 0)
		wake(m, c);
	return r;
}

/* Registers FD as an open file of N. */
static struct mirror_file *new_file(struct node *n, int fd, int flags)
{
	struct mirror_file *f = g_new0(struct mirror_file, 1);

	f->node = n;
	f->fd = fd;
	f->writable = (flags & O_ACCMODE) != O_RDONLY;
	f->next = n->files;
	n->files = f;
	return f;
}

/* The kernel sends positions for every write, appends included. */
static int backing_flags(int flags)
{
	return (flags & ~(O_APPEND | O_NOFOLLOW | O_CREAT | O_EXCL | O_TRUNC |
			O_DIRECT)) | O_NOFOLLOW | O_CLOEXEC;
}

/* The file at S, to be made with MODE, as an open descriptor; ST is what it is
 * then. */
static int make_file(struct mirror *m, bool quiet, const struct spot *s,
	int flags, mode_t mode, struct stat *st)
{
	int fd = quiet ? take_offer(m, s->path, flags) : -ENOENT;
	bool offered = fd >= 0;

	if (fd == -ENOENT) {
		fd = openat(s->at.dir, s->at.path, flags | O_CREAT | O_EXCL,
			mode);
		fd = fd < 0 ? -errno : fd;
	}
	if (fd < 0)
		return fd;
	/* Our own umask must not count a second time. */
	if (fstat(fd, st) < 0 ||
		(!offered && (st->st_mode & 07777) != mode &&
			(fchmod(fd, mode) < 0 || fstat(fd, st) < 0))) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int mirror_create(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, int flags, mode_t mode,
	struct mirror_attr *attr, struct mirror_file **out)
{
	autospot struct spot spot = SPOT_NONE;
	struct node *dir, *n;
	struct stat st;
	int fd = -1;

	mutex_lock(&m->lock);
	int r = new_spot(m, c, parent, name, &dir, &spot);

	if (r == 0) {
		fd = make_file(m, c->quiet, &spot, backing_flags(flags),
			mode & 06777, &st);
		r = fd < 0 ? fd : give_to_caller(c, dir, &spot.at, &st);
	}
	if (r == 0) {
		n = adopt(m, c, dir, name, &st);
		show_sticky(m, n, mode, attr);
		*out = new_file(n, fd, flags);
	} else if (fd >= 0) {
		close(fd);
	}
	mutex_unlock(&m->lock);
	if (r == 0)
		wake(m, c);
	return r;
}

/* The unnamed file FD, made for the caller, as a node. */
static int adopt_unnamed(struct mirror *m, const struct mirror_caller *c,
	const struct node *dir, int fd, mode_t mode, struct mirror_attr *attr)
{
	gid_t gid = dir->mode & S_ISGID ? dir->gid : c->gid;
	struct node *n;
	struct stat st;

	if (geteuid() == 0 && fchown(fd, c->uid, gid) < 0)
		return -errno;
	if (fchmod(fd, mode & 07777) < 0 || fstat(fd, &st) < 0)
		return -errno;
	n = node_take(m, &st);
	n->lookups++;
	fill_attr(m, n, attr);
	return 0;
}

int mirror_tmpfile(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, int flags, mode_t mode, struct mirror_attr *attr,
	struct mirror_file **out)
{
	int fd = -1, r = -ESTALE;

	if (m->config.read_only && !c->quiet)
		return -EROFS;
	mutex_lock(&m->lock);
	struct node *dir = node_find(m, parent);
	autospot struct spot spot = SPOT_NONE;

	if (dir)
		r = spot_init(m, &spot, node_path(dir));
	if (r == 0) {
		fd = openat(spot.at.dir, spot.at.path,
			backing_flags(flags) | O_TMPFILE, 0600);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = adopt_unnamed(m, c, dir, fd, mode, attr);
	if (r == 0)
		*out = new_file(node_find(m, attr->node), fd, flags);
	else if (fd >= 0)
		close(fd);
	mutex_unlock(&m->lock);
	return r;
}

/* Truncating on open is the one change of data for which the kernel leaves this
 * to us. */
static void drop_setuid(const struct mirror_caller *c, const struct node *n,
	int fd)
{
	mode_t drop = S_ISUID | (n->mode & S_IXGRP ? S_ISGID : 0);

	if ((n->mode & drop) && c->uid != 0 && !c->quiet)
		fchmod(fd, n->mode & 07777 & ~drop);
}

/* The file of N, by a name or, unlinked, by an open descriptor of it. */
static int open_backing(struct mirror *m, const struct node *n, int flags)
{
	autospot struct spot spot = SPOT_NONE;
	g_autofree char *proc = NULL;
	int fd, r;

	if (n->names) {
		r = spot_init(m, &spot, node_path(n));
		if (r < 0)
			return r;
		fd = openat(spot.at.dir, spot.at.path, flags);
		return fd < 0 ? -errno : fd;
	}
	if (!n->files)
		return -ESTALE;
	proc = g_strdup_printf("/proc/self/fd/%d", n->files->fd);
	fd = open(proc, flags & ~O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* The part that an open of N takes its bytes from; NULL: it needs them all, or
 * the first of them are not here yet. */
static struct part *part_to_open(struct mirror *m, const struct node *n,
	int flags)
{
	struct part *p = (flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY &&
			part_is_for(m, n) ? part_find(m, n) : NULL;

	return p && part_has(p, 0, 1) ? p : NULL;
}

/* The end of an open: its node may have changed by O_TRUNC. */
static int open_locked(struct mirror *m, const struct mirror_caller *c,
	struct node *n, int flags, struct mirror_file **out) REQUIRES(m->lock)
{
	struct part *part = NULL;
	struct stat st;
	int fd;

	if (n->content != CONTENT_COMPLETE && !(flags & O_TRUNC)) {
		part = c->quiet ? NULL : part_to_open(m, n, flags);
		if (!part)
			return c->quiet ? -ENODATA : -EINPROGRESS;
	}
	if (!part)
		fill_wait(m, n);
	if ((flags & O_TRUNC) && n->size > 0 && !c->quiet)
		keep_base(m, n);
	fd = open_backing(m, n, backing_flags(flags) | (flags & O_TRUNC));
	if (fd < 0)
		return fd;
	if (n->content != CONTENT_COMPLETE && !part) {
		int r = content_clear_mark(fd);

		if (r < 0) {
			close(fd);
			return r;
		}
		stub_end(m, n);
	}
	n->used_ns = io_now_ns();
	m->wants->used += n->unasked;
	n->unasked = false;
	if (flags & O_TRUNC) {
		drop_setuid(c, n, fd);
		if (fstat(fd, &st) == 0)
			node_set_stat(n, &st);
		if (!c->quiet)
			mark_node_dirty(m, n, true);
	}
	*out = new_file(n, fd, flags);
	(*out)->part = part ? part_ref(part) : NULL;
	return 0;
}

/* Somebody who must not see other bytes than those of a version that is over,
 * through the kernel's pages neither. */
static bool has_old_reader(const struct node *n)
{
	for (const struct mirror_file *f = n->files; f; f = f->next)
		if (f->part && f->part->over)
			return true;
	return false;
}

bool mirror_file_is_beside_old(struct mirror *m, const struct mirror_file *f)
{
	mutex_lock(&m->lock);
	bool beside = has_old_reader(f->node);
	mutex_unlock(&m->lock);
	return beside;
}

int mirror_open_file(struct mirror *m, const struct mirror_caller *c,
	uint64_t node, int flags, struct mirror_file **out, bool *keep_cache)
{
	int r = -ESTALE;

	if (m->config.read_only && !c->quiet &&
		((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);

	if (n)
		r = open_locked(m, c, n, flags, out);
	if (r == 0 && keep_cache)
		/* All changes go through this mount: the pages are good. */
		*keep_cache = !(flags & O_TRUNC) && !n->stale;
	if (r == 0)
		n->stale = n->stale && has_old_reader(n);
	mutex_unlock(&m->lock);
	if (r == 0 && (flags & O_TRUNC))
		wake(m, c);
	return r;
}

void mirror_release(struct mirror *m, struct mirror_file *f)
{
	mutex_lock(&m->lock);
	struct mirror_file **at = &f->node->files;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->node->used_ns = io_now_ns();
	node_release(m, f->node);
	part_unref(f->part);
	mutex_unlock(&m->lock);
	close(f->fd);
	g_free(f);
}
