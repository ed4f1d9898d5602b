#include "fs/mirror/content.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "merge/entry.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"

bool content_is_stub(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & S_ISVTX);
}

/* Opens a regular file of ours even when its mode forbids that to ourselves;
 * its mode is the same afterwards. */
static int open_anyway(int root_fd, const char *path, int flags, mode_t need)
{
	int fd = beneath_open(root_fd, path, flags | O_NONBLOCK, 0);
	struct stat st;

	if (fd != -EACCES || beneath_stat(root_fd, path, &st) < 0 ||
		!S_ISREG(st.st_mode) ||
		beneath_chmod(root_fd, path, st.st_mode | need) < 0)
		return fd;
	fd = beneath_open(root_fd, path, flags, 0);
	beneath_chmod(root_fd, path, st.st_mode & 07777);
	return fd;
}

int content_open(int root_fd, const char *path)
{
	autofd int fd = open_anyway(root_fd, path, O_RDONLY, S_IRUSR);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	return content_is_stub(&st) ? -ENODATA : steal_fd(&fd);
}

int content_open_stub(int root_fd, const char *path)
{
	autofd int fd = open_anyway(
		root_fd, path, O_RDWR, S_IRUSR | S_IWUSR);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return content_is_stub(&st) ? steal_fd(&fd) : -ENODATA;
}

int content_set_mtime(int fd, int64_t mtime_ns)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = mtime_ns / 1000000000,
			.tv_nsec = mtime_ns % 1000000000 },
	};

	if (times[1].tv_nsec < 0) {
		times[1].tv_nsec += 1000000000;
		times[1].tv_sec--;
	}
	return futimens(fd, times) < 0 ? -errno : 0;
}

int content_reset_stub(int fd, int64_t size, int64_t mtime_ns)
{
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, size) < 0)
		return -errno;
	return content_set_mtime(fd, mtime_ns);
}

static int fill_in(int fd, const struct entry *e, struct stat *st)
{
	mode_t mark = e->size > 0 ? S_ISVTX : 0;
	int r;

	if (ftruncate(fd, e->size) < 0)
		return -errno;
	r = content_set_mtime(fd, e->mtime_ns);
	if (r < 0)
		return r;
	if (fchmod(fd, (e->mode & 0777) | mark) < 0 || fstat(fd, st) < 0)
		return -errno;
	return mark && !content_is_stub(st) ? -ENOTSUP : 0;
}

int content_make_stub(int root_fd, const char *path, const struct entry *e,
	struct stat *st)
{
	autofd int fd = beneath_open(root_fd, path,
		O_WRONLY | O_CREAT | O_EXCL, 0600 | S_ISVTX);
	int r;

	if (fd < 0)
		return fd;
	r = fill_in(fd, e, st);
	if (r < 0)
		beneath_unlink(root_fd, path, 0);
	return r;
}

int content_clear_mark(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return fchmod(fd, st.st_mode & 07777 & ~(mode_t)S_ISVTX) < 0 ? -errno
								      : 0;
}
