/*
 * The sandbox's full listing against the mirror, before the first upload: the
 * acknowledged tables are written so that exactly the difference is dirty.
 *
 * A path is acknowledged as equal when the last session's rows still describe
 * both sides, or when type and content are found equal (files of one size by
 * asking the sandbox for digests). What is there but differs gets a row that
 * no mirror file matches, so that it is replaced or deleted under the
 * condition that it still is what was listed.
 */
#include "fs/sync/internal.h"

#include <string.h>

#include "fs/mirror/state.h"
#include "merge/exclude.h"
#include "merge/lib/fail.h"
#include "merge/lib/log.h"
#include "merge/scan.h"

struct acknowledging {
	struct session *s;
	const struct manifest *listed;	/* the sandbox */
	struct manifest *mirror, *old_mirror, *old_remote;
	struct manifest *new_mirror, *new_remote;
	GPtrArray *ask;			/* paths whose digests are wanted */
	GPtrArray *ask_entries;		/* of the sandbox, same order */
};

/* A row for what the sandbox has and the mirror has not (or other). */
static void add_different(struct acknowledging *a, const struct entry *r)
{
	struct entry none = { .path = r->path, .type = r->type, .size = -1,
		.target = r->type == ENTRY_LINK ? "" : NULL };

	manifest_add(a->new_mirror, &none);
	manifest_add(a->new_remote, r);
}

static void add_equal(struct acknowledging *a, const struct entry *m,
	const struct entry *r)
{
	struct entry row = *m;

	/* The mode the sandbox has may differ: then only the mode is sent. */
	if (m->type != ENTRY_LINK && entry_perm(m) != entry_perm(r))
		row.mode = r->mode;
	manifest_add(a->new_mirror, &row);
	manifest_add(a->new_remote, r);
}

/* Same remote identity as a row of an earlier upload. */
static bool is_same_remote(const struct entry *a, const struct entry *b)
{
	return a && b && a->type == b->type && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
		a->ino == b->ino && a->mode == b->mode &&
		g_strcmp0(a->target, b->target) == 0;
}

/* The mirror's file is the one that row described when it was sent. */
static bool is_same_mirror(const struct entry *m, const struct entry *row)
{
	return m && row && m->type == row->type && m->size == row->size &&
		m->mtime_ns == row->mtime_ns && m->ino == row->ino &&
		m->ctime_ns == row->ctime_ns && m->mode == row->mode;
}

static void take_listed(struct acknowledging *a, const struct entry *r)
{
	const struct entry *m = manifest_find(a->mirror, r->path);
	const struct entry *row = manifest_find(a->old_mirror, r->path);
	const struct entry *was = manifest_find(a->old_remote, r->path);

	if (!m && session_is_preserved(a->s, r->path))
		return;		/* not ours to delete */
	if (r->type == ENTRY_SPECIAL)
		return;
	if (is_same_remote(r, was) && is_same_mirror(m, row)) {
		manifest_add(a->new_mirror, row);
		manifest_add(a->new_remote, r);
		return;
	}
	if (!m || m->type != r->type || m->size != r->size)
		add_different(a, r);
	else if (r->type == ENTRY_DIR)
		add_equal(a, m, r);
	else if (r->type == ENTRY_LINK && strcmp(m->target, r->target))
		add_different(a, r);
	else if (r->type == ENTRY_LINK)
		add_equal(a, m, r);
	else if (!(m->flags & ENTRY_HASHED))
		add_different(a, r);
	else {
		g_ptr_array_add(a->ask, (gpointer)r->path);
		g_ptr_array_add(a->ask_entries, (gpointer)r);
	}
}

