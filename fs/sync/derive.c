/*
 * Changes of the mirror -> one batch for the sandbox.
 *
 * Two namespaces meet here: where things are in the mirror now, and where the
 * sandbox has them (the acknowledged paths). A batch takes effect as moves and
 * new directories first, then deletes, then files; so every acknowledged path
 * is seen through the moves that come before it (`mapped`).
 *
 * What cannot be said in one batch is deferred to the next round, and each
 * round makes progress: a place whose parent the sandbox gets in this batch
 * only by a deferred change, or a directory that takes the place of one that
 * this batch removes. Moves that wait for one another in a circle (places that
 * swapped names) are not said as moves at all: the caller finds the difference
 * by comparison instead.
 */
#include "fs/sync/internal.h"

#include <inttypes.h>
#include <string.h>

#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

struct move {
	char *from, *to;
};

struct pending_move {
	guint change;
	char *src;	/* in the namespace after the moves made so far */
	char *acked;
	const char *dst;
	bool settled;
};

struct derive {
	struct session *s;
	const struct mirror_changes *changes;
	struct batch *batch;
	bool *ok;
	GArray *index;		/* guint, one an op */
	GPtrArray *moves;	/* struct move, in order */
	GHashTable *gone;	/* mapped paths this batch deletes */
	GHashTable *made;	/* directories this batch makes or moves in */
	GPtrArray *deferred;	/* paths that wait for the next round */
	GHashTable *resend;	/* changes sent whole instead of moved */
	bool knotted;		/* moves wait for one another in a circle */
	uint8_t *acked_type;	/* by change: what the sandbox has of it, by the
				 * acknowledged rows, at its acked_path */
};

static const struct mirror_change *change_at(const struct derive *d, guint i)
{
	return g_ptr_array_index(d->changes->list, i);
}

/* Whether the kind of thing at change I is another than the sandbox has: a
 * directory there, something else here, or the reverse. */
static bool is_type_change(const struct derive *d, guint i)
{
	const struct mirror_change *c = change_at(d, i);

	return c->path && d->acked_type[i] != ENTRY_ABSENT &&
		(c->now.type == ENTRY_DIR) != (d->acked_type[i] == ENTRY_DIR);
}

static void free_move(gpointer data)
{
	struct move *m = data;

	g_free(m->from);
	g_free(m->to);
	g_free(m);
}

/* Where the acknowledged PATH is after the moves of this batch; g_free it. */
static char *mapped(const struct derive *d, const char *path)
{
	char *now = g_strdup(path);

	for (guint i = 0; i < d->moves->len; i++) {
		const struct move *m = g_ptr_array_index(d->moves, i);

		if (!path_is_within(now, m->from))
			continue;
		char *next = path_rebase(now, m->from, m->to);

		g_free(now);
		now = next;
	}
	return now;
}

/* The acknowledged path that is at PATH after the moves, or NULL when a move
 * took away what was there; g_free it. */
static char *unmapped(const struct derive *d, const char *path)
{
	char *now = g_strdup(path);

	for (guint i = d->moves->len; i-- > 0;) {
		const struct move *m = g_ptr_array_index(d->moves, i);

		if (path_is_within(now, m->to)) {
			char *next = path_rebase(now, m->to, m->from);

			g_free(now);
			now = next;
		} else if (path_is_within(now, m->from)) {
			g_free(now);
			return NULL;
		}
	}
	return now;
}

/* What the sandbox has at PATH after the moves; false: nothing. */
static bool expected_at(const struct derive *d, const char *path,
	struct entry *e)
{
	g_autofree char *acked = unmapped(d, path);

	return acked && state_find(d->s->state, STATE_ACK_REMOTE, acked, e);
}

static bool is_occupied(const struct derive *d, const char *path)
{
	struct entry e = { 0 };
	bool found = expected_at(d, path, &e);

	plan_entry_clear(&e);
	return found;
}

static struct batch_op *add_op(struct derive *d, enum batch_kind kind,
	const char *path, guint change)
{
	g_array_append_val(d->index, change);
	return batch_add(d->batch, kind, path);
}

