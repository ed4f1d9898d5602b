/*
 * The bytes of stubs, from the sandbox into the mirror.
 *
 * A job is a number of stubs. The acknowledged rows say where the sandbox has
 * them; one command brings them with proof that none changed while it was read
 * (tree_fill); the mirror fills them. What is not where its row says may have
 * been moved by a batch that is just under way: it is tried once more with no
 * other flow running, and then it is really gone.
 *
 * Threads of a mount: one that ends waits (deadlines, interruptions), a few
 * that fetch. The flows call fetch_nodes() and fetch_all() by themselves.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/mirror.h"
#include "fs/mirror/part.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"

enum {
	THREADS = 3,
	JOB_FILES = 1000,		/* of a job of ours */
	JOB_BYTES = 64 << 20,
	FLOW_MS = 5000,			/* a flow of another is waited for */
	SLOWEST = 16 << 10,		/* bytes a second that are still waited
					 * for */
};

struct fetcher {
	struct session *s;
	struct cancel *cancel;
	pthread_t waits, threads[THREADS];
	unsigned count;
	bool has_waits;
};

/* One file of a job. */
struct item {
	uint64_t node;
	char *path;			/* in the sandbox; owned */
	struct entry mirror, remote;	/* rows; their path is `path` */
	int fd;				/* staged */
	const struct entry *got;
	bool again, done;		/* of this round; settled for good */
};

/* A job that a flow waits for: how far the whole is before it. */
struct share {
	uint64_t done, total;	/* bytes; total 0: nobody is told */
};

struct job {
	struct session *s;
	const struct share *share;	/* NULL: of a thread of the mount */
	struct cancel *cancel;
	struct item *items;
	guint count;
	uint64_t bytes, size;	/* received; of the files */
	int64_t told_ns;	/* when waits were last told that it goes on */
};

/* --- one round of a job --------------------------------------------------- */

static void settle(struct job *j, struct item *it, int r)
{
	mirror_fill_failed(j->s->mirror, it->node, r);
	it->done = true;
}

/* Where the sandbox has the file, by the rows as they are now. */
static bool find_source(struct job *j, struct item *it, uint64_t ino)
{
	struct state *state = j->s->state;

	g_free(it->path);
	it->path = state_find_inode(state, ino, &it->mirror);
	if (!it->path || !state_find(state, STATE_ACK_REMOTE, it->path,
				 &it->remote))
		return false;
	it->mirror.path = it->remote.path = it->path;
	return it->remote.type == ENTRY_FILE;
}

static void received(void *ctx, uint64_t bytes)
{
	struct job *j = ctx;
	int64_t now = io_now_ns();

	j->bytes += bytes;
	if (j->share && j->share->total)
		session_step(j->s, "fetching", MIN(j->share->total,
				     j->share->done + MIN(j->bytes, j->size)),
			j->share->total, true);
	if (now - j->told_ns < 500 * INT64_C(1000000))
		return;
	j->told_ns = now;
	for (guint i = 0; i < j->count; i++)
		if (!j->items[i].done)
			mirror_fill_goes_on(j->s->mirror, j->items[i].node);
}

static int errno_of(const GError *why)
{
	return why->code == FAIL_DEADLINE ? -ETIMEDOUT : -EIO;
}

/* Hands over what arrived. */
static void fill(struct job *j, const struct tree_filled *in, int staging_fd)
{
	g_autofree struct fill *fills = g_new0(struct fill, j->count + 1);
	g_autofree struct item **of = g_new0(struct item *, j->count + 1);
	struct counters add = { 0 };
	size_t n = 0;

	for (guint i = 0; i < j->count; i++) {
		struct item *it = &j->items[i];

		if (it->done)
			continue;
		it->got = it->path ? manifest_find(in->files, it->path) : NULL;
		it->fd = it->got ? beneath_open(
					   staging_fd, it->path, O_RDONLY, 0)
				 : -1;
		it->again = it->fd < 0;
		if (it->again)
			continue;
		of[n] = it;
		fills[n++] = (struct fill){
			.node = it->node, .staged_fd = it->fd,
			.row_mirror = &it->mirror, .row_remote = &it->remote,
			.remote = it->got,
		};
	}
	mirror_fill(j->s->mirror, fills, n);
	for (size_t i = 0; i < n; i++) {
		of[i]->done = true;
		close(of[i]->fd);
		add.fetched_files += fills[i].result == 0 ||
			fills[i].result == -ESTALE;
		add.fetched_bytes += (uint64_t)of[i]->got->size;
	}
	session_count(j->s, &add);
}

