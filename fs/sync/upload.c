/*
 * One round of sending: collect what is dirty, derive a batch, send it, write
 * down what the sandbox confirmed. Only one batch is in flight.
 *
 * Killed anywhere: the acknowledged tables still say what was confirmed last,
 * the mirror holds everything, and the next run's comparison of the two finds
 * what to send. A batch that was applied without our hearing of it shows up as
 * diverged; the refresh then finds equal bytes on both sides.
 */
#include "fs/sync/internal.h"

#include <inttypes.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"

enum {
	BATCH_ENTRIES = 20000,
	BATCH_BYTES = 256 << 20,
	ROUND_TRIES = 3,	/* replays of one batch */
	KNOTTED_ROUNDS = 2,	/* the same, before moves are given up */
	STALLED_ROUNDS = 8,	/* rounds without progress */
	REFUSED_ROUNDS = 3,	/* rounds in which the sandbox refused some */
};

struct round {
	struct session *s;
	struct mirror_changes *changes;
	struct batch *batch;
	bool *ok;
	GArray *index;
	GHashTable *op_index;	/* batch_op -> index + 1 */
	uint64_t sent_before, bytes_total;	/* for the progress */
};

static const struct mirror_change *change_of(const struct round *r,
	const struct batch_op *op)
{
	guint i = GPOINTER_TO_UINT(g_hash_table_lookup(r->op_index, op)) - 1;

	return g_ptr_array_index(
		r->changes->list, g_array_index(r->index, guint, i));
}

static int open_bytes(void *ctx, const struct batch_op *op, int *reason)
{
	struct round *r = ctx;
	int fd = mirror_open_content(r->s->mirror, op->path);

	if (fd < 0)
		*reason = fd;
	return fd < 0 ? -1 : fd;
}

static bool still_same(void *ctx, const struct batch_op *op)
{
	struct round *r = ctx;

	return mirror_change_is_current(r->s->mirror, change_of(r, op));
}

static void progress(void *ctx, uint64_t bytes)
{
	struct round *r = ctx;

	session_step(r->s, "sending", r->sent_before + bytes,
		r->bytes_total, true);
}

/* The acknowledged rows after OP was confirmed. */
static int acknowledge_op(struct round *r, const struct batch_op *op,
	GError **err)
{
	struct state *state = r->s->state;
	struct entry mirror = change_of(r, op)->now;
	struct entry remote = op->remote;

	if (op->kind == BATCH_MOVE)
		return state_move(state, STATE_ACK_MIRROR, op->path, op->to,
			       err) < 0 ||
				state_move(state, STATE_ACK_REMOTE, op->path,
					op->to, err) < 0
			? -EIO : 0;
	if (op->kind == BATCH_DELETE)
		return state_remove(state, STATE_ACK_MIRROR, op->path, err) <
					0 ||
				state_remove(state, STATE_ACK_REMOTE, op->path,
					err) < 0
			? -EIO : 0;
	mirror.path = remote.path = op->path;
	if (op->kind == BATCH_CHMOD) {
		struct entry old = { 0 };

		if (state_find(state, STATE_ACK_MIRROR, op->path, &old) &&
			(old.flags & ENTRY_HASHED)) {
			mirror.digest = old.digest;
			mirror.flags |= ENTRY_HASHED;
		}
		plan_entry_clear(&old);
	} else if (op->entry.flags & ENTRY_HASHED) {
		mirror.digest = op->entry.digest;
		mirror.flags |= ENTRY_HASHED;
	}
	return state_put(state, STATE_ACK_MIRROR, &mirror, err) < 0 ||
			state_put(state, STATE_ACK_REMOTE, &remote, err) < 0
		? -EIO : 0;
}

/* A file that only moved: its row came along, but its ctime is another now.
 * Renames change ctime, so the row is refreshed with what the mirror says. */
static int acknowledge_move_stat(struct round *r, const struct batch_op *op,
	GError **err)
{
	const struct mirror_change *c = change_of(r, op);
	struct entry row = { 0 };
	struct entry now = c->now;
	int ret;

	if (op->kind != BATCH_MOVE || c->content ||
		!state_find(r->s->state, STATE_ACK_MIRROR, op->to, &row))
		return 0;
	now.path = op->to;
	now.digest = row.digest;
	now.flags = row.flags;
	now.mode = row.mode;
	ret = state_put(r->s->state, STATE_ACK_MIRROR, &now, err);
	plan_entry_clear(&row);
	if (ret == 0 && op->remote.type != ENTRY_ABSENT) {
		struct entry remote = op->remote;

		remote.path = op->to;
		ret = state_put(r->s->state, STATE_ACK_REMOTE, &remote, err);
	}
	return ret;
}

/* A confirmed move: the sandbox has what was at or below it elsewhere now. */
static void rebase_acked(struct round *r, const struct batch_op *op)
{
	for (guint i = 0; i < r->changes->list->len; i++) {
		struct mirror_change *c =
			g_ptr_array_index(r->changes->list, i);
		char *now;

		if (!c->acked_path || !path_is_within(c->acked_path, op->path))
			continue;
		now = path_rebase(c->acked_path, op->path, op->to);
		g_free(c->acked_path);
		c->acked_path = now;
	}
}

