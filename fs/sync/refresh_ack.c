/* After a refresh: what both sides hold from now on. */
#include "fs/sync/refresh.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/sync/conflicts.h"
#include "merge/lib/beneath.h"
#include "merge/scan.h"

/* What the mirror has at PATH now, to be compared with THEIRS; type ABSENT when
 * nothing. plan_entry_clear it. */
static void read_ours(struct refresh *r, const char *path,
	const struct entry *theirs, struct entry *now)
{
	struct stat st;
	char *target = NULL;

	*now = (struct entry){ 0 };
	if (beneath_stat(r->s->mirror_fd, path, &st) < 0)
		return;
	entry_from_stat(now, &st);
	now->path = path;
	if (now->type == ENTRY_LINK &&
		beneath_readlink(r->s->mirror_fd, path, &target) == 0)
		now->target = target;
	if (content_is_stub(&st))
		now->flags |= ENTRY_STUB;
	else if (now->type == ENTRY_FILE && theirs->type == ENTRY_FILE &&
		now->size == theirs->size)
		scan_hash_file(r->s->mirror_fd, now);
	now->path = NULL;
}

static bool is_same(const struct entry *now, const struct entry *theirs)
{
	return entry_same_content(now, theirs) &&
		(now->type == ENTRY_LINK ||
			entry_perm(now) == entry_perm(theirs));
}

/* PATH is gone in the sandbox; if the mirror still has something there, the
 * mount's user changed it and it goes out again. */
static int acknowledge_gone(struct refresh *r, const char *path, GError **err)
{
	struct state *state = r->s->state;
	struct stat st;

	if (state_remove(state, STATE_ACK_MIRROR, path, err) < 0 ||
		state_remove(state, STATE_ACK_REMOTE, path, err) < 0)
		return -EIO;
	if (r->s->mirror)
		mirror_mark(r->s->mirror, path,
			beneath_stat(r->s->mirror_fd, path, &st) == 0);
	return 0;
}

/* The acknowledged rows of one changed path; the mirror's row describes the
 * mirror's file only when that holds exactly what the sandbox has. */
static int acknowledge_path(struct refresh *r, const char *path,
	const struct entry *listed, GError **err)
{
	struct state *state = r->s->state;
	const struct entry *t = manifest_find(r->theirs, path);
	struct entry row, remote, now;
	bool same;

	if (!listed)
		return acknowledge_gone(r, path, err);
	if (!t || (listed->type != ENTRY_DIR &&
			    !manifest_find(r->got, path)))
		return 0;	/* vanished: as it was */
	read_ours(r, path, t, &now);
	same = is_same(&now, t);
	row = same ? now : *t;
	row.path = path;
	row.target = t->target;
	if (same)
		row.flags &= (uint8_t)~ENTRY_RACY;
	remote = *listed;
	remote.target = t->target;
	if (state_put(state, STATE_ACK_MIRROR, &row, err) < 0 ||
		state_put(state, STATE_ACK_REMOTE, &remote, err) < 0) {
		plan_entry_clear(&now);
		return -EIO;
	}
	if (r->s->mirror && same)
		mirror_mark_same(r->s->mirror, path, &now);
	else if (r->s->mirror)
		mirror_mark(r->s->mirror, path, true);
	plan_entry_clear(&now);
	return 0;
}

/* A held path stays as it is on both sides: the mirror's row is what it was, and
 * the sandbox's says what it has, so that what the mount's user writes there
 * is taken. */
static int acknowledge_held(struct refresh *r, const char *path,
	const struct entry *listed, GError **err)
{
	const struct entry *t = manifest_find(r->theirs, path);
	struct entry remote;

	if (!listed)
		return state_remove(r->s->state, STATE_ACK_REMOTE, path, err);
	remote = *listed;
	remote.target = t ? t->target : listed->target;
	return state_put(r->s->state, STATE_ACK_REMOTE, &remote, err);
}

/* Every path that the plan wrote and the sandbox does not list with the same
 * bytes (merged texts, conflict copies) has to be sent. */
static void mark_written(struct refresh *r)
{
	if (!r->s->mirror)
		return;
	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);

		if (op->action != PLAN_REPORT &&
			op->outcome == PLAN_DONE &&
			!g_hash_table_contains(r->changed, op->path))
			mirror_mark(r->s->mirror, op->path, true);
	}
}

/* Paths that the plan could not deal with: they changed meanwhile, or something
 * failed. Nothing is acknowledged of them, and the next look sees them again.
 */
static GHashTable *find_unsettled(const struct refresh *r)
{
	GHashTable *paths = g_hash_table_new(g_str_hash, g_str_equal);

	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);

		if (op->outcome != PLAN_CHANGED && op->outcome != PLAN_FAILED)
			continue;
		g_hash_table_add(paths, op->path);
		if (op->subject)
			g_hash_table_add(paths, op->subject);
		if (op->from)
			g_hash_table_add(paths, op->from);
	}
	return paths;
}

int refresh_acknowledge(struct refresh *r, GError **err)
{
	struct state *state = r->s->state;
	g_autoptr(GHashTable) unsettled = find_unsettled(r);
	GHashTableIter it;
	gpointer path, listed;
	int ret = 0;

	if (state_begin(state, err) < 0)
		return -EIO;
	g_hash_table_iter_init(&it, r->changed);
	while (ret == 0 && g_hash_table_iter_next(&it, &path, &listed)) {
		if (g_hash_table_contains(unsettled, path)) {
			r->vanished = true;
			continue;
		}
		if (conflicts_is_held(r, path)) {
			ret = acknowledge_held(r, path, listed, err);
			continue;
		}
		ret = acknowledge_path(r, path, listed, err);
	}
	if (ret == 0)
		ret = conflicts_note(r, err);
	if (ret == 0 && !r->vanished)
		ret = state_set(state, "listing", r->listing->id, err);
	if (ret < 0) {
		state_rollback(state);
		return ret;
	}
	mark_written(r);
	return state_commit(state, err);
}
