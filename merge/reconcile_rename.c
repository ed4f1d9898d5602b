/*
 * Renames that are certain: on one side a file of the baseline is gone and
 * exactly one new file has its bytes, and no other file of the baseline with
 * those bytes is gone there; or it was seen that it moved. They are settled
 * before the walk, which then passes over both names.
 */
#include "merge/reconcile_internal.h"

#include <string.h>

#include "merge/apply.h"
#include "merge/diff.h"
#include "merge/exclude.h"
#include "merge/lib/path.h"

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

/* --- facts ------------------------------------------------------------------ */

/* Where their moves took what was at PATH; NULL when one put something else in
 * its place; g_free it. */
static char *follow(const struct reconcile_input *in, const char *path)
{
	char *now = g_strdup(path);

	for (size_t i = 0; i < in->move_count; i++) {
		const struct reconcile_move *m = &in->moves[i];
		char *next = NULL;

		if (path_is_within(now, m->from))
			next = path_rebase(now, m->from, m->to);
		else if (!path_is_within(now, m->to))
			continue;
		g_free(now);
		now = next;
		if (!now)
			return NULL;
	}
	return now;
}

static bool is_in_git(const char *path)
{
	return g_str_has_prefix(path, ".git/") || strstr(path, "/.git/");
}

/* New path -> old path. */
static GHashTable *turned_round(GHashTable *renames)
{
	GHashTable *by_target = g_hash_table_new(g_str_hash, g_str_equal);
	GHashTableIter it;
	gpointer from, to;

	g_hash_table_iter_init(&it, renames);
	while (g_hash_table_iter_next(&it, &from, &to))
		g_hash_table_insert(by_target,
			(gpointer)((const struct entry *)to)->path, from);
	return by_target;
}

/* What they moved, as far as their side bears it out: a file that is gone, and
 * one that is new there. What was seen outweighs equal bytes. */
static void add_facts(struct rec *r)
{
	const struct reconcile_input *in = r->in;
	g_autoptr(GHashTable) by_target = turned_round(r->theirs_renames);

	for (size_t i = 0; in->move_count &&
		i < manifest_count(in->base_theirs); i++) {
		const struct entry *was = manifest_at(in->base_theirs, i);
		g_autofree char *path = NULL;
		const struct entry *to;

		if (was->type != ENTRY_FILE || is_in_git(was->path) ||
			manifest_find(in->theirs, was->path))
			continue;
		path = follow(in, was->path);
		to = path ? manifest_find(in->theirs, path) : NULL;
		if (to && to->type == ENTRY_FILE && !is_in_git(path) &&
			!(to->flags & ENTRY_UNREADABLE) &&
			!manifest_find(in->base_theirs, path) &&
			!manifest_find(in->base_ours, path)) {
			const char *other =
				g_hash_table_lookup(by_target, to->path);

			if (other)
				g_hash_table_remove(r->theirs_renames, other);
			g_hash_table_insert(r->theirs_renames,
				(gpointer)was->path, (gpointer)to);
		}
	}
}

/* --- what becomes of them ------------------------------------------------------ */

/* Whether a rename may be followed on our side: nothing is left out, held for
 * review or in the way. */
static bool is_free(const struct rec *r, const char *from, const char *to)
{
	const struct reconcile_input *in = r->in;
	g_autofree char *dir = path_parent(to);
	const struct entry *e = NULL;

	if (is_in_git(from) || is_in_git(to) ||
		exclude_match(in->exclude, from, false) ||
		exclude_match(in->exclude, to, false) ||
		(!in->review_off && (reconcile_is_held(in->held, from) ||
			reconcile_is_held(in->held, to))))
		return false;
	while (*dir && !e) {
		char *up;

		e = manifest_find(in->ours, dir);
		up = path_parent(dir);
		g_free(dir);
		dir = up;
	}
	return !e || (e->type == ENTRY_DIR && !(e->flags & ENTRY_UNREADABLE));
}

static void settled(struct rec *r, const char *from, const struct entry *to)
{
	const struct entry *was = manifest_find(r->in->base_ours, from);

	g_hash_table_add(r->done, (gpointer)to->path);
	g_hash_table_add(r->done, (gpointer)was->path);
}

/* Row 46: we renamed it, they changed it: their bytes at our name. */
static void ours_renamed(struct rec *r, const struct row *w,
	const struct entry *to)
{
	struct plan_op *op;

	if (!w->bt || !w->t || w->o || w->t->type != ENTRY_FILE ||
		w->t->flags & ENTRY_UNREADABLE ||
		content_change(w->bt, w->t) != MODIFIED ||
		manifest_find(r->in->theirs, to->path) ||
		!is_free(r, w->path, to->path))
		return;
	op = plan_add(r->main, PLAN_PUT, to->path);
	plan_entry_set(&op->before, to);
	plan_entry_set(&op->after, w->t);
	op->after.mode = perm_changed(w->bt, w->t) ? entry_perm(w->t)
						    : entry_perm(to);
	op->from = g_strdup(w->path);
	op->list = PLAN_APPLIED;
	op->word = "renamed";
	op->why = g_strdup_printf("you renamed it from %s", w->path);
	settled(r, w->path, to);
}