static void defer(struct derive *d, guint change)
{
	d->ok[change] = false;
	g_ptr_array_add(d->deferred, (gpointer)change_at(d, change)->path);
}

/* Whether PATH's directory is (or will be, by this batch) in the sandbox. */
static bool parent_is_there(const struct derive *d, const char *path)
{
	g_autofree char *parent = path_parent(path);

	for (guint i = 0; i < d->deferred->len; i++)
		if (path_is_within(path, g_ptr_array_index(d->deferred, i)))
			return false;
	return !*parent || g_hash_table_contains(d->made, parent) ||
		is_occupied(d, parent);
}

static void add_move(struct derive *d, const char *from, const char *to,
	guint change)
{
	struct batch_op *op = add_op(d, BATCH_MOVE, from, change);
	struct move *m = g_new0(struct move, 1);

	op->to = g_strdup(to);
	expected_at(d, from, &op->expect);
	m->from = g_strdup(from);
	m->to = g_strdup(to);
	g_ptr_array_add(d->moves, m);
}

/* Whether P's place, or a directory above it, is what another pending move takes
 * away: then it is not yet the place that is meant. */
static bool waits_for_another(const struct derive *d, const GArray *pending,
	const struct pending_move *p)
{
	for (guint i = 0; i < pending->len; i++) {
		const struct pending_move *q =
			&g_array_index(pending, struct pending_move, i);
		g_autofree char *src = mapped(d, q->acked);

		if (q->change != p->change && !q->settled &&
			path_is_within(p->dst, src))
			return true;
	}
	return false;
}

/* Tries one pending move; true when it is settled, one way or another. */
static bool try_move(struct derive *d, const GArray *pending,
	struct pending_move *p)
{
	const struct mirror_change *c = change_at(d, p->change);

	g_free(p->src);
	p->src = mapped(d, p->acked);
	if (!strcmp(p->src, p->dst))
		return true;	/* came along with a directory above */
	if (waits_for_another(d, pending, p))
		return false;
	if (!parent_is_there(d, p->dst)) {
		defer(d, p->change);
		return true;
	}
	if (path_is_within(p->dst, p->src))
		return false;	/* into itself: others must go first */
	if (is_occupied(d, p->dst)) {
		if (!g_hash_table_contains(d->gone, p->dst))
			return false;	/* by another that moves away */
		if (c->now.type == ENTRY_DIR)
			defer(d, p->change);
		else	/* so that what it replaces is checked and kept */
			g_hash_table_add(
				d->resend, GUINT_TO_POINTER(p->change + 1));
		return true;
	}
	add_move(d, p->src, p->dst, p->change);
	if (c->now.type == ENTRY_DIR)
		g_hash_table_add(d->made, g_strdup(p->dst));
	return true;
}

/* What no tool of the sandbox could be told of stays here, and is said. */
static void hold_long_paths(struct derive *d)
{
	size_t limit = tree_path_limit(d->s->tree);

	refusals_note_long(d->s, NULL, 0);
	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);

		if (!c->path || c->special || strlen(c->path) <= limit)
			continue;
		/* What is below is longer still: no need to `defer` it. */
		d->ok[i] = false;
		refusals_note_long(d->s, c->path, limit);
	}
}

static void derive_moves(struct derive *d)
{
	GArray *pending = g_array_new(FALSE, TRUE, sizeof(struct pending_move));

	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);
		struct pending_move p = { .change = i, .dst = c->path };

		if (!c->path || d->acked_type[i] == ENTRY_ABSENT ||
			!d->ok[i] || c->special || is_type_change(d, i) ||
			!strcmp(c->path, c->acked_path))
			continue;
		p.acked = c->acked_path;
		g_array_append_val(pending, p);
	}
	while (pending->len) {
		guint left = 0, before = pending->len;

		for (guint i = 0; i < before; i++) {
			struct pending_move *p = &g_array_index(
				pending, struct pending_move, i);

			p->settled = try_move(d, pending, p);
			if (p->settled)
				g_clear_pointer(&p->src, g_free);
			else
				g_array_index(pending, struct pending_move,
					left++) = *p;
		}
		g_array_set_size(pending, left);
		if (left && left == before) {
			d->knotted = true;
			break;
		}
	}
	for (guint i = 0; i < pending->len; i++)
		g_free(g_array_index(pending, struct pending_move, i).src);
	g_array_free(pending, TRUE);
}

