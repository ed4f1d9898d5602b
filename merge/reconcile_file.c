/* Rows where neither side has a directory: files, links, nothing. */
#include "merge/reconcile_internal.h"

#include <string.h>

#include "merge/apply.h"
#include "merge/lib/path.h"

void report(struct rec *r, const char *path, const struct entry *e,
	enum plan_list list, const char *word, const char *why)
{
	struct plan_op *op = plan_add(r->main, PLAN_REPORT, path);

	op->list = list;
	op->kind = kind_of(e);
	op->word = word;
	op->why = g_strdup(why);
}

void need_parents(struct rec *r, const char *path)
{
	g_autofree char *dir = path_parent(path);
	const struct entry *t;
	struct plan_op *op;

	if (!*dir || g_hash_table_contains(r->made, dir) ||
		manifest_find(r->in->ours, dir))
		return;
	need_parents(r, dir);
	t = manifest_find(r->in->theirs, dir);
	if (!t)
		return;
	op = plan_add(r->main, PLAN_MKDIR, dir);
	plan_entry_set(&op->after, t);
	op->kind = "dir";
	op->word = "created";
	op->list = PLAN_APPLIED;
	g_hash_table_add(r->made, (gpointer)t->path);
}

/* Their mode or ours: the nine bits are one value. */
static unsigned merged_mode(const struct row *w)
{
	if (!w->o || w->o->type != ENTRY_FILE)
		return entry_perm(w->t);
	if (perm_changed(w->bo, w->o))
		return entry_perm(w->o);
	return perm_changed(w->bt, w->t) || !w->bt ? entry_perm(w->t)
						   : entry_perm(w->o);
}

static bool is_held(struct rec *r, const struct row *w)
{
	if (r->in->review_off || !reconcile_is_held(r->in->held, w->path))
		return false;
	g_autofree char *why = g_strdup_printf(
		"could run on your machine: %s", reconcile_why_held(w->path));

	report(r, w->path, w->t ? w->t : w->o, PLAN_HELD, "held", why);
	return true;
}

/* The target that may be written for their link; NULL (reported) if none. */
static char *usable_target(struct rec *r, const struct row *w)
{
	char *target;

	if (r->in->trust_links ||
		(w->bt && w->bt->type == ENTRY_LINK &&
			!strcmp(w->bt->target, w->t->target)))
		return g_strdup(w->t->target);
	target = contained_target(r->in, w->path, w->t->target);
	if (!target)
		report(r, w->path, w->t, PLAN_HELD, "held",
			"a link that leads out of the workspace");
	return target;
}

struct plan_op *put_theirs(struct rec *r, const struct row *w,
	const char *word)
{
	g_autofree char *target = NULL;
	struct plan_op *op;

	if (is_held(r, w))
		return NULL;
	if (w->t->type == ENTRY_LINK) {
		target = usable_target(r, w);
		if (!target)
			return NULL;
	}
	need_parents(r, w->path);
	op = plan_add(r->main, PLAN_PUT, w->path);
	plan_entry_set(&op->before, w->o);
	plan_entry_set(&op->after, w->t);
	if (target) {
		g_free((char *)op->after.target);
		op->after.target = g_steal_pointer(&target);
	} else {
		op->after.mode = (uint16_t)merged_mode(w);
	}
	op->from = g_strdup(w->path);
	op->list = PLAN_APPLIED;
	op->kind = kind_of(w->t);
	op->word = word;
	return op;
}

void put_copy(struct rec *r, const struct row *w, const char *why)
{
	const struct reconcile_input *in = r->in;
	g_autofree char *copy = NULL;
	struct plan_op *op;

	if (in->on_conflict == CONFLICT_OURS || is_conflict_copy(w->path)) {
		report(r, w->path, w->o, PLAN_KEPT_LOCAL, "kept", why);
		return;
	}
	if (in->on_conflict == CONFLICT_THEIRS && w->o &&
		w->o->type != ENTRY_DIR) {
		op = put_theirs(r, w, "written");
		if (op)
			op->why = g_strdup(why);
		return;
	}
	if (is_held(r, w))
		return;
	copy = conflict_copy_path(w->path, in->name, 1, in->name_max);
	op = plan_add(r->main, PLAN_PUT, copy);
	plan_entry_set(&op->after, w->t);
	if (w->t->type == ENTRY_FILE)
		op->after.mode &= 0666;
	op->from = g_strdup(w->path);
	op->list = PLAN_CONFLICTS;
	op->kind = kind_of(w->t);
	op->word = "copied";
	op->subject = g_strdup(w->path);
	op->copy = g_strdup(copy);
	op->why = g_strdup(why);
}

void delete_ours(struct rec *r, const struct row *w, struct plan *list)
{
	struct plan_op *op;

	if (is_preserved_absent(r->in, w->path)) {
		if (w->o->type != ENTRY_DIR)
			report(r, w->path, w->o, PLAN_KEPT_LOCAL, "kept",
				"deleted in the sandbox, but preserved");
		return;
	}
	if (w->o->type != ENTRY_DIR && is_held(r, w))
		return;
	op = plan_add(list, PLAN_DELETE, w->path);
	plan_entry_set(&op->before, w->o);
	op->list = PLAN_DELETED;
	op->kind = kind_of(w->o);
	op->word = "deleted";
	op->gate_deletion = true;
}

