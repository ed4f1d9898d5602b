/* Gates, and the order of the plan. */
#include "merge/reconcile_internal.h"

#include <string.h>

#include "merge/lib/path.h"

enum { DELETIONS_ALWAYS = 50, DELETIONS_PERCENT = 25 };

static size_t count_files(const struct manifest *m)
{
	size_t n = 0;

	for (size_t i = 0; i < manifest_count(m); i++)
		n += manifest_at(m, i)->type != ENTRY_DIR;
	return n;
}

static size_t count_deletions(const struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < plan_count(p); i++)
		n += plan_at(p, i)->gate_deletion &&
			plan_at(p, i)->before.type != ENTRY_DIR;
	return n;
}

static uint64_t bytes_needed(const struct plan *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->action == PLAN_PUT)
			n += (uint64_t)MAX(plan_at(p, i)->after.size, 0);
	return n;
}

/* Why deletions must wait, or NULL. */
static const char *closed_gate(const struct rec *r)
{
	const struct reconcile_gates *g = &r->in->gates;
	size_t files = count_files(r->in->base_ours);
	size_t deletions = count_deletions(r->early) + count_deletions(r->late);
	size_t limit = MAX(DELETIONS_ALWAYS, files * DELETIONS_PERCENT / 100);

	if (g->base_damaged)
		return "the record of the last common state is damaged";
	if (g->listing_incomplete)
		return "the sandbox could not be listed completely";
	if (g->theirs_replaced)
		return "the sandbox was replaced";
	if (g->ours_replaced)
		return "the local directory is another one than before";
	if (g->free_bytes && bytes_needed(r->main) > g->free_bytes)
		return "there is too little disk space here for the work";
	if (g->allow_deletes)
		return NULL;
	if (manifest_count(r->in->base_theirs) >= 2 &&
		manifest_count(r->in->theirs) == 0)
		return "the workspace is empty; --allow-deletes goes on";
	if (deletions > limit)
		return "so many files would be deleted; --allow-deletes goes "
		       "on";
	return NULL;
}

static void hold_all(struct rec *r, struct plan *p, const char *why,
	bool *held)
{
	for (size_t i = 0; i < plan_count(p); i++) {
		struct plan_op *op = plan_at(p, i);

		if (!op->gate_deletion)
			continue;
		op->action = PLAN_REPORT;
		op->list = PLAN_HELD;
		op->word = "held";
		g_free(op->why);
		op->why = g_strdup_printf("not deleted: %s", why);
		*held = true;
	}
	(void)r;
}

static void mark_above(GHashTable *kept, const char *path)
{
	g_autofree char *dir = path_parent(path);

	while (*dir && g_hash_table_add(kept, g_strdup(dir))) {
		char *up = path_parent(dir);

		g_free(dir);
		dir = up;
	}
}

/* Directories in which something of ours stays, or something new is put. */
static GHashTable *find_kept(const struct rec *r)
{
	GHashTable *kept = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GHashTable) deleted =
		g_hash_table_new(g_str_hash, g_str_equal);
	const struct plan *lists[] = { r->early, r->late };

	for (size_t k = 0; k < G_N_ELEMENTS(lists); k++)
		for (size_t i = 0; i < plan_count(lists[k]); i++)
			if (plan_at(lists[k], i)->action == PLAN_DELETE)
				g_hash_table_add(deleted,
					plan_at(lists[k], i)->path);
	if (g_hash_table_size(deleted) == 0)
		return kept;
	for (size_t i = 0; i < manifest_count(r->in->ours); i++) {
		const char *path = manifest_at(r->in->ours, i)->path;

		if (!g_hash_table_contains(deleted, path))
			mark_above(kept, path);
	}
	for (size_t i = 0; i < plan_count(r->main); i++)
		if (plan_at(r->main, i)->action != PLAN_REPORT)
			mark_above(kept, plan_at(r->main, i)->path);
	return kept;
}

static void move_ops(struct plan *to, struct plan *from, bool reversed,
	GHashTable *kept)
{
	guint n = from->ops->len;

	for (guint i = 0; i < n; i++) {
		guint at = reversed ? n - 1 - i : i;
		struct plan_op *op = g_ptr_array_index(from->ops, at);

		g_ptr_array_index(from->ops, at) = NULL;
		/* A directory that something stays in stays. */
		if (kept && op->before.type == ENTRY_DIR &&
			(op->action == PLAN_DELETE || op->list == PLAN_HELD) &&
			g_hash_table_contains(kept, op->path))
			plan_op_free(op);
		else
			g_ptr_array_add(to->ops, op);
	}
	plan_free(from);
}

/* A directory whose children were held is not to be deleted either. */
static bool has_kept_below(GHashTable *kept, const struct plan_op *op)
{
	return op->before.type == ENTRY_DIR &&
		g_hash_table_contains(kept, op->path);
}

struct plan *finish_plan(struct rec *r)
{
	struct plan *p = plan_new();
	const char *why = closed_gate(r);
	bool held = false;
	GHashTable *kept;

	if (why) {
		hold_all(r, r->early, why, &held);
		hold_all(r, r->main, why, &held);
		hold_all(r, r->late, why, &held);
	}
	kept = find_kept(r);
	if (why)	/* lines about directories that stay anyway say nothing */
		for (guint i = r->late->ops->len; i-- > 0;)
			if (has_kept_below(kept, plan_at(r->late, i)))
				g_ptr_array_remove_index(r->late->ops, i);
	move_ops(p, r->early, false, kept);
	move_ops(p, r->main, false, NULL);
	move_ops(p, r->late, true, kept);
	p->gated = held;
	p->incomplete = r->incomplete;
	g_hash_table_destroy(kept);
	return p;
}
