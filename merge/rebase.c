/* The baselines after a merge. */
#include "merge/reconcile_internal.h"

#include <string.h>

#include "merge/diff.h"
#include "merge/lib/path.h"

/* Whether OP leaves its path as unsettled as it was. */
static bool is_open(const struct plan_op *op)
{
	return op->list == PLAN_HELD || op->outcome == PLAN_FAILED ||
		op->outcome == PLAN_CHANGED;
}

static GHashTable *open_paths(const struct plan *p)
{
	GHashTable *open = g_hash_table_new(g_str_hash, g_str_equal);

	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (!is_open(op))
			continue;
		g_hash_table_add(open, op->path);
		if (op->subject)
			g_hash_table_add(open, op->subject);
		if (op->from)
			g_hash_table_add(open, op->from);
	}
	return open;
}

static void keep_old(const struct diff_step *s, struct manifest *ours,
	struct manifest *theirs)
{
	if (!s->at[0] || !s->at[1])
		return;
	manifest_add(ours, s->at[0]);
	manifest_add(theirs, s->at[1]);
}

static bool is_usable(const struct entry *e)
{
	return e && e->type != ENTRY_SPECIAL &&
		!(e->flags & ENTRY_UNREADABLE);
}

static void rebase_path(const struct diff_step *s, struct manifest *ours,
	struct manifest *theirs)
{
	const struct entry *o = s->at[2], *t = s->at[3];
	struct entry made;

	if (!is_usable(t)) {
		if (t)	/* known to be there, not what it is */
			keep_old(s, ours, theirs);
		return;
	}
	manifest_add(theirs, t);
	if (o && is_usable(o) && same_content(o, t)) {
		made = *o;
		/* A mode that we chose to keep is no common state. */
		if (entry_perm(o) != entry_perm(t) && s->at[0] && s->at[1] &&
			entry_perm(s->at[1]) != entry_perm(t))
			made.mode = t->mode;
		else if (entry_perm(o) != entry_perm(t) && s->at[0])
			made.mode = s->at[0]->mode;
		manifest_add(ours, &made);
		return;
	}
	made = *t;
	made.ino = 0;
	made.ctime_ns = 0;
	if (s->at[0] && s->at[1] && entry_perm(s->at[1]) == entry_perm(t) &&
		s->at[0]->type == t->type)
		made.mode = s->at[0]->mode;
	manifest_add(ours, &made);
}

void reconcile_rebase(const struct reconcile_input *in, const struct plan *p,
	const struct manifest *ours_now, struct manifest **base_ours,
	struct manifest **base_theirs)
{
	const struct manifest *sides[] = { in->base_ours, in->base_theirs,
		ours_now, in->theirs };
	struct manifest *ours = manifest_new(), *theirs = manifest_new();
	g_autoptr(GHashTable) open = open_paths(p);
	struct diff d;
	struct diff_step s;

	diff_init_n(&d, sides, 4);
	while (diff_next(&d, &s))
		if (g_hash_table_contains(open, s.path))
			keep_old(&s, ours, theirs);
		else
			rebase_path(&s, ours, theirs);
	manifest_sort(ours);
	manifest_sort(theirs);
	*base_ours = ours;
	*base_theirs = theirs;
}