static int ask(struct job *j, const GPtrArray *paths, uint64_t bytes,
	struct tree_filled *out, int staging_fd, GError **err)
{
	const struct tree_progress progress = {
		.received = received, .ctx = j,
	};
	struct call call = session_call(j->s);
	int64_t limit = call.deadline_ms ? call.deadline_ms
					 : j->s->spec->timeout_ms;

	call.cancel = j->cancel;
	call.stall_ms = limit;
	call.deadline_ms = limit + (int64_t)(bytes / SLOWEST) * 1000;
	return tree_fill(j->s->tree, paths, staging_fd, &call, &progress, out,
		err);
}

/* 0 also when single files did not come: those say `again`. */
static int round_of(struct job *j, const struct want_file *files, GError **err)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new();
	struct tree_filled in = { 0 };
	g_autofree char *staging = NULL;
	uint64_t bytes = 0;
	autofd int fd = -1;
	int r;

	for (guint i = 0; i < j->count; i++) {
		struct item *it = &j->items[i];

		if (it->done)
			continue;
		/* Perhaps a flow has just made it, and its row follows. */
		it->again = !find_source(j, it, files[i].ino);
		if (it->again)
			continue;
		bytes += (uint64_t)MAX(it->remote.size, 0);
		g_ptr_array_add(paths, it->path);
	}
	if (!paths->len)
		return 0;
	fd = session_make_staging(j->s, &staging, err);
	r = fd < 0 ? -EIO : ask(j, paths, bytes, &in, fd, err);
	if (r == 0)
		fill(j, &in, fd);
	manifest_free(in.files);
	manifest_free(in.seen);
	session_remove_staging(j->s, staging);
	return r;
}

static bool has_again(const struct job *j)
{
	for (guint i = 0; i < j->count; i++)
		if (j->items[i].again && !j->items[i].done)
			return true;
	return false;
}

/* Runs FILES to its end; every node of it is settled. SHARE: the caller is the
 * flow. */
static int run_job(struct session *s, struct cancel *cancel,
	const GArray *files, const struct share *share, GError **err)
{
	const struct want_file *f = (const struct want_file *)(void *)files->data;
	struct job j = {
		.s = s, .cancel = cancel, .share = share, .count = files->len,
		.items = g_new0(struct item, files->len + 1),
	};
	g_autoptr(GError) why = NULL;
	int r = s->tree ? 0 : -EIO;

	for (guint i = 0; i < j.count; i++) {
		j.items[i].node = f[i].node;
		j.size += (uint64_t)f[i].size;
	}
	if (r == 0)
		r = round_of(&j, f, &why);
	if (r == 0 && has_again(&j)) {
		bool alone = share || session_try_flow(s, FLOW_MS);

		r = round_of(&j, f, &why);
		if (alone && !share)
			session_leave_flow(s);
	}
	for (guint i = 0; i < j.count; i++) {
		if (!j.items[i].done)
			settle(&j, &j.items[i], why ? errno_of(why) : -EIO);
		g_free(j.items[i].path);
	}
	g_free(j.items);
	if (why)
		g_propagate_error(err, g_steal_pointer(&why));
	return r;
}

/* --- the mount's threads --------------------------------------------------- */

static void *run_waits(void *arg)
{
	struct fetcher *f = arg;

	pthread_setname_np(pthread_self(), "waits");
	mirror_serve_waits(f->s->mirror);
	return NULL;
}