static int acknowledge(struct round *r, struct upload_result *out,
	GError **err)
{
	struct state *state = r->s->state;
	g_autoptr(GPtrArray) moved = g_ptr_array_new();

	if (state_begin(state, err) < 0)
		return -EIO;
	for (guint i = 0; i < r->batch->ops->len; i++) {
		const struct batch_op *op =
			g_ptr_array_index(r->batch->ops, i);

		if (op->result != BATCH_DONE) {
			r->ok[g_array_index(r->index, guint, i)] = false;
			out->diverged |= op->result == BATCH_DIVERGED;
			session_follow(r->s, op->path);
			if (op->to)
				session_follow(r->s, op->to);
			continue;
		}
		if (acknowledge_op(r, op, err) < 0 ||
			acknowledge_move_stat(r, op, err) < 0) {
			state_rollback(state);
			return -EIO;
		}
		if (op->kind == BATCH_MOVE) {
			rebase_acked(r, op);
			g_ptr_array_add(moved, op->path);
			g_ptr_array_add(moved, op->to);
		}
		out->ops++;
		out->deleted += op->kind == BATCH_DELETE;
		out->replaced += op->kind == BATCH_DELETE ||
			(op->kind == BATCH_PUT &&
				op->expect.type != ENTRY_ABSENT);
	}
	if (moves_note(r->s, moved, err) < 0 ||
		session_note_applied(r->s, err) < 0) {
		state_rollback(state);
		return -EIO;
	}
	return state_commit(state, err);
}

/* Is another try of the same batch of use? */
static bool may_retry(const GError *why)
{
	return g_error_matches(why, FAIL, FAIL_UNKNOWN) ||
		g_error_matches(why, FAIL, FAIL_PROTOCOL);
}

static int send_batch(struct round *r, struct batch_stats *stats, GError **err)
{
	for (int i = 0;; i++) {
		g_autoptr(GError) why = NULL;
		struct call call = session_call(r->s);

		if (tree_apply(r->s->tree, r->batch, &call, stats, &why) == 0)
			return 0;
		if (i + 1 == ROUND_TRIES || !may_retry(why) ||
			cancel_is_raised(r->s->cancel)) {
			g_propagate_error(err, g_steal_pointer(&why));
			return -EIO;
		}
		log_write(LOG_WARNING, "batch %" PRIu64 ": %s; sending again",
			r->batch->number, why->message);
	}
}

/* Batch numbers rise for the life of the session. */
static uint64_t next_number(struct session *s, GError **err)
{
	g_autofree char *last = state_get(s->state, "batch");
	uint64_t n = (last ? strtoull(last, NULL, 10) : 0) + 1;
	g_autofree char *text = g_strdup_printf("%" PRIu64, n);

	return state_set(s->state, "batch", text, err) < 0 ? 0 : n;
}

static void note_sent(struct session *s, const struct batch_stats *stats,
	uint64_t number, guint ops)
{
	struct counters add = {
		.batches = 1, .files = stats->files, .bytes = stats->bytes,
	};

	session_count(s, &add);
	mutex_lock(&s->lock);
	s->last_ack_ms = io_wall_ns() / 1000000;
	mutex_unlock(&s->lock);
	log_write(LOG_INFO,
		"batch %" PRIu64 ": %u operations, %" PRIu64
		" files, %" PRIu64 " bytes sent",
		number, ops, stats->files, stats->bytes);
}

static void log_ops(const struct round *r)
{
	static const char *const kinds[] = {
		[BATCH_MOVE] = "move", [BATCH_DELETE] = "delete",
		[BATCH_PUT] = "put", [BATCH_MKDIR] = "mkdir",
		[BATCH_CHMOD] = "chmod",
	};

	for (guint i = 0; i < r->batch->ops->len; i++) {
		const struct batch_op *op =
			g_ptr_array_index(r->batch->ops, i);
		g_autofree char *path = path_display(op->path);
		g_autofree char *to = path_display(op->to ? op->to : "");

		log_write(LOG_DEBUG, "%s %s %s: result %d", kinds[op->kind],
			path, to, (int)op->result);
	}
	for (guint i = 0; i < r->changes->list->len; i++) {
		const struct mirror_change *c =
			g_ptr_array_index(r->changes->list, i);
		g_autofree char *path = path_display(c->path ? c->path : "-");
		g_autofree char *was =
			path_display(c->acked_path ? c->acked_path : "-");

		if (!r->ok[i])
			log_write(LOG_DEBUG, "put off: %s (was %s)", path, was);
	}
}

/* What the sandbox gets is on our disk first: after a power failure the mirror
 * must not have less than the sandbox was given. */
static int make_lasting(struct round *r, GError **err)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new();

	for (guint i = 0; i < r->batch->ops->len; i++) {
		const struct batch_op *op =
			g_ptr_array_index(r->batch->ops, i);

		g_ptr_array_add(paths, op->path);
		if (op->to)
			g_ptr_array_add(paths, op->to);
	}
	return session_make_lasting(r->s, paths, err);
}

