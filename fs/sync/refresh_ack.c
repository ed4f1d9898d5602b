/* After a refresh: what both sides hold from now on. */
#include "fs/sync/refresh.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"
#include "merge/scan.h"

/* The acknowledged rows of one changed path; the mirror's row describes the
 * mirror's file only when that holds exactly what the sandbox has. */
static int acknowledge_path(struct refresh *r, const char *path,
	const struct entry *listed, bool *dirty, GError **err)
{
	struct state *state = r->s->state;
	const struct entry *t = manifest_find(r->theirs, path);
	struct entry row, remote, now = { 0 };
	struct stat st;

	*dirty = false;
	if (!listed)
		return state_remove(state, STATE_ACK_MIRROR, path, err) < 0 ||
				state_remove(state, STATE_ACK_REMOTE, path,
					err) < 0
			? -EIO : 0;
	if (!t || (listed->type != ENTRY_DIR &&
			    !manifest_find(r->got, path)))
		return 0;	/* vanished: as it was */
	row = *t;
	row.path = path;
	*dirty = true;
	if (beneath_stat(r->s->mirror_fd, path, &st) == 0) {
		g_autofree char *target = NULL;

		entry_from_stat(&now, &st);
		now.path = path;
		if (now.type == ENTRY_LINK && beneath_readlink(
				r->s->mirror_fd, path, &target) == 0)
			now.target = target;
		if (content_is_stub(&st))
			now.flags |= ENTRY_STUB;
		else if (now.type == ENTRY_FILE && t->type == ENTRY_FILE &&
			now.size == t->size)
			scan_hash_file(r->s->mirror_fd, &now);
		if (entry_same_content(&now, t) &&
			(now.type == ENTRY_LINK ||
				entry_perm(&now) == entry_perm(t))) {
			row = now;
			row.target = t->target;
			row.flags &= (uint8_t)~ENTRY_RACY;
			*dirty = false;
		}
	}
	remote = *listed;
	remote.target = t->target;
	return state_put(state, STATE_ACK_MIRROR, &row, err) < 0 ||
			state_put(state, STATE_ACK_REMOTE, &remote, err) < 0
		? -EIO : 0;
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

int refresh_acknowledge(struct refresh *r, GError **err)
{
	struct state *state = r->s->state;
	GHashTableIter it;
	gpointer path, listed;
	int ret = 0;

	if (state_begin(state, err) < 0)
		return -EIO;
	g_hash_table_iter_init(&it, r->changed);
	while (ret == 0 && g_hash_table_iter_next(&it, &path, &listed)) {
		bool dirty;

		ret = acknowledge_path(r, path, listed, &dirty, err);
		if (ret == 0 && r->s->mirror)
			mirror_mark(r->s->mirror, path, dirty);
	}
	if (ret == 0 && !r->vanished)
		ret = state_set(state, "listing", r->listing->id, err);
	if (ret < 0) {
		state_rollback(state);
		return ret;
	}
	mark_written(r);
	return state_commit(state, err);
}
