#include "merge/lib/io.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#include "merge/lib/failpoint.h"

enum { BUFFER = 256 * 1024 };

int steal_fd(int *fd)
{
	int own = *fd;

	*fd = -1;
	return own;
}

ssize_t io_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int io_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		failpoint("write");
		n = write(fd, (const char *)buf + done,
			failpoint_part(len - done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static int pwrite_full(int fd, const char *buf, size_t len, off_t at)
{
	while (len) {
		ssize_t n;

		failpoint("copy");
		n = pwrite(fd, buf, failpoint_part(len), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

struct copy {
	int from, to;
	struct hasher *hasher;	/* NULL: no digest wanted */
	char *buf;
	off_t end;		/* bytes seen so far */
};

/* Copies what is between AT and STOP (or the file's end if that is sooner). */
static int copy_data(struct copy *c, off_t at, off_t stop)
{
	while (at < stop) {
		size_t want = (size_t)MIN((off_t)BUFFER, stop - at);
		ssize_t n = pread(c->from, c->buf, want, at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (c->hasher)
			hasher_update(c->hasher, c->buf, (size_t)n);
		r = pwrite_full(c->to, c->buf, (size_t)n, at);
		if (r < 0)
			return r;
		at += n;
	}
	c->end = MAX(c->end, at);
	return 0;
}

static void hash_hole(struct copy *c, off_t at, off_t stop)
{
	if (c->hasher && at < stop)
		memset(c->buf, 0, BUFFER);
	while (c->hasher && at < stop) {
		size_t n = (size_t)MIN((off_t)BUFFER, stop - at);

		hasher_update(c->hasher, c->buf, n);
		at += (off_t)n;
	}
	c->end = MAX(c->end, stop);
}

/* Walks data and holes. A file that grows meanwhile is copied to the size it
 * had at the start; one that shrinks, as far as it goes. */
static int copy_extents(struct copy *c, off_t size)
{
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(c->from, at, SEEK_DATA);
		off_t hole;
		int r;

		if (data < 0 && errno == ENXIO)
			data = size;	/* only a hole is left */
		else if (data < 0)
			data = at;	/* no such notion here: all data */
		data = MIN(data, size);
		hash_hole(c, at, data);
		if (data == size)
			break;
		hole = lseek(c->from, data, SEEK_HOLE);
		hole = hole < 0 ? size : MIN(hole, size);
		r = copy_data(c, data, hole);
		if (r < 0)
			return r;
		if (c->end < hole)
			break;	/* shrank */
		at = hole;
	}
	return 0;
}

int io_copy_file(int from, int to, struct digest *out, uint64_t *size)
{
	struct copy c = { .from = from, .to = to };
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return -errno;
	if (ioctl(to, FICLONE, from) == 0) {
		if (lseek(to, 0, SEEK_SET) < 0 || fstat(to, &st) < 0)
			return -errno;
		if (size)
			*size = (uint64_t)st.st_size;
		return out ? digest_fd(to, out, NULL) : 0;
	}
	c.buf = g_malloc(BUFFER);
	if (out)
		c.hasher = hasher_new();
	r = copy_extents(&c, st.st_size);
	if (r == 0 && ftruncate(to, c.end) < 0)
		r = -errno;
	if (r == 0 && out)
		hasher_final(c.hasher, out);
	if (r == 0 && size)
		*size = (uint64_t)c.end;
	hasher_free(c.hasher);
	g_free(c.buf);
	return r;
}

int io_sync(int fd)
{
	int r;

	failpoint("fsync");
	r = fsync(fd) < 0 ? -errno : 0;
	failpoint("fsynced");
	errno = -r;
	return r;
}

int io_sync_dir(int dir_fd)
{
	failpoint("fsync-dir");
	if (fsync(dir_fd) == 0 || errno == EINVAL || errno == ENOTSUP)
		return 0;
	return -errno;
}

static void fill_random(void *raw, size_t len)
{
	if (getrandom(raw, len, 0) != (ssize_t)len)
		g_error("getrandom: %s", g_strerror(errno));
}

char *io_random_hex(size_t bytes)
{
	g_autofree uint8_t *raw = g_malloc(bytes);
	GString *hex = g_string_new(NULL);

	fill_random(raw, bytes);
	for (size_t i = 0; i < bytes; i++)
		g_string_append_printf(hex, "%02x", raw[i]);
	return g_string_free(hex, FALSE);
}

char *io_temp_name(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	unsigned char raw[12];
	char text[sizeof(raw) + 1] = "";

	fill_random(raw, sizeof(raw));
	for (size_t i = 0; i < sizeof(raw); i++)
		text[i] = letters[raw[i] & 31];
	return g_strconcat(".sandmount-", text, ".tmp", NULL);
}

int io_is_temp_name(const char *name)
{
	return g_str_has_prefix(name, ".sandmount-") &&
		g_str_has_suffix(name, ".tmp");
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t io_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t io_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}