/* Whether a move of this batch takes PATH's surroundings away. */
static bool is_leaving(const struct derive *d, const char *path)
{
	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);

		if (c->path && d->acked_type[i] != ENTRY_ABSENT &&
			strcmp(c->path, c->acked_path) &&
			path_is_within(path, c->acked_path))
			return true;
	}
	return false;
}

/* New directories, parents first (the list's order). */
static void derive_dirs(struct derive *d, bool before_moves)
{
	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);
		struct batch_op *op;

		if (!c->path || c->special || c->now.type != ENTRY_DIR)
			continue;
		/* A new directory may be where others move to. */
		if (before_moves != (d->acked_type[i] != ENTRY_DIR))
			continue;
		if (!d->ok[i])
			continue;
		if (before_moves && (!parent_is_there(d, c->path) ||
				is_occupied(d, c->path) ||
				is_leaving(d, c->path))) {
			defer(d, i);
			continue;
		}
		op = add_op(d, BATCH_MKDIR, c->path, i);
		plan_entry_set(&op->entry, &c->now);
		expected_at(d, c->path, &op->expect);
		g_hash_table_add(d->made, g_strdup(c->path));
	}
}

/* Places that moves put off to a later round still take up in the sandbox. */
static GPtrArray *find_staying(const struct derive *d)
{
	GPtrArray *staying = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);

		if (!d->ok[i] && c->path &&
			d->acked_type[i] != ENTRY_ABSENT &&
			strcmp(c->path, c->acked_path))
			g_ptr_array_add(staying, mapped(d, c->acked_path));
	}
	return staying;
}

static bool is_taken_up(const GPtrArray *staying, const char *path)
{
	for (guint i = 0; i < staying->len; i++)
		if (path_is_within(path, g_ptr_array_index(staying, i)))
			return true;
	return false;
}

/* A change in place (or after its move) of a file or link. */
static void derive_file(struct derive *d, guint i, const GPtrArray *staying)
{
	const struct mirror_change *c = change_at(d, i);
	struct entry acked = { 0 }, expect = { 0 };
	struct batch_op *op;
	bool has, mode_only;

	if (!parent_is_there(d, c->path) || is_taken_up(staying, c->path)) {
		defer(d, i);
		return;
	}
	has = d->acked_type[i] != ENTRY_ABSENT &&
		state_find(d->s->state, STATE_ACK_MIRROR, c->acked_path,
			&acked);
	expected_at(d, c->path, &expect);
	mode_only = has && !c->content &&
		!g_hash_table_contains(d->resend, GUINT_TO_POINTER(i + 1)) &&
		acked.type == c->now.type &&
		(acked.mtime_ns == c->now.mtime_ns ||
			c->now.type == ENTRY_LINK);
	if (mode_only && (acked.mode == c->now.mode ||
				c->now.type == ENTRY_LINK))
		goto out;	/* only its place changed */
	if (!mode_only && refusals_hold_back(d->s, c->path, &c->now)) {
		defer(d, i);
		goto out;
	}
	op = add_op(d, mode_only ? BATCH_CHMOD : BATCH_PUT, c->path, i);
	plan_entry_set(&op->entry, &c->now);
	/* A directory that is deleted first leaves nothing to expect. */
	if (expect.type != ENTRY_DIR)
		plan_entry_set(&op->expect, &expect);
out:
	plan_entry_clear(&acked);
	plan_entry_clear(&expect);
}

