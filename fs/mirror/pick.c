/*
 * Which neighbours come along with a file that is asked for.
 *
 * The first time: small files of its directory. When half of what came unasked
 * was then opened, somebody walks the tree: twice as much, on across
 * directories in the order of names, as a walk meets them.
 */
#include <string.h>

#include "fs/mirror/want_internal.h"

enum {
	FILES_FIRST = 64,
	BYTES_FIRST = 1 << 20,
	STREAK_MOST = 4,	/* 1024 files, 16 MiB */
	SMALL = 1 << 20,	/* larger ones never come unasked */
	VISITS = 50000,		/* places looked at for one job */
};

struct pick {
	GArray *job;
	uint64_t files, bytes;	/* left */
	unsigned visits;	/* left */
	bool descend;
};

static bool is_over(const struct pick *k)
{
	return !k->files || !k->bytes || !k->visits;
}

static void take(struct pick *k, struct node *n)
{
	if (n->content != CONTENT_STUB || n->size > SMALL ||
		n->size > k->bytes)
		return;
	job_add(k->job, n, false);
	k->files--;
	k->bytes -= n->size;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp((*(const struct place *const *)a)->name,
		(*(const struct place *const *)b)->name);
}

static GPtrArray *sorted(const struct node *dir)
{
	GPtrArray *all = g_ptr_array_new();
	GHashTableIter it;
	gpointer value;

	if (!dir->children)
		return all;
	g_hash_table_iter_init(&it, dir->children);
	while (g_hash_table_iter_next(&it, NULL, &value))
		g_ptr_array_add(all, value);
	g_ptr_array_sort(all, by_name);
	return all;
}

/* What is in DIR after the name AFTER (NULL: all), then, with WRAP, what is
 * before it. */
static void walk(struct pick *k, const struct node *dir, const char *after,
	bool wrap)
{
	GPtrArray *all = sorted(dir);

	for (int pass = 0; pass < (wrap ? 2 : 1); pass++)
		for (guint i = 0; i < all->len && !is_over(k); i++) {
			struct place *p = g_ptr_array_index(all, i);
			bool behind = !after || strcmp(p->name, after) > 0;

			if (behind != (pass == 0))
				continue;
			k->visits--;
			if (!is_dir(p->node))
				take(k, p->node);
			else if (k->descend)
				walk(k, p->node, NULL, false);
		}
	g_ptr_array_free(all, TRUE);
}

/* How much, by what became of the last lot. */
static void adapt(struct wants *w)
{
	if (w->brought && w->used * 2 >= w->brought)
		w->streak = MIN(w->streak + 1, STREAK_MOST);
	else
		w->streak = 0;
	w->brought = w->used = 0;
}

void pick_neighbours(struct mirror *m, struct node *n, GArray *job)
{
	struct wants *w = m->wants;
	struct pick k = { .job = job, .visits = VISITS };
	const struct place *p = n->names;
	guint before = job->len;

	if (n->size > SMALL || !p)
		return;
	adapt(w);
	k.files = (uint64_t)FILES_FIRST << w->streak;
	k.bytes = (uint64_t)BYTES_FIRST << w->streak;
	k.descend = w->streak > 0;
	walk(&k, p->parent, p->name, !k.descend);
	for (; k.descend && p->parent->names && !is_over(&k);
		p = p->parent->names)
		walk(&k, p->parent->names->parent, p->parent->names->name,
			false);
	w->brought = job->len - before;
}
