/*
 * Large stubs by ranges: one job of fs/mirror/part.h, from the sandbox into the
 * part's file, and the whole when nothing is missing any more.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/mirror.h"
#include "fs/mirror/part.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want.h"
#include "merge/lib/digest.h"
#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

enum {
	FLOW_MS = 5000,		/* a flow of another is waited for */
	SLOWEST = 16 << 10,	/* bytes a second that are still waited for */
	SLOWEST_HASH = 4 << 20,
};

struct range {
	struct session *s;
	struct cancel *cancel;
	const struct want_file *f;
	char *path;		/* in the sandbox; owned */
	struct entry mirror, remote;	/* rows; their path is `path` */
	int64_t told_ns;
};

static bool find_rows(struct range *r)
{
	struct state *state = r->s->state;

	g_free(r->path);
	plan_entry_clear(&r->remote);
	r->path = state_find_inode(state, r->f->ino, &r->mirror);
	if (!r->path || !state_find(state, STATE_ACK_REMOTE, r->path,
				&r->remote))
		return false;
	r->mirror.path = r->remote.path = r->path;
	return r->remote.type == ENTRY_FILE;
}

static void received(void *ctx, uint64_t bytes)
{
	struct range *r = ctx;
	int64_t now = io_now_ns();

	(void)bytes;
	if (now - r->told_ns < 500 * INT64_C(1000000))
		return;
	r->told_ns = now;
	mirror_fill_goes_on(r->s->mirror, r->f->node);
}

static struct call call_for(struct range *r, uint64_t bytes, uint64_t slowest)
{
	struct call call = session_call(r->s);
	int64_t limit = call.deadline_ms ? call.deadline_ms
					 : r->s->spec->timeout_ms;

	call.cancel = r->cancel;
	call.deadline_ms = limit + (int64_t)(bytes / slowest) * 1000;
	return call;
}

enum outcome {
	RANGE_DONE,	/* or nobody needs it */
	RANGE_AGAIN,	/* rows, stub and sandbox do not agree */
	RANGE_FAILED,
};

/* --- the whole ------------------------------------------------------------- */

/* Whether the sandbox's file has this digest: 1, 0, or negative when it did not
 * say. Where it cannot tell, its size, time and inode have to do. */
static int is_digest_there(struct range *r, const struct digest *own)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new();
	g_autoptr(GError) why = NULL;
	struct call call = call_for(r, (uint64_t)r->remote.size, SLOWEST_HASH);
	struct digest theirs;
	bool hashed = false;

	if (!tree_has_digests(r->s->tree))
		return 1;
	g_ptr_array_add(paths, r->path);
	if (tree_hash(r->s->tree, paths, &call, &theirs, &hashed, &why) < 0) {
		log_write(LOG_WARNING, "comparing a fetched file: %s",
			why->message);
		return -EIO;
	}
	return hashed && digest_equal(own, &theirs);
}

static void finish(struct range *r)
{
	struct mirror *m = r->s->mirror;
	struct fill fill = { 0 };
	struct entry got;
	int fd, same;

	if (!find_rows(r) || r->mirror.size != r->f->size ||
		r->remote.size != r->f->size ||
		!mirror_part_claim(m, r->f->part, &fill.node, &fd))
		return;
	got = r->remote;
	got.flags = ENTRY_HASHED;
	if (lseek(fd, 0, SEEK_SET) < 0 || digest_fd(fd, &got.digest, NULL) < 0) {
		mirror_fill_failed(m, fill.node, -EAGAIN);
		return;
	}
	same = is_digest_there(r, &got.digest);
	if (same <= 0) {
		if (same == 0)
			mirror_part_reset(m, r->f->part);
		mirror_fill_failed(m, fill.node, -EAGAIN);
		return;
	}
	fill.staged_fd = fd;
	fill.row_mirror = &r->mirror;
	fill.row_remote = &r->remote;
	fill.remote = &got;
	failpoint("part-whole");
	mirror_fill(m, &fill, 1);
	if (fill.result == 0) {
		const struct counters add = { .fetched_files = 1 };

		session_count(r->s, &add);
	}
}