static void *run_fetches(void *arg)
{
	struct fetcher *f = arg;
	GArray *files;

	pthread_setname_np(pthread_self(), "fetch");
	while ((files = mirror_next_job(f->s->mirror))) {
		const struct want_file *first =
			(const struct want_file *)(void *)files->data;
		g_autoptr(GError) why = NULL;

		if (first->part)
			fetch_range(f->s, f->cancel, first);
		else if (run_job(f->s, f->cancel, files, NULL, &why) < 0)
			log_write(LOG_WARNING, "fetching: %s",
				why ? why->message : "no connection");
		else
			log_write(LOG_DEBUG, "fetched %u files", files->len);
		g_array_free(files, TRUE);
	}
	return NULL;
}

int session_start_fetcher(struct session *s, GError **err)
{
	struct fetcher *f = g_new0(struct fetcher, 1);
	struct remote_caps caps = { 0 };
	unsigned want = THREADS;
	int r;

	f->s = s;
	f->cancel = cancel_new();
	s->fetcher = f;
	if (s->tree && tree_has_ranges(s->tree))
		mirror_serve_parts(s->mirror, s->parts_fd);
	if (s->remote)
		remote_get_caps(s->remote, &caps);
	/* One is left to the uploader. */
	if (caps.max_parallel)
		want = CLAMP(caps.max_parallel - 1, 1, THREADS);
	r = pthread_create(&f->waits, NULL, run_waits, f);
	f->has_waits = r == 0;
	while (r == 0 && f->count < want) {
		r = pthread_create(
			&f->threads[f->count], NULL, run_fetches, f);
		f->count += r == 0;
	}
	if (r == 0)
		return 0;
	session_stop_fetcher(s);
	return fail_errno(err, -r, "start the fetching threads");
}

void session_stop_fetcher(struct session *s)
{
	struct fetcher *f = s->fetcher;

	if (!f)
		return;
	cancel_raise(f->cancel);
	mirror_stop_wants(s->mirror);
	for (unsigned i = 0; i < f->count; i++)
		pthread_join(f->threads[i], NULL);
	if (f->has_waits)
		pthread_join(f->waits, NULL);
	s->fetcher = NULL;
	cancel_free(f->cancel);
	g_free(f);
}

/* --- for the flows --------------------------------------------------------- */

static int check_filled(struct session *s, const uint64_t *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!mirror_is_complete(s->mirror, nodes[i]))
			return -ESTALE;
	return 0;
}

int fetch_nodes(struct session *s, const uint64_t *nodes, size_t n,
	GError **err)
{
	g_autoptr(GArray) all = g_array_new(
		FALSE, FALSE, sizeof(struct want_file));
	const struct share untold = { 0 };
	uint64_t bytes = 0;

	for (size_t i = 0; i <= n; i++) {
		GArray *one = i < n ? mirror_job_of(s->mirror, nodes[i]) : NULL;

		if (one) {
			bytes += (uint64_t)g_array_index(
				one, struct want_file, 0).size;
			g_array_append_vals(all, one->data, one->len);
			g_array_free(one, TRUE);
		}
		if (all->len && (i == n || all->len >= JOB_FILES ||
					bytes > JOB_BYTES)) {
			if (run_job(s, s->cancel, all, &untold, err) < 0)
				return -EIO;
			g_array_set_size(all, 0);
			bytes = 0;
		}
	}
	return check_filled(s, nodes, n);
}

int fetch_all(struct session *s, GError **err)
{
	uint64_t left, bytes, before, total;
	GArray *files;

	mirror_stub_count(s->mirror, &before, &total);
	left = before;
	bytes = total;
	while ((files = mirror_any_job(s->mirror, JOB_FILES, JOB_BYTES))) {
		const struct share share = { total - MIN(bytes, total), total };
		int r = run_job(s, s->cancel, files, &share, err);

		g_array_free(files, TRUE);
		if (r < 0)
			return -EIO;
		mirror_stub_count(s->mirror, &left, &bytes);
		session_step(s, "fetching", total - MIN(bytes, total), total,
			true);
		/* Nothing of a whole job came: the rest would not, either. */
		if (left == before)
			break;
		before = left;
	}
	mirror_stub_count(s->mirror, &left, &bytes);
	if (left)
		return fail(err, FAIL_UNAVAILABLE,
			"%" PRIu64 " files could not be fetched: the sandbox "
			"changed or removed them meanwhile; `sandmount refresh "
			"%s` and try again", left, s->name);
	return 0;
}