/* A merge at their new name: of OURS, which is at OURS_PATH. */
static struct plan_op *merge_renamed(struct rec *r, const struct row *w,
	const struct entry *ours, const char *ours_path, const struct entry *to)
{
	struct plan_op *op = plan_add(r->main, PLAN_MERGE, to->path);

	plan_entry_set(&op->after, ours);
	op->after.mode = perm_changed(w->bo, ours) || !w->bt ||
			entry_perm(w->bt) == entry_perm(to)
		? entry_perm(ours) : entry_perm(to);
	plan_entry_set(&op->base, w->bo);
	plan_entry_set(&op->ours, ours);
	plan_entry_set(&op->theirs, to);
	op->ours_path = g_strdup(ours_path);
	op->from = g_strdup(to->path);
	op->list = PLAN_MERGED;
	op->word = "renamed";
	settled(r, w->path, to);
	return op;
}

/* Row 47: they renamed it, we changed it: our change goes along, be it only
 * that of its permissions. */
static void theirs_renamed(struct rec *r, const struct row *w,
	const struct entry *to)
{
	struct plan_op *op;
	bool changed = content_change(w->bo, w->o) == MODIFIED;

	if (w->o->type != ENTRY_FILE || w->o->flags & ENTRY_UNREADABLE ||
		(!changed && !perm_changed(w->bo, w->o)) ||
		w->o->size > TEXT_MERGE_LIMIT)
		return;
	need_parents(r, to->path);
	if (changed) {
		op = merge_renamed(r, w, w->o, w->path, to);
	} else {
		op = plan_add(r->main, PLAN_PUT, to->path);
		plan_entry_set(&op->after, to);
		op->after.mode = entry_perm(w->o);
		op->from = g_strdup(to->path);
		op->ours_path = g_strdup(w->path);
		op->list = PLAN_MERGED;
		op->word = "renamed";
		settled(r, w->path, to);
	}
	op->why = g_strdup_printf(
		"the sandbox renamed it from %s, with your change", w->path);
	g_hash_table_add(r->leaving, (gpointer)w->o->path);
}

/* Both renamed it to one name: what each made of it meets there. */
static void both_renamed(struct rec *r, const struct row *w,
	const struct entry *ours, const struct entry *to)
{
	const struct reconcile_input *in = r->in;
	struct plan_op *op;

	if (ours->type != ENTRY_FILE || ours->flags & ENTRY_UNREADABLE ||
		ours->size > TEXT_MERGE_LIMIT || same_content(ours, to))
		return;
	op = merge_renamed(r, w, ours, to->path, to);
	plan_entry_set(&op->before, ours);
	op->copy = conflict_copy_path(to->path, in->name, 1, in->name_max);
	op->policy = in->on_conflict;
	op->why = g_strdup_printf("both sides renamed it from %s", w->path);
}

static void settle_theirs(struct rec *r, const struct row *w,
	const struct entry *to)
{
	const struct entry *ours = manifest_find(r->in->ours, to->path);

	if (!w->bo || w->bo->type != ENTRY_FILE || w->t ||
		!is_free(r, w->path, to->path) ||
		to->size > TEXT_MERGE_LIMIT)
		return;
	if (w->o && !ours)
		theirs_renamed(r, w, to);
	else if (!w->o && ours)
		both_renamed(r, w, ours, to);
}

void reconcile_renames(struct rec *r)
{
	const struct reconcile_input *in = r->in;

	r->ours_renames = find_side(in->base_ours, in->ours);
	r->theirs_renames = find_side(in->base_theirs, in->theirs);
	add_facts(r);
	for (size_t i = 0; i < manifest_count(in->base_ours); i++) {
		const char *path = manifest_at(in->base_ours, i)->path;
		const struct entry *ours =
			g_hash_table_lookup(r->ours_renames, path);
		const struct entry *theirs =
			g_hash_table_lookup(r->theirs_renames, path);
		struct row w;

		if (!ours && !theirs)
			continue;
		w = row_at(in, path);
		if (ours)
			ours_renamed(r, &w, ours);
		if (theirs && !is_renamed(r, path))
			settle_theirs(r, &w, theirs);
	}
}

bool is_renamed(const struct rec *r, const char *path)
{
	return g_hash_table_contains(r->done, path);
}
