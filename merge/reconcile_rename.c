/*
 * Renames that are certain: on one side a file of the baseline is gone and
 * exactly one new file has its bytes, and no other file of the baseline with
 * those bytes is gone there.
 */
#include "merge/reconcile_internal.h"

#include <string.h>

#include "merge/apply.h"
#include "merge/diff.h"

/* A file under one digest: seen once, or more often (then useless). */
struct candidate {
	const struct entry *e;
	bool several;
};

static guint hash_digest(gconstpointer d)
{
	guint h;

	memcpy(&h, d, sizeof(h));
	return h;
}

static gboolean equal_digests(gconstpointer a, gconstpointer b)
{
	return digest_equal(a, b);
}

static bool is_candidate(const struct entry *e)
{
	return e && e->type == ENTRY_FILE && e->size > 0 &&
		(e->flags & ENTRY_HASHED);
}

static void add_candidate(GHashTable *table, const struct entry *e)
{
	struct candidate *c = g_hash_table_lookup(table, &e->digest);

	if (c) {
		c->several = true;
		return;
	}
	c = g_new0(struct candidate, 1);
	c->e = e;
	g_hash_table_insert(table, (gpointer)&e->digest, c);
}

static GHashTable *find_side(const struct manifest *was,
	const struct manifest *is)
{
	g_autoptr(GHashTable) gone = g_hash_table_new_full(
		hash_digest, equal_digests, NULL, g_free);
	g_autoptr(GHashTable) new = g_hash_table_new_full(
		hash_digest, equal_digests, NULL, g_free);
	GHashTable *renames = g_hash_table_new(g_str_hash, g_str_equal);
	GHashTableIter it;
	gpointer digest, value;
	struct diff d;
	struct diff_step s;

	diff_init(&d, was, is);
	while (diff_next(&d, &s)) {
		if (!s.b && is_candidate(s.a))
			add_candidate(gone, s.a);
		else if (!s.a && is_candidate(s.b))
			add_candidate(new, s.b);
	}
	g_hash_table_iter_init(&it, gone);
	while (g_hash_table_iter_next(&it, &digest, &value)) {
		const struct candidate *from = value;
		const struct candidate *to = g_hash_table_lookup(new, digest);

		if (to && !from->several && !to->several)
			g_hash_table_insert(renames, (gpointer)from->e->path,
				(gpointer)to->e);
	}
	return renames;
}

void find_renames(struct rec *r)
{
	r->ours_renames = find_side(r->in->base_ours, r->in->ours);
	r->theirs_renames = find_side(r->in->base_theirs, r->in->theirs);
}

/* Row 46: we renamed it, they changed it: their bytes at our name. */
static bool ours_renamed(struct rec *r, const struct row *w,
	const struct entry *to)
{
	struct plan_op *op;

	if (!w->t || w->t->type != ENTRY_FILE ||
		content_change(w->bt, w->t) != MODIFIED ||
		manifest_find(r->in->theirs, to->path) ||
		reconcile_is_held(r->in->held, w->path) ||
		reconcile_is_held(r->in->held, to->path))
		return false;
	op = plan_add(r->main, PLAN_PUT, to->path);
	plan_entry_set(&op->before, to);
	plan_entry_set(&op->after, w->t);
	op->after.mode = perm_changed(w->bt, w->t) ? entry_perm(w->t)
						    : entry_perm(to);
	op->from = g_strdup(w->path);
	op->list = PLAN_APPLIED;
	op->word = "renamed";
	op->why = g_strdup_printf("you renamed it from %s", w->path);
	g_hash_table_add(r->done, (gpointer)to->path);
	return true;
}

/* Row 47: they renamed it, we changed it: our change goes along. */
static bool theirs_renamed(struct rec *r, const struct row *w,
	const struct entry *to)
{
	struct plan_op *op;

	if (!w->o || w->o->type != ENTRY_FILE ||
		content_change(w->bo, w->o) != MODIFIED ||
		manifest_find(r->in->ours, to->path) ||
		w->o->size > TEXT_MERGE_LIMIT ||
		reconcile_is_held(r->in->held, w->path) ||
		reconcile_is_held(r->in->held, to->path))
		return false;
	need_parents(r, to->path);
	op = plan_add(r->main, PLAN_MERGE, to->path);
	plan_entry_set(&op->after, w->o);
	plan_entry_set(&op->base, w->bo);
	plan_entry_set(&op->ours, w->o);
	plan_entry_set(&op->theirs, to);
	op->ours_path = g_strdup(w->path);
	op->from = g_strdup(to->path);
	op->list = PLAN_MERGED;
	op->word = "renamed";
	op->why = g_strdup_printf(
		"the sandbox renamed it from %s, with your change", w->path);
	delete_ours(r, w, r->late);
	g_hash_table_add(r->done, (gpointer)to->path);
	return true;
}

bool reconcile_rename(struct rec *r, const struct row *w)
{
	const struct entry *to;

	if (w->bo && !w->o) {
		to = g_hash_table_lookup(r->ours_renames, w->path);
		if (to && ours_renamed(r, w, to))
			return true;
	}
	if (w->bt && !w->t) {
		to = g_hash_table_lookup(r->theirs_renames, w->path);
		if (to && theirs_renamed(r, w, to))
			return true;
	}
	return g_hash_table_contains(r->done, w->path);
}