/* Contents agree or only ours changed: what of the modes? */
static void merge_mode(struct rec *r, const struct row *w)
{
	bool ours = perm_changed(w->bo, w->o);
	struct plan_op *op;

	if (!perm_changed(w->bt, w->t) || entry_perm(w->o) == entry_perm(w->t))
		return;
	if (ours) {
		report(r, w->path, w->o, PLAN_KEPT_LOCAL, "mode",
			"both changed its permissions");
		return;
	}
	if (is_held(r, w))
		return;
	op = plan_add(r->main, PLAN_CHMOD, w->path);
	plan_entry_set(&op->before, w->o);
	plan_entry_set(&op->after, w->o);
	op->after.mode = w->t->mode & 0777;
	op->list = content_change(w->bo, w->o) == SAME ? PLAN_APPLIED
						       : PLAN_MERGED;
	op->word = "mode";
}

static bool may_be_text(const struct entry *e)
{
	return e && e->type == ENTRY_FILE && e->size <= TEXT_MERGE_LIMIT &&
		(e->flags & ENTRY_HASHED);
}

/* Both changed it. */
static void both_changed(struct rec *r, const struct row *w)
{
	const struct reconcile_input *in = r->in;
	struct plan_op *op;

	if (same_content(w->o, w->t)) {
		merge_mode(r, w);
		return;
	}
	if (!may_be_text(w->bo) || !may_be_text(w->o) || !may_be_text(w->t)) {
		put_copy(r, w, "both sides changed it");
		return;
	}
	if (is_conflict_copy(w->path) || is_held(r, w))
		return;
	op = plan_add(r->main, PLAN_MERGE, w->path);
	plan_entry_set(&op->before, w->o);
	plan_entry_set(&op->after, w->o);
	op->after.mode = (uint16_t)merged_mode(w);
	op->after.mtime_ns = MAX(w->o->mtime_ns, w->t->mtime_ns);
	plan_entry_set(&op->base, w->bo);
	plan_entry_set(&op->ours, w->o);
	plan_entry_set(&op->theirs, w->t);
	op->ours_path = g_strdup(w->path);
	op->from = g_strdup(w->path);
	op->copy = conflict_copy_path(w->path, in->name, 1, in->name_max);
	op->policy = in->on_conflict;
	op->list = PLAN_MERGED;
	op->word = "merged";
}

/* They deleted it. */
static void theirs_deleted(struct rec *r, const struct row *w, enum change ours)
{
	if (!w->o)
		return;
	if (ours == SAME)
		delete_ours(r, w, r->late);
	else if (!w->bo || w->bo->type != ENTRY_DIR)
		report(r, w->path, w->o, PLAN_KEPT_LOCAL, "kept",
			"you changed it, the sandbox deleted it");
}

/* We deleted it. */
static void ours_deleted(struct rec *r, const struct row *w, enum change theirs)
{
	struct plan_op *op;

	if (theirs == MODIFIED) {
		op = put_theirs(r, w, "resurrected");
		if (op)
			op->why = g_strdup("you deleted it, the sandbox "
					   "changed it");
	} else if (perm_changed(w->bt, w->t)) {
		report(r, w->path, w->t, PLAN_KEPT_LOCAL, "kept",
			"you deleted it, the sandbox changed its mode only");
	}
}

/* Not in the baseline. */
static void added(struct rec *r, const struct row *w)
{
	g_autofree char *dir = path_parent(w->path);
	const struct entry *bt;

	if (w->o && w->t) {
		if (!same_content(w->o, w->t))
			put_copy(r, w, "both sides added it");
	} else if (w->t) {
		bt = *dir ? manifest_find(r->in->base_ours, dir) : NULL;
		bool lost = bt && bt->type == ENTRY_DIR &&
			!manifest_find(r->in->ours, dir);

		put_theirs(r, w, lost ? "resurrected" : "created");
	} else if (*dir) {
		bt = manifest_find(r->in->base_theirs, dir);
		if (bt && bt->type == ENTRY_DIR &&
			!manifest_find(r->in->theirs, dir))
			report(r, w->path, w->o, PLAN_KEPT_LOCAL, "kept",
				"you added it, the sandbox deleted its "
				"directory");
	}
}

/* What cannot be read or never travels. True: settled. */
static bool odd_row(struct rec *r, const struct row *w)
{
	bool theirs_changed = content_change(w->bt, w->t) != SAME;

	if (w->o && (w->o->flags & ENTRY_UNREADABLE)) {
		if (theirs_changed || perm_changed(w->bt, w->t)) {
			r->incomplete = true;
			report(r, w->path, w->o, PLAN_HELD, "held",
				"cannot be read here");
		}
		return true;
	}
	if (w->t && (w->t->flags & ENTRY_UNREADABLE)) {
		r->incomplete = true;
		report(r, w->path, w->t, PLAN_HELD, "held",
			"cannot be read in the mirror");
		return true;
	}
	if (w->t && w->t->type == ENTRY_SPECIAL) {
		report(r, w->path, w->t, PLAN_HELD, "held",
			"a special file in the sandbox is never created");
		return true;
	}
	return w->o && w->o->type == ENTRY_SPECIAL && !theirs_changed;
}

void reconcile_file(struct rec *r, const struct row *w)
{
	enum change ours = content_change(w->bo, w->o);
	enum change theirs = content_change(w->bt, w->t);

	if (odd_row(r, w) || g_hash_table_contains(r->done, w->path))
		return;
	if (!w->bo && !w->bt)
		added(r, w);
	else if (!w->t)
		theirs_deleted(r, w, ours);
	else if (!w->o)
		ours_deleted(r, w, theirs);
	else if (theirs != SAME && ours != SAME)
		both_changed(r, w);
	else if (theirs != SAME)
		put_theirs(r, w, "written");
	else
		merge_mode(r, w);
}
