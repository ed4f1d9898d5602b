/*
 * Where conflict copies go: the first name that is free, or that holds the same
 * bytes already (then nothing is written). A copied tree is one copy: all its
 * operations share the root's name.
 */
#include <string.h>

#include "merge/apply_internal.h"
#include "merge/lib/path.h"
#include "merge/reconcile.h"

enum { COPY_TRIES = 1000 };

static bool is_copy(const struct plan_op *op)
{
	return op->list == PLAN_CONFLICTS && op->subject && op->copy &&
		(op->action == PLAN_PUT || op->action == PLAN_MKDIR) &&
		op->before.type == ENTRY_ABSENT;
}

/* Operations after I that belong to the same copied tree. */
static bool is_below(const struct plan_op *op, const struct plan_op *root)
{
	return op != root && op->subject &&
		!strcmp(op->subject, root->subject) &&
		path_is_within(op->path, root->copy);
}

/* Whether everything the copy would write is there under TO. */
static bool is_there(const struct plan *p, size_t i, const char *to,
	const struct apply_options *o)
{
	const struct plan_op *root = plan_at(p, i);
	struct entry want = root->after;

	want.ino = 0;
	if (!is_entry(o->root_fd, to, &want, false))
		return false;
	for (size_t k = i + 1; k < plan_count(p); k++) {
		const struct plan_op *op = plan_at(p, k);
		g_autofree char *path = NULL;

		if (!is_below(op, root))
			continue;
		path = path_rebase(op->path, root->copy, to);
		want = op->after;
		want.ino = 0;
		if (!is_entry(o->root_fd, path, &want, false))
			return false;
	}
	return true;
}

static void move_copy(struct plan *p, size_t i, const char *to, bool there)
{
	struct plan_op *root = plan_at(p, i);

	for (size_t k = i + 1; k < plan_count(p); k++) {
		struct plan_op *op = plan_at(p, k);
		char *path;

		if (!is_below(op, root))
			continue;
		path = path_rebase(op->path, root->copy, to);
		g_free(op->path);
		op->path = path;
		if (there)
			op->action = PLAN_REPORT;
	}
	g_free(root->path);
	g_free(root->copy);
	root->path = g_strdup(to);
	root->copy = g_strdup(to);
	if (there)
		root->action = PLAN_REPORT;
}

void resolve_copies(struct plan *p, const struct apply_options *o)
{
	static const struct entry none;
	g_autoptr(GHashTable) taken = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);

	for (size_t i = 0; i < plan_count(p); i++) {
		if (!is_copy(plan_at(p, i)))
			continue;
		for (unsigned k = 1; k < COPY_TRIES; k++) {
			g_autofree char *to = conflict_copy_path(
				plan_at(p, i)->subject, o->name, k,
				o->name_max);
			bool there;

			if (g_hash_table_contains(taken, to))
				continue;
			there = is_there(p, i, to, o);
			if (!there &&
				!is_entry(o->root_fd, to, &none, false))
				continue;
			g_hash_table_add(taken, g_strdup(to));
			move_copy(p, i, to, there);
			break;
		}
	}
}
