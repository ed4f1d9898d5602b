/* Whether the mount's user has nothing to do with a place. */
#include "fs/mirror/node.h"
#include "merge/lib/path.h"

static bool is_at_rest(const struct mirror *m, const struct place *p, bool closed)
{
	GHashTableIter it;
	gpointer value;

	if (!p->acked || p->dirty || p->flight || p->node->writing ||
		(closed && p->node->files) ||
		g_hash_table_contains(m->moved, p))
		return false;
	if (!p->node->children)
		return true;
	g_hash_table_iter_init(&it, p->node->children);
	while (g_hash_table_iter_next(&it, NULL, &value))
		if (!is_at_rest(m, value, closed))
			return false;
	return true;
}

/* Whether something that the sandbox has at or below PATH is gone here. */
static bool is_missing(const struct mirror *m, const char *path)
{
	GHashTableIter it;
	gpointer gone;

	g_hash_table_iter_init(&it, m->gone);
	while (g_hash_table_iter_next(&it, &gone, NULL))
		if (path_is_within(gone, path))
			return true;
	return false;
}

static bool look(struct mirror *m, const char *path, bool closed)
{
	mutex_lock(&m->lock);
	const struct place *p = place_at(m, path);
	bool rest = p && is_at_rest(m, p, closed) && !is_missing(m, path);
	mutex_unlock(&m->lock);
	return rest;
}

bool mirror_is_settled(struct mirror *m, const char *path)
{
	return look(m, path, false);
}

bool mirror_is_at_rest(struct mirror *m, const char *path)
{
	return look(m, path, true);
}
