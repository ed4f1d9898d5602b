#include "merge/scan_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/scan.h"

enum { TRIES = 3, READ_BYTES = 64 << 10 };

static const int64_t FINE_NS = 20 * 1000 * 1000;
static const int64_t COARSE_NS = INT64_C(2000000000);
static const int64_t SECOND_NS = INT64_C(1000000000);

bool is_cancelled(const volatile int *cancel)
{
	return cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED);
}

/* The kernel stamps files from a clock that ticks every few milliseconds, and
 * some file systems keep whole seconds, even ones only. */
void entry_mark_racy(struct entry *e, int64_t start_ns)
{
	int64_t window = e->ctime_ns % SECOND_NS ? FINE_NS : COARSE_NS;
	int64_t limit = start_ns - window;

	if (e->mtime_ns >= limit || e->ctime_ns >= limit)
		e->flags |= ENTRY_RACY;
	else
		e->flags &= ~ENTRY_RACY;
}

/* Digest of exactly SIZE bytes of FD; -EAGAIN when it has fewer or more, so
 * that a file which grows as fast as it is read ends too. */
static int digest_exactly(int fd, int64_t size, struct hasher *h,
	const volatile int *cancel, uint64_t *bytes)
{
	char buf[READ_BYTES];
	int64_t done = 0;

	for (;;) {
		ssize_t n = io_read_full(fd, buf, sizeof(buf));

		if (n < 0)
			return n;
		done += n;
		*bytes += n;
		if (done > size)
			return -EAGAIN;
		hasher_update(h, buf, n);
		if (n < (ssize_t)sizeof(buf))
			return done == size ? 0 : -EAGAIN;
		if (is_cancelled(cancel))
			return -ECANCELED;
	}
}

static bool same_state(const struct stat *a, const struct stat *b)
{
	struct entry was = { 0 }, is = { 0 };

	entry_from_stat(&was, a);
	entry_from_stat(&is, b);
	return a->st_dev == b->st_dev && was.ino == is.ino &&
		was.size == is.size && was.mtime_ns == is.mtime_ns &&
		was.ctime_ns == is.ctime_ns;
}

/* What open(2) says of things that are no regular file (a link, a socket, a
 * device without a driver), of a directory above that is gone, and of a file
 * under a lease, which is no sign of change. */
static int open_result(int r)
{
	switch (r) {
	case -ELOOP:
	case -ENXIO:
	case -ENODEV:
		return -ENOTSUP;
	case -ENOTDIR:
		return -ENOENT;
	case -EAGAIN:
		return -EBUSY;
	default:
		return r;
	}
}

/* One reading into NEW: its state, and the digest on success. */
static int hash_once(const struct hash_options *o, const char *path,
	struct hasher *h, struct entry *new, uint64_t *bytes, unsigned tries)
{
	struct stat before, after;
	autofd int fd = -1;
	int r;

	fd = beneath_open(o->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
		0);
	if (fd < 0)
		return open_result(fd);
	if (fstat(fd, &before) < 0)
		return -errno;
	if (!S_ISREG(before.st_mode))
		return -ENOTSUP;
	r = digest_exactly(fd, before.st_size, h, o->cancel, bytes);
	/* Always: it makes the hasher ready for the next one. */
	hasher_final(h, &new->digest);
	if (r < 0 && r != -EAGAIN)
		return r;
	if (o->before_check)
		o->before_check(o->ctx, tries);
	if (fstat(fd, &after) < 0)
		return -errno;
	entry_from_stat(new, &after);
	entry_mark_racy(new, o->start_ns);
	return r < 0 || !same_state(&before, &after) ? -EAGAIN : 0;
}

static void take_state(struct entry *e, const struct entry *new)
{
	const char *path = e->path;

	*e = *new;
	e->path = path;
}

int hash_entry(const struct hash_options *o, struct entry *e, uint64_t *bytes)
{
	struct hasher *h = hasher_new();
	struct entry new = { 0 };
	int r = -EAGAIN;

	for (unsigned tries = 0; tries < TRIES && r == -EAGAIN; tries++)
		r = hash_once(o, e->path, h, &new, bytes, tries);
	hasher_free(h);
	if (r == 0) {
		new.flags |= ENTRY_HASHED;
		take_state(e, &new);
	} else if (r == -EAGAIN) {
		new.flags |= ENTRY_RACY;
		new.digest = (struct digest){ 0 };
		take_state(e, &new);
	}
	return r;
}

int scan_hash_file(int root_fd, struct entry *e)
{
	const struct hash_options o = {
		.root_fd = root_fd,
		.start_ns = io_wall_ns(),
	};
	struct entry new = *e;
	uint64_t bytes = 0;
	int r = hash_entry(&o, &new, &bytes);

	if (r == 0)
		*e = new;
	return r == -ENOTSUP ? -EAGAIN : r;
}
