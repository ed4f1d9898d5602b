/*
 * Directory listings without handles: who lists is not known, so an offset must
 * mean the same to everybody and stay right while entries come and go. It comes
 * from the name alone (a hash): what is there all the time is given exactly
 * once, wherever a listing is taken up again, and a renamed entry does not
 * follow the reader to the end.
 *
 * The names of the few directories being listed are kept sorted by offset;
 * where that list is gone, or lacks a name that a reader who came later has to
 * see, it is made anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/node.h"

enum {
	FIRST = 2, /* after "." and ".." */
	/* Programs of 32 bits take no larger ones; room for equal hashes. */
	SPAN = INT32_MAX - (1 << 24),
};

struct listed {
	off_t at;
	char *name; /* owned */
};

static void clear_listed(gpointer data)
{
	g_free(((struct listed *)data)->name);
}

static off_t hash_offset(const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return FIRST + (off_t)((h ^ h >> 32) % SPAN);
}

static gint by_offset(gconstpointer a, gconstpointer b)
{
	const struct listed *x = a, *y = b;

	return x->at < y->at   ? -1
	       : x->at > y->at ? 1
			       : strcmp(x->name, y->name);
}

static void fill_listing(struct listing *l, struct node *dir)
{
	GHashTableIter it;
	gpointer name;
	off_t least = FIRST;

	l->node = dir->id;
	l->ended = false;
	l->lacks = false;
	g_clear_pointer(&l->names, g_array_unref);
	l->names = g_array_new(FALSE, FALSE, sizeof(struct listed));
	g_array_set_clear_func(l->names, clear_listed);
	if (!dir->children)
		return;
	g_hash_table_iter_init(&it, dir->children);
	while (g_hash_table_iter_next(&it, &name, NULL)) {
		struct listed e = {
			.at = hash_offset(name),
			.name = g_strdup(name),
		};

		g_array_append_val(l->names, e);
	}
	g_array_sort(l->names, by_offset);
	for (guint i = 0; i < l->names->len; i++) {
		struct listed *e = &g_array_index(l->names, struct listed, i);

		e->at = MAX(e->at, least);
		least = e->at + 1;
	}
}

/* The listing of DIR, made anew for who begins at offset 0. */
static struct listing *listing_of(struct mirror *m, struct node *dir, off_t off)
{
	struct listing *l = NULL, *oldest = &m->listings[0];

	for (size_t i = 0; i < G_N_ELEMENTS(m->listings); i++) {
		struct listing *at = &m->listings[i];

		if (at->names && at->node == dir->id)
			l = at;
		if (!at->names || (oldest->names && at->used < oldest->used))
			oldest = at;
	}
	if (!l || off == 0 || l->lacks) {
		l = l ? l : oldest;
		fill_listing(l, dir);
	}
	l->used = ++m->listing_uses;
	return l;
}

/* Index of the first entry at OFF or behind it. */
static guint first_at(const struct listing *l, off_t off)
{
	guint low = 0, high = l->names->len;

	while (low < high) {
		guint mid = low + (high - low) / 2;

		if (g_array_index(l->names, struct listed, mid).at < off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void give(struct mirror *m, struct node *n, const char *name,
	struct mirror_dirent *out)
{
	node_current(m, n);
	g_strlcpy(out->name, name, sizeof(out->name));
	out->attr.node = n->id;
	out->attr.generation = 0;
	node_get_stat(n, &out->attr.st);
}

static struct node *parent_of(struct mirror *m, struct node *n)
{
	return n->names ? n->names->parent : m->root;
}

static int read_locked(struct mirror *m, struct node *dir, off_t off,
	bool with_ref, struct mirror_dirent *out)
{
	struct listing *l;

	if (off < FIRST) {
		if (off == 0)
			listing_of(m, dir, off);
		give(m, off == 0 ? dir : parent_of(m, dir),
			off == 0 ? "." : "..", out);
		out->next = off + 1;
		return 0;
	}
	l = listing_of(m, dir, off);
	for (guint i = first_at(l, off); i < l->names->len; i++) {
		const struct listed *e =
			&g_array_index(l->names, struct listed, i);
		struct place *p = place_find(dir, e->name);

		if (!p)
			continue; /* removed meanwhile */
		give(m, p->node, e->name, out);
		out->next = e->at + 1;
		p->node->lookups += with_ref;
		return 0;
	}
	/* Who lists asks once for what follows the last entry. */
	if (l->ended)
		g_clear_pointer(&l->names, g_array_unref);
	l->ended = true;
	return -ENOENT;
}

int mirror_read_dir(struct mirror *m, uint64_t node, off_t off, bool with_ref,
	struct mirror_dirent *out)
{
	int r;

	if (off < 0)
		return -EINVAL;
	mutex_lock(&m->lock);
	struct node *dir = node_find(m, node);

	if (!dir || !is_dir(dir))
		r = dir ? -ENOTDIR : -ESTALE;
	else
		r = read_locked(m, dir, off, with_ref, out);
	mutex_unlock(&m->lock);
	return r;
}

void dir_outdate_listing(struct mirror *m, const struct node *dir)
{
	for (size_t i = 0; i < G_N_ELEMENTS(m->listings); i++)
		if (m->listings[i].node == dir->id)
			m->listings[i].lacks = true;
}

void dir_free_listings(struct mirror *m)
{
	for (size_t i = 0; i < G_N_ELEMENTS(m->listings); i++)
		g_clear_pointer(&m->listings[i].names, g_array_unref);
}

int mirror_sync_dir(struct mirror *m, uint64_t node)
{
	int fd = -1, r = -ESTALE;

	mutex_lock(&m->lock);
	autospot struct spot spot = SPOT_NONE;
	struct node *dir = node_find(m, node);

	if (dir)
		r = 0;
	if (dir && spot_init(m, &spot, node_path(dir)) == 0) {
		fd = openat(spot.at.dir, spot.at.path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	mutex_unlock(&m->lock);
	if (fd >= 0) {
		r = fsync(fd) < 0 ? -errno : 0;
		close(fd);
	}
	return r;
}