static void add_delete(struct derive *d, const char *acked_path, guint change,
	GHashTable *put_paths)
{
	g_autofree char *path = mapped(d, acked_path);
	struct entry was = { 0 };

	if (!state_find(d->s->state, STATE_ACK_REMOTE, acked_path, &was))
		return;	/* the sandbox never had it */
	/* A file or link put in its place replaces it. */
	if (was.type != ENTRY_DIR && g_hash_table_contains(put_paths, path))
		plan_entry_clear(&was);
	else
		add_op(d, BATCH_DELETE, path, change)->expect = was;
}

static void derive_deletes(struct derive *d, GHashTable *put_paths)
{
	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);
		bool resend = g_hash_table_contains(
			d->resend, GUINT_TO_POINTER(i + 1));

		if (c->acked_path && (!c->path || resend))
			add_delete(d, c->acked_path, i, put_paths);
	}
	/* After what was below them. */
	for (guint i = 0; i < d->changes->list->len; i++)
		if (is_type_change(d, i))
			add_delete(d, change_at(d, i)->acked_path, i,
				put_paths);
}

/* The places that this batch empties, in the namespace before its moves. */
static void collect_gone(struct derive *d)
{
	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);

		if (!c->path && c->acked_path)
			g_hash_table_add(d->gone, g_strdup(c->acked_path));
	}
}

/* Files and links that will be put where something acknowledged was. */
static GHashTable *collect_puts(const struct derive *d)
{
	GHashTable *puts = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < d->changes->list->len; i++) {
		const struct mirror_change *c = change_at(d, i);

		if (c->path && !c->special && c->now.type != ENTRY_DIR)
			g_hash_table_add(puts, c->path);
	}
	return puts;
}

/* The mirror's word that something is acknowledged counts only with a row. */
static uint8_t acked_type(const struct derive *d, guint i)
{
	const struct mirror_change *c = change_at(d, i);
	struct entry row = { 0 };
	uint8_t type = ENTRY_ABSENT;

	if (c->acked_path && state_find(d->s->state, STATE_ACK_REMOTE,
					c->acked_path, &row))
		type = row.type;
	plan_entry_clear(&row);
	return type;
}

struct batch *derive_batch(struct session *s,
	const struct mirror_changes *changes, uint64_t number, bool *ok,
	GArray **index)
{
	struct derive d = {
		.s = s, .changes = changes, .batch = batch_new(number),
		.ok = ok, .index = g_array_new(FALSE, FALSE, sizeof(guint)),
		.moves = g_ptr_array_new_with_free_func(free_move),
		.gone = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, NULL),
		.made = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, NULL),
		.deferred = g_ptr_array_new(),
		.resend = g_hash_table_new(NULL, NULL),
	};
	GHashTable *puts = collect_puts(&d);
	GPtrArray *staying;

	d.acked_type = g_new0(uint8_t, changes->list->len + 1);
	for (guint i = 0; i < changes->list->len; i++) {
		ok[i] = true;
		d.acked_type[i] = acked_type(&d, i);
	}
	hold_long_paths(&d);
	collect_gone(&d);
	derive_dirs(&d, true);
	derive_moves(&d);
	derive_dirs(&d, false);
	derive_deletes(&d, puts);
	staying = find_staying(&d);
	for (guint i = 0; i < changes->list->len; i++) {
		const struct mirror_change *c = change_at(&d, i);

		if (c->path && !c->special && c->now.type != ENTRY_DIR &&
			ok[i])
			derive_file(&d, i, staying);
	}
	g_ptr_array_free(staying, TRUE);
	g_hash_table_destroy(puts);
	g_hash_table_destroy(d.gone);
	g_hash_table_destroy(d.made);
	g_hash_table_destroy(d.resend);
	g_ptr_array_free(d.moves, TRUE);
	g_ptr_array_free(d.deferred, TRUE);
	g_free(d.acked_type);
	if (d.knotted) {
		batch_free(d.batch);
		g_array_free(d.index, TRUE);
		return NULL;
	}
	*index = d.index;
	return d.batch;
}
