/*
 * Collections: what goes into a batch, and what becomes of it.
 *
 * A collection takes every moved place and every gone path (they depend on one
 * another) and other dirty places up to the limits. From then on all it took
 * counts as acknowledged where it is now, so that what happens meanwhile builds
 * on it; settling confirms that or takes it back.
 */
#include "fs/mirror/node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/mirror/base.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

static void free_change(gpointer data)
{
	struct mirror_change *c = data;

	g_free(c->path);
	g_free(c->acked_path);
	plan_entry_clear(&c->now);
	g_free(c);
}

static struct mirror_change *add_change(struct mirror *m,
	struct mirror_changes *out, struct place *p)
{
	struct mirror_change *c = g_new0(struct mirror_change, 1);

	c->index = out->list->len;
	g_ptr_array_add(out->list, c);
	g_ptr_array_add(m->flight, p);
	return c;
}

static void describe(struct mirror *m, const struct place *p,
	struct mirror_change *c)
{
	struct stat st;

	node_current(m, p->node);
	node_get_stat(p->node, &st);
	st.st_ino = p->node->ino;
	entry_from_stat(&c->now, &st);
	if (c->now.type == ENTRY_FILE)
		c->now.mode &= (uint16_t)~S_ISVTX;
	if (c->now.type == ENTRY_LINK) {
		char *target = NULL;

		beneath_readlink(m->config.root_fd, c->path, &target);
		c->now.target = target ? target : g_strdup("");
	}
	c->special = c->now.type == ENTRY_SPECIAL;
}

void mirror_describe(struct mirror *m, struct mirror_change *c)
{
	mutex_lock(&m->lock);
	const struct place *p = m->flight && c->path
		? g_ptr_array_index(m->flight, c->index) : NULL;

	if (p && c->now.type == ENTRY_FILE)
		describe(m, p, c);
	mutex_unlock(&m->lock);
}

static void take_place(struct mirror *m, struct mirror_changes *out,
	struct place *p)
{
	struct mirror_change *c = add_change(m, out, p);

	c->path = place_path(p);
	c->acked_path = acked_path(m, p);
	describe(m, p, c);
	c->content = p->content || !c->acked_path;
	c->node = p->node->id;
	c->seq = p->seq;
}

/* A dirty place with its path, which is made once. */
struct candidate {
	char *path;
	struct place *place;
};

static gint by_path(gconstpointer a, gconstpointer b)
{
	const struct candidate *x = a, *y = b;

	return path_compare(x->path, y->path);
}

static void free_candidate(gpointer data)
{
	g_free(((struct candidate *)data)->path);
}

static gint by_path_down(gconstpointer a, gconstpointer b)
{
	return path_compare(*(const char *const *)b, *(const char *const *)a);
}

/* The places to take, parents first. */
static GPtrArray *choose(struct mirror *m, uint64_t max_entries,
	uint64_t max_bytes, bool *more)
{
	GArray *all = g_array_new(FALSE, FALSE, sizeof(struct candidate));
	GPtrArray *taken = g_ptr_array_new();
	GHashTableIter it;
	gpointer key;
	uint64_t bytes = 0;

	g_array_set_clear_func(all, free_candidate);
	g_hash_table_iter_init(&it, m->dirty);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		struct candidate c = { place_path(key), key };

		g_array_append_val(all, c);
	}
	g_array_sort(all, by_path);
	for (guint i = 0; i < all->len; i++) {
		struct place *p =
			g_array_index(all, struct candidate, i).place;
		uint64_t size = p->content && S_ISREG(p->node->mode)
			? p->node->size : 0;

		/* Moves all go together; the first always goes. */
		if (!g_hash_table_contains(m->moved, p) && taken->len &&
			(taken->len >= max_entries ||
				bytes + size > max_bytes)) {
			*more = true;
			continue;
		}
		bytes += size;
		g_ptr_array_add(taken, p);
	}
	g_array_free(all, TRUE);
	return taken;
}

static void take_gone(struct mirror *m, struct mirror_changes *out)
{
	GPtrArray *paths = g_ptr_array_new();
	GHashTableIter it;
	gpointer key;

	g_hash_table_iter_init(&it, m->gone);
	while (g_hash_table_iter_next(&it, &key, NULL))
		g_ptr_array_add(paths, key);
	g_ptr_array_sort(paths, by_path_down);
	for (guint i = 0; i < paths->len; i++) {
		const char *path = g_ptr_array_index(paths, i);
		const struct gone *g = g_hash_table_lookup(m->gone, path);
		struct mirror_change *c = add_change(m, out, NULL);

		c->acked_path = g_strdup(path);
		c->seq = g->seq;
	}
	g_ptr_array_free(paths, TRUE);
	g_hash_table_remove_all(m->gone);
}

struct mirror_changes *mirror_collect(struct mirror *m, uint64_t max_entries,
	uint64_t max_bytes)
{
	struct mirror_changes *out = g_new0(struct mirror_changes, 1);
	GPtrArray *taken;

	out->list = g_ptr_array_new_with_free_func(free_change);
	base_store_sort(m->config.base);
	mutex_lock(&m->lock);
	m->flight = g_ptr_array_new();
	m->collected = out;
	taken = choose(m, max_entries, max_bytes, &out->more);
	for (guint i = 0; i < taken->len; i++)
		take_place(m, out, g_ptr_array_index(taken, i));
	take_gone(m, out);
	for (guint i = 0; i < taken->len; i++) {
		struct place *p = g_ptr_array_index(taken, i);

		p->acked = true;
		p->flight = i + 1;
		mark_clean(m, p);
	}
	mutex_unlock(&m->lock);
	g_ptr_array_free(taken, TRUE);
	return out;
}

bool mirror_change_is_current(struct mirror *m, const struct mirror_change *c)
{
	mutex_lock(&m->lock);
	const struct place *p =
		m->flight ? g_ptr_array_index(m->flight, c->index) : NULL;
	bool current = p && !p->dirty;
	mutex_unlock(&m->lock);
	return current;
}

/* Takes back what collecting assumed of change I. */
static void take_back(struct mirror *m, const struct mirror_changes *changes,
	guint i)
{
	const struct mirror_change *c = g_ptr_array_index(changes->list, i);
	struct place *p = g_ptr_array_index(m->flight, i);
	g_autofree char *acked = g_strdup(c->acked_path);

	if (!p) {
		/* Gone (before or meanwhile): the sandbox still has it. */
		if (acked)
			note_gone_path(m, acked, c->seq, io_now_ns());
		return;
	}
	p->acked = acked != NULL;
	g_hash_table_remove(m->moved, p);
	mark_dirty(m, p, c->content);
	p->seq = c->seq;
	if (acked) {
		g_autofree char *natural = acked_path(m, p);

		if (g_strcmp0(natural, acked))
			g_hash_table_insert(
				m->moved, p, g_steal_pointer(&acked));
	}
}

void mirror_settle(struct mirror *m, struct mirror_changes *changes,
	const bool *ok)
{
	mutex_lock(&m->lock);
	for (guint i = 0; i < changes->list->len; i++)
		if (!ok || !ok[i])
			take_back(m, changes, i);
	for (guint i = 0; i < m->flight->len; i++) {
		struct place *p = g_ptr_array_index(m->flight, i);

		if (p)
			p->flight = 0;
	}
	m->collected = NULL;
	g_ptr_array_free(m->flight, TRUE);
	m->flight = NULL;
	mutex_unlock(&m->lock);
	g_ptr_array_free(changes->list, TRUE);
	g_free(changes);
}