static int run_round(struct round *r, struct upload_result *out, GError **err)
{
	struct batch_stats stats = { 0 };
	uint64_t number;

	r->ok = g_new0(bool, r->changes->list->len + 1);
	if (session_connect(r->s, err) < 0)
		return -EIO;
	number = next_number(r->s, err);
	if (!number)
		return -EIO;
	r->batch = derive_batch(
		r->s, r->changes, number, r->ok, &r->index);
	if (!r->batch) {
		out->knotted = true;
		memset(r->ok, 0, r->changes->list->len * sizeof(*r->ok));
		return 0;
	}
	r->batch->open = open_bytes;
	r->batch->still_same = still_same;
	r->batch->progress = progress;
	r->batch->keep = r->s->keep_replaced;
	r->batch->ctx = r;
	r->op_index = g_hash_table_new(NULL, NULL);
	for (guint i = 0; i < r->batch->ops->len; i++)
		g_hash_table_insert(r->op_index,
			g_ptr_array_index(r->batch->ops, i),
			GUINT_TO_POINTER(i + 1));
	if (r->batch->ops->len == 0) {
		log_ops(r);
		return 0;
	}
	int fetched = stubs_before_batch(r->s, r->changes, r->batch, err);

	if (fetched == -ESTALE) {
		/* The sandbox changed or removed what we need of it. */
		out->diverged = true;
		memset(r->ok, 0, r->changes->list->len * sizeof(*r->ok));
		return 0;
	}
	if (fetched < 0)
		return -EIO;
	for (guint i = 0; fetched && i < r->batch->ops->len; i++) {
		struct batch_op *op = g_ptr_array_index(r->batch->ops, i);

		if (op->kind == BATCH_PUT)
			plan_entry_set(&op->entry, &change_of(r, op)->now);
	}
	if (make_lasting(r, err) < 0 || send_batch(r, &stats, err) < 0)
		return -EIO;
	out->files += stats.files;
	out->bytes += stats.bytes;
	out->wire_bytes += stats.wire_bytes;
	out->refused = refusals_note(r->s, r->batch);
	note_sent(r->s, &stats, number, r->batch->ops->len);
	int ret = acknowledge(r, out, err);

	log_ops(r);
	return ret;
}

int upload_round(struct session *s, struct upload_result *out, GError **err)
{
	struct round r = {
		.s = s,
		.sent_before = out->bytes,
	};
	struct mirror_pending pending;
	bool any;
	int ret;

	mirror_pending(s->mirror, &pending);
	r.bytes_total = out->bytes + pending.bytes;
	r.changes = mirror_collect(s->mirror, BATCH_ENTRIES, BATCH_BYTES);
	any = r.changes->list->len > 0;
	ret = any ? run_round(&r, out, err) : 0;

	out->more = false;
	for (guint i = 0; ret == 0 && i < r.changes->list->len; i++)
		out->more |= !r.ok[i];
	out->more |= r.changes->more;
	mirror_settle(s->mirror, r.changes, ret == 0 ? r.ok : NULL);
	batch_free(r.batch);
	g_free(r.ok);
	if (r.index)
		g_array_free(r.index, TRUE);
	if (r.op_index)
		g_hash_table_destroy(r.op_index);
	return ret;
}

int upload_until(struct session *s, uint64_t seq, int64_t deadline_ns,
	struct upload_result *total, GError **err)
{
	unsigned stalled = 0, refused = 0;
	uint64_t sent = 0;

	while (!mirror_is_clean(s->mirror, seq)) {
		struct upload_result r = { .bytes = sent };

		if (upload_round(s, &r, err) < 0)
			return -EIO;
		r.bytes -= sent;
		sent += r.bytes;
		if (total) {
			total->ops += r.ops;
			total->files += r.files;
			total->bytes += r.bytes;
			total->wire_bytes += r.wire_bytes;
			total->deleted += r.deleted;
			total->replaced += r.replaced;
		}
		stalled = r.ops ? 0 : stalled + 1;
		/* In full: what was acknowledged may be wrong, too. */
		if (r.diverged &&
			(state_set(s->state, "listing", NULL, err) < 0 ||
				refresh_flow(s, err) < 0))
			return -EIO;
		/* A knot of renames that batches cannot follow: by comparison
		 * instead, without moves. */
		if ((r.knotted || stalled == KNOTTED_ROUNDS) &&
			mirror_recompare(s->mirror, err) < 0)
			return -EIO;
		refused += r.refused > 0;
		if (refusals_any(s) && !r.diverged &&
			(stalled || refused == REFUSED_ROUNDS))
			return refusals_fail(s, err);
		if (stalled > STALLED_ROUNDS ||
			(deadline_ns && io_now_ns() > deadline_ns))
			return fail(err, FAIL_PENDING,
				"files keep changing while they are "
				"sent; everything is kept in %s/mirror, try "
				"again when they rest", s->dir);
	}
	return 0;
}
