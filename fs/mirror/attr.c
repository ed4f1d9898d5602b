/* Attributes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/want_internal.h"

int mirror_getattr(struct mirror *m, uint64_t node, struct stat *st)
{
	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);

	if (n) {
		node_current(m, n);
		node_get_stat(n, st);
	}
	mutex_unlock(&m->lock);
	return n ? 0 : -ESTALE;
}

/* Where N is for a system call, its links followed or not by FLAGS: by name, or
 * for an unlinked file by its descriptor. -ENOENT when there is no way left. */
static int find_spot(struct mirror *m, const struct node *n, struct spot *spot,
	int *flags)
{
	char *path = node_path(n);

	*flags = path || !n->files ? AT_SYMLINK_NOFOLLOW : 0;
	if (!path && n->files)
		path = g_strdup_printf("/proc/self/fd/%d", n->files->fd);
	return spot_init(m, spot, path);
}

/* On disk the sticky bit of a file says that it is a stub; a user's own is
 * only remembered. */
static int set_mode(struct node *n, const struct reach *at, mode_t mode)
{
	mode_t bits = mode & 07777;

	if (S_ISLNK(n->mode))
		return -EOPNOTSUPP;
	if (S_ISREG(n->mode))
		bits = (bits & ~(mode_t)S_ISVTX) |
			(n->content == CONTENT_COMPLETE ? 0 : S_ISVTX);
	if (fchmodat(at->dir, at->path, bits, 0) < 0)
		return -errno;
	n->sticky = S_ISREG(n->mode) && (mode & S_ISVTX);
	return 0;
}

static int set_owner(const struct reach *at, int flags,
	const struct stat *want, unsigned which)
{
	uid_t uid = which & MIRROR_SET_UID ? want->st_uid : (uid_t)-1;
	gid_t gid = which & MIRROR_SET_GID ? want->st_gid : (gid_t)-1;

	return fchownat(at->dir, at->path, uid, gid, flags) < 0 ? -errno : 0;
}

static int set_size(struct mirror *m, const struct mirror_caller *c,
	struct node *n, const struct reach *at, struct mirror_file *f,
	off_t size)
{
	int fd, r;

	if (!c->quiet)
		keep_base(m, n);
	if (f && f->writable)
		return ftruncate(f->fd, size) < 0 ? -errno : 0;
	fd = openat(at->dir, at->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = ftruncate(fd, size) < 0 ? -errno : 0;
	/* Nothing is missing of an empty file. */
	if (r == 0 && size == 0 && n->content != CONTENT_COMPLETE) {
		r = content_clear_mark(fd);
		if (r == 0)
			stub_end(m, n);
	}
	close(fd);
	return r;
}

static struct timespec time_of(unsigned which, unsigned set, unsigned now,
	const struct timespec *want)
{
	if (which & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (which & set)
		return *want;
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_times(const struct reach *at, int flags,
	const struct stat *want, unsigned which)
{
	struct timespec times[2] = {
		time_of(which, MIRROR_SET_ATIME, MIRROR_SET_ATIME_NOW,
			&want->st_atim),
		time_of(which, MIRROR_SET_MTIME, MIRROR_SET_MTIME_NOW,
			&want->st_mtim),
	};

	return utimensat(at->dir, at->path, times, flags) < 0 ? -errno : 0;
}

static int set_all(struct mirror *m, const struct mirror_caller *c,
	struct node *n, struct mirror_file *f, const struct stat *want,
	unsigned which)
{
	autospot struct spot spot = SPOT_NONE;
	int flags, r = find_spot(m, n, &spot, &flags);

	if (r < 0)
		return r;
	/* Nothing at all is chown(path, -1, -1): a new ctime. */
	if (!which || (which & (MIRROR_SET_UID | MIRROR_SET_GID)))
		r = set_owner(&spot.at, flags, want, which);
	if (r == 0 && (which & MIRROR_SET_MODE))
		r = set_mode(n, &spot.at, want->st_mode);
	if (r == 0 && (which & MIRROR_SET_SIZE))
		r = set_size(m, c, n, &spot.at, f, want->st_size);
	if (r == 0 && (which & (MIRROR_SET_ATIME | MIRROR_SET_MTIME |
				       MIRROR_SET_ATIME_NOW |
				       MIRROR_SET_MTIME_NOW)))
		r = set_times(&spot.at, flags, want, which);
	return r;
}

static void refresh_node(struct mirror *m, struct node *n)
{
	g_autofree char *path = node_path(n);
	struct stat st;

	if (path)
		node_refresh(m, n, path);
	else if (n->files && fstat(n->files->fd, &st) == 0)
		node_set_stat(n, &st);
}

/* What cannot be done to a file whose bytes are not here: its size and mtime
 * say which bytes they are. */
static bool needs_bytes(const struct node *n, const struct stat *want,
	unsigned which)
{
	if (n->content == CONTENT_COMPLETE)
		return false;
	return (which & (MIRROR_SET_MTIME | MIRROR_SET_MTIME_NOW)) ||
		(which & MIRROR_SET_SIZE && want->st_size > 0);
}

/* The session says what the stub stands for from now on. */
static void new_version(struct mirror *m, struct node *n)
{
	if (n->content == CONTENT_COMPLETE || !part_find(m, n))
		return;
	part_forget(m, n, true);
	n->stale = true;
	wants_range(m, n, NULL, -ESTALE);
}

int mirror_setattr(struct mirror *m, const struct mirror_caller *c,
	uint64_t node, struct mirror_file *file, const struct stat *want,
	unsigned which, struct stat *out)
{
	/* What the sandbox is told of: not owners, not access times. */
	const unsigned sent = MIRROR_SET_MODE | MIRROR_SET_SIZE |
		MIRROR_SET_MTIME | MIRROR_SET_MTIME_NOW;
	int r = -ESTALE;

	if (m->config.read_only && !c->quiet)
		return -EROFS;
	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);

	if (n && !c->quiet && needs_bytes(n, want, which)) {
		mutex_unlock(&m->lock);
		return -EINPROGRESS;
	}
	if (n && which & (MIRROR_SET_SIZE | MIRROR_SET_MTIME)) {
		fill_wait(m, n);
		if (c->quiet)
			new_version(m, n);
	}
	if (n)
		r = set_all(m, c, n, file, want, which);
	if (n)
		refresh_node(m, n);
	if (r == 0) {
		if ((which & sent) && !c->quiet)
			mark_node_dirty(m, n, which & MIRROR_SET_SIZE);
		node_get_stat(n, out);
	}
	mutex_unlock(&m->lock);
	if (r == 0 && (which & sent))
		wake(m, c);
	return r;
}

int mirror_readlink(struct mirror *m, uint64_t node, char **target)
{
	char buf[4097];
	ssize_t len = -1;
	int r = -ESTALE;

	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);
	autospot struct spot spot = SPOT_NONE;

	if (n && n->names)
		r = spot_init(m, &spot, node_path(n));
	if (r == 0) {
		len = readlinkat(
			spot.at.dir, spot.at.path, buf, sizeof(buf) - 1);
		r = len < 0 ? -errno : 0;
	}
	mutex_unlock(&m->lock);
	if (r == 0)
		*target = g_strndup(buf, (gsize)len);
	return r;
}

int mirror_statfs(struct mirror *m, struct statvfs *out)
{
	return fstatvfs(m->config.root_fd, out) < 0 ? -errno : 0;
}