/* What is left out was not listed: of that all stays as it was acknowledged. */
static void keep_left_out(struct acknowledging *a)
{
	for (size_t i = 0; i < manifest_count(a->old_mirror); i++) {
		const struct entry *m = manifest_at(a->old_mirror, i);
		const struct entry *r = manifest_find(a->old_remote, m->path);

		if (!r || manifest_find(a->listed, m->path) ||
			!session_is_left_out(a->s, m->path,
				r->type == ENTRY_DIR))
			continue;
		manifest_add(a->new_mirror, m);
		manifest_add(a->new_remote, r);
	}
}

/* Files of equal size: one command tells which are equal. */
static void settle_asked(struct acknowledging *a)
{
	guint n = a->ask->len;
	g_autofree struct digest *digests = g_new0(struct digest, n + 1);
	g_autofree bool *hashed = g_new0(bool, n + 1);
	g_autoptr(GError) why = NULL;
	struct call call = session_call(a->s);

	if (n && tree_hash(a->s->tree, a->ask, &call, digests, hashed, &why) <
			0)
		log_write(LOG_WARNING,
			"files are sent again, as the sandbox cannot tell "
			"their digests: %s", why->message);
	for (guint i = 0; i < n; i++) {
		const struct entry *r = g_ptr_array_index(a->ask_entries, i);
		const struct entry *m = manifest_find(a->mirror, r->path);

		if (hashed[i] && digest_equal(&digests[i], &m->digest) &&
			m->mtime_ns / 1000000000 == r->mtime_ns / 1000000000)
			add_equal(a, m, r);
		else
			add_different(a, r);
	}
}

static int store(struct acknowledging *a, GError **err)
{
	struct state *state = a->s->state;

	manifest_sort(a->new_mirror);
	manifest_sort(a->new_remote);
	if (state_begin(state, err) < 0)
		return -EIO;
	if (state_store(state, STATE_ACK_MIRROR, a->new_mirror, err) < 0 ||
		state_store(state, STATE_ACK_REMOTE, a->new_remote, err) < 0) {
		state_rollback(state);
		return -EIO;
	}
	return state_commit(state, err);
}

int acknowledge_listing(struct session *s, const struct tree_listing *l,
	GError **err)
{
	bool damaged = false;
	g_autoptr(manifest_auto) cache = session_load_table(
		s, STATE_BASE_MOUNT, &damaged);
	struct scan_options o = {
		.cache = cache, .hash = SCAN_HASH_CHANGED, .stubs = SCAN_STUBS,
	};
	struct acknowledging a = {
		.s = s, .listed = l->entries,
		.old_mirror = session_load_table(
			s, STATE_ACK_MIRROR, &damaged),
		.old_remote = session_load_table(
			s, STATE_ACK_REMOTE, &damaged),
		.new_mirror = manifest_new(), .new_remote = manifest_new(),
		.ask = g_ptr_array_new(), .ask_entries = g_ptr_array_new(),
	};
	int r = scan_tree(s->mirror_fd, &o, &a.mirror, NULL, err);

	if (r == 0) {
		for (size_t i = 0; i < manifest_count(l->entries); i++)
			take_listed(&a, manifest_at(l->entries, i));
		settle_asked(&a);
		keep_left_out(&a);
		r = store(&a, err);
	}
	manifest_free(a.mirror);
	manifest_free(a.old_mirror);
	manifest_free(a.old_remote);
	manifest_free(a.new_mirror);
	manifest_free(a.new_remote);
	g_ptr_array_free(a.ask, TRUE);
	g_ptr_array_free(a.ask_entries, TRUE);
	return r;
}

int acknowledge_nothing(struct session *s, GError **err)
{
	g_autoptr(manifest_auto) none = manifest_new();

	manifest_sort(none);
	if (state_begin(s->state, err) < 0)
		return -EIO;
	if (state_store(s->state, STATE_ACK_MIRROR, none, err) < 0 ||
		state_store(s->state, STATE_ACK_REMOTE, none, err) < 0 ||
		state_set(s->state, "listing", NULL, err) < 0) {
		state_rollback(s->state);
		return -EIO;
	}
	return state_commit(s->state, err);
}
