/*
 * Fetching: the sandbox's tar streams into a pipe, from whose other end a
 * thread of ours unpacks.
 */
#include "transport/tree_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/fetch.sh.h"
#include "transport/tar.h"

enum { EXTRA_TIMES = 4, EXTRA_ENTRIES = 10000 };

struct unpacking {
	int pipe[2];
	int staging_fd;
	const struct tree_progress *progress;
	struct tar_limits limits;
	struct manifest *got;
	GError *why;
	int result;
};

static int to_pipe(void *ctx, const void *buf, size_t len)
{
	struct unpacking *u = ctx;

	if (u->progress)
		u->progress->received(u->progress->ctx, len);
	return io_write_full(u->pipe[1], buf, len);
}

static ssize_t from_pipe(void *ctx, void *buf, size_t len)
{
	struct unpacking *u = ctx;
	ssize_t n = read(u->pipe[0], buf, len);

	return n < 0 ? -errno : n;
}

static void *unpack(void *arg)
{
	struct unpacking *u = arg;
	struct source in = { .read = from_pipe, .ctx = u };

	pthread_setname_np(pthread_self(), "unpack");
	u->result = tar_extract(
		&in, &u->limits, u->staging_fd, &u->got, &u->why);
	/* A sender that has more to say must not wait for us. */
	close(u->pipe[0]);
	return NULL;
}

static int run(struct tree *t, const struct tree_request *q, struct unpacking *u,
	const struct call *call, GError **err)
{
	const GPtrArray *paths = q->paths;
	GString *list = tree_path_list(paths);
	struct text_source text = { .text = list->str, .len = list->len };
	struct source in = text_source(&text);
	struct sink out = { .write = to_pipe, .ctx = u };
	int r = tree_run(
		t, "fetching", q->script, q->more, call, &in, &out, err);

	g_string_free(list, TRUE);
	return r;
}

/* What was asked for, a few times over (a name may have become a directory
 * since), and never more than there is room for: holes count, or a few bytes
 * could keep us busy for years. */
static struct tar_limits limits_for(const struct tree_request *q, int dir)
{
	struct statvfs fs;
	struct tar_limits l = {
		.entries = (uint64_t)q->paths->len * EXTRA_TIMES +
			EXTRA_ENTRIES,
	};

	if (fstatvfs(dir, &fs) == 0)
		l.bytes = MAX((uint64_t)fs.f_bavail * fs.f_frsize, 1);
	return l;
}

int tree_receive(struct tree *t, const struct tree_request *q, int staging_fd,
	const struct call *call, struct manifest **got, GError **err)
{
	struct unpacking u = {
		.staging_fd = staging_fd, .progress = q->progress,
	};
	g_autoptr(GError) why = NULL;
	pthread_t thread;
	int r;

	u.limits = limits_for(q, staging_fd);
	if (pipe2(u.pipe, O_CLOEXEC) < 0)
		return fail_errno(err, -errno, "fetch: make a pipe");
	r = pthread_create(&thread, NULL, unpack, &u);
	if (r != 0) {
		close(u.pipe[0]);
		close(u.pipe[1]);
		return fail_errno(err, -r, "fetch: start a thread");
	}
	r = run(t, q, &u, call, &why);
	close(u.pipe[1]);
	pthread_join(thread, NULL);
	/* The reason of the side that failed first: a broken pipe is only what
	 * follows from a refused archive. */
	if (u.result < 0 && (r == 0 || why->code == FAIL_UNKNOWN)) {
		g_propagate_error(err, g_steal_pointer(&u.why));
		r = -EIO;
	} else if (r < 0) {
		g_propagate_error(err, g_steal_pointer(&why));
	}
	g_clear_error(&u.why);
	if (r == 0)
		*got = u.got;
	else
		manifest_free(u.got);
	return r < 0 ? -EIO : 0;
}

int tree_fetch(struct tree *t, const GPtrArray *paths, int staging_fd,
	const struct call *call, const struct tree_progress *progress,
	struct manifest **got, GError **err)
{
	const struct tree_request q = {
		.script = script_fetch, .paths = paths, .progress = progress,
	};

	return tree_receive(t, &q, staging_fd, call, got, err);
}
