/*
 * What a restore leaves in the state, in one transaction: the new baselines,
 * and what an undo needs.
 */
#include "fs/sync/restore.h"

#include <errno.h>

#include "fs/mirror/base.h"
#include "fs/mirror/state.h"
#include "fs/sync/conflicts.h"
#include "merge/lib/log.h"

/* Whether nothing is left for another restore. */
static bool is_settled(const struct plan *p)
{
	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->list == PLAN_HELD ||
			plan_at(p, i)->outcome == PLAN_FAILED)
			return false;
	return true;
}

static bool has_written(const struct plan *p)
{
	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->action != PLAN_REPORT &&
			plan_at(p, i)->outcome == PLAN_DONE)
			return true;
	return false;
}

/* What an undo needs. A restore that changed nothing, as the one of an unmount
 * right after another, leaves the one before it to be undone. */
static int store_undo(struct restore *r, GError **err)
{
	struct state *state = r->s->state;

	if (!has_written(r->all))
		return 0;
	if (state_store(state, STATE_UNDO_LOCAL, r->base_ours, err) < 0 ||
		state_store(state, STATE_UNDO_MOUNT, r->base_theirs, err) <
			0 ||
		state_save_plan(state, "undo", r->all, err) < 0 ||
		state_set(state, "undo-trash", r->trash, err) < 0 ||
		moves_keep_for_undo(r->s, err) < 0)
		return -EIO;
	return 0;
}

/* Bytes that no baseline names any more: an undo asks for the one before, a
 * refresh for what was acknowledged. After store_undo() has stored something. */
static void collect_bases(struct restore *r, const struct manifest *ours,
	const struct manifest *theirs)
{
	bool damaged = r->damaged;
	g_autoptr(manifest_auto) acked = session_load_table(
		r->s, STATE_ACK_MIRROR, &damaged);
	const struct manifest *keep[] = { ours, theirs, r->base_ours,
		r->base_theirs, acked };
	int e = damaged ? 0
			: base_store_collect(
				  r->s->base, keep, G_N_ELEMENTS(keep));

	if (e < 0)
		log_write(LOG_WARNING, "remove earlier bytes from %s/base: %s",
			r->s->dir, g_strerror(-e));
}

int restore_store(struct restore *r, GError **err)
{
	struct state *state = r->s->state;
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;

	if (restore_scan_sides(r, err) < 0)
		return -EIO;
	restore_make_input(r);
	reconcile_rebase(&r->input, r->all, r->ours, &ours, &theirs);
	restore_rebase_picks(r, &ours, &theirs);
	if (state_begin(state, err) < 0)
		return -EIO;
	if (store_undo(r, err) < 0 ||
		state_store(state, STATE_BASE_LOCAL, ours, err) < 0 ||
		state_store(state, STATE_BASE_MOUNT, theirs, err) < 0 ||
		conflicts_note_home(r->s, r->all, err) < 0 ||
		(is_settled(r->all) && moves_forget(r->s, err) < 0) ||
		state_drop_plan(state, "restore", err) < 0) {
		state_rollback(state);
		return -EIO;
	}
	if (state_commit(state, err) < 0)
		return -EIO;
	if (has_written(r->all))
		collect_bases(r, ours, theirs);
	return 0;
}
