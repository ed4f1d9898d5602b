/* Whether the mount's user has nothing to do with a place. */
#include "fs/mirror/node.h"

static bool is_at_rest(const struct mirror *m, const struct place *p)
{
	GHashTableIter it;
	gpointer value;

	if (!p->acked || p->dirty || p->flight || p->node->writing ||
		p->node->files || g_hash_table_contains(m->moved, p))
		return false;
	if (!p->node->children)
		return true;
	g_hash_table_iter_init(&it, p->node->children);
	while (g_hash_table_iter_next(&it, NULL, &value))
		if (!is_at_rest(m, value))
			return false;
	return true;
}

bool mirror_is_at_rest(struct mirror *m, const char *path)
{
	mutex_lock(&m->lock);
	const struct place *p = place_at(m, path);
	bool rest = p && is_at_rest(m, p);
	mutex_unlock(&m->lock);
	return rest;
}