/* --- one range ------------------------------------------------------------- */

static enum outcome store(struct range *r, const struct tree_range *got)
{
	const struct want_file *f = r->f;
	const struct counters add = { .fetched_bytes = f->len };
	int whole;

	if (got->seen.size != r->remote.size ||
		got->seen.mtime_ns != r->remote.mtime_ns)
		return RANGE_AGAIN;
	session_count(r->s, &add);
	failpoint("range-written");
	whole = mirror_part_arrived(
		r->s->mirror, f->part, f->off, f->len, &got->seen);
	mirror_part_save(r->s->mirror, f->part);
	failpoint("range-recorded");
	if (whole)
		finish(r);
	return RANGE_DONE;
}

static enum outcome once(struct range *r, struct tree_range *got, GError **err)
{
	const struct tree_progress progress = { .received = received, .ctx = r };
	struct call call = call_for(r, r->f->len, SLOWEST);
	int fd;

	got->seen = (struct entry){ 0 };
	if (!find_rows(r))
		return RANGE_AGAIN;
	fd = mirror_part_fd(r->s->mirror, r->f->part, &r->remote);
	if (fd == -ECANCELED) {
		mirror_part_failed(r->s->mirror, r->f->part, r->f->off,
			r->f->len, fd);
		return RANGE_DONE;
	}
	if (fd == -EAGAIN)
		return RANGE_AGAIN;
	if (fd < 0) {
		fail_errno(err, fd, "keep a part of a file");
		return RANGE_FAILED;
	}
	call.stall_ms = session_call(r->s).deadline_ms
		? session_call(r->s).deadline_ms : r->s->spec->timeout_ms;
	got->off = r->f->off;
	got->len = r->f->len;
	got->fd = fd;
	if (tree_range(r->s->tree, r->path, got, &call, &progress, err) < 0)
		return RANGE_FAILED;
	return got->proven ? store(r, got) : RANGE_AGAIN;
}

/* Once more it was not what the rows say, with no flow under way. */
static void give_up(struct range *r, const struct tree_range *got)
{
	struct mirror *m = r->s->mirror;
	const struct want_file *f = r->f;
	g_autofree char *shown = r->path ? path_display(r->path) : NULL;

	if (r->path && got->seen.type == ENTRY_FILE &&
		(got->seen.size != r->remote.size ||
			got->seen.mtime_ns != r->remote.mtime_ns)) {
		log_write(LOG_INFO, "%s changed in the sandbox while it was "
			"read", shown);
		mirror_part_changed(
			m, f->part, &r->mirror, &r->remote, &got->seen);
	}
	/* Of a part that is over this frees the range only. */
	mirror_part_failed(m, f->part, f->off, f->len, -EIO);
}

void fetch_range(struct session *s, struct cancel *cancel,
	const struct want_file *f)
{
	struct range r = { .s = s, .cancel = cancel, .f = f };
	struct tree_range got = { 0 };
	g_autoptr(GError) why = NULL;
	enum outcome o = RANGE_FAILED;

	if (s->tree)
		o = once(&r, &got, &why);
	if (o == RANGE_AGAIN) {
		bool alone = session_try_flow(s, FLOW_MS);

		o = once(&r, &got, &why);
		if (alone)
			session_leave_flow(s);
	}
	if (o == RANGE_AGAIN)
		give_up(&r, &got);
	if (o == RANGE_FAILED) {
		log_write(LOG_WARNING, "fetching a part: %s",
			why ? why->message : "no connection");
		mirror_part_failed(s->mirror, f->part, f->off, f->len,
			why && why->code == FAIL_DEADLINE ? -ETIMEDOUT : -EIO);
	}
	mirror_part_put(s->mirror, f->part);
	plan_entry_clear(&r.remote);
	g_free(r.path);
}
