/* Directory listings: a snapshot of the names, looked up again as they are
 * given out. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/node.h"

struct mirror_dir {
	struct node *node;
	GPtrArray *names;	/* char *, without "." and ".." */
	bool loaded;
};

int mirror_open_dir(struct mirror *m, uint64_t node, struct mirror_dir **out)
{
	int r = 0;

	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);

	if (!n || !is_dir(n)) {
		r = n ? -ENOTDIR : -ESTALE;
	} else {
		n->pins++;
		*out = g_new0(struct mirror_dir, 1);
		(*out)->node = n;
		(*out)->names = g_ptr_array_new_with_free_func(g_free);
	}
	mutex_unlock(&m->lock);
	return r;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* With the lock held. */
static void take_snapshot(struct mirror_dir *d)
{
	GHashTableIter it;
	gpointer name;

	g_ptr_array_set_size(d->names, 0);
	d->loaded = true;
	if (!d->node->children)
		return;
	g_hash_table_iter_init(&it, d->node->children);
	while (g_hash_table_iter_next(&it, &name, NULL))
		g_ptr_array_add(d->names, g_strdup(name));
	g_ptr_array_sort(d->names, by_name);
}

static void give(struct mirror *m, struct node *n, const char *name,
	struct mirror_dirent *out)
{
	node_current(m, n);
	out->name = name;
	out->attr.node = n->id;
	out->attr.generation = 0;
	node_get_stat(n, &out->attr.st);
}

static struct node *parent_of(struct mirror *m, struct node *n)
{
	return n->names ? n->names->parent : m->root;
}

/* Offsets: 0 ".", 1 "..", 2 and on the snapshot. */
static int read_locked(struct mirror *m, struct mirror_dir *d, off_t off,
	bool with_ref, struct mirror_dirent *out)
{
	if (off == 0 || !d->loaded)
		take_snapshot(d);
	if (off == 0) {
		out->next = 1;
		give(m, d->node, ".", out);
		return 0;
	}
	if (off == 1) {
		out->next = 2;
		give(m, parent_of(m, d->node), "..", out);
		return 0;
	}
	for (; off - 2 < (off_t)d->names->len; off++) {
		const char *name = g_ptr_array_index(d->names, off - 2);
		struct place *p = place_find(d->node, name);

		if (!p)
			continue;	/* removed meanwhile */
		out->next = off + 1;
		give(m, p->node, name, out);
		p->node->lookups += with_ref;
		return 0;
	}
	return -ENOENT;
}

int mirror_read_dir(struct mirror *m, struct mirror_dir *d, off_t off,
	bool with_ref, struct mirror_dirent *out)
{
	mutex_lock(&m->lock);
	int r = off < 0 ? -EINVAL : read_locked(m, d, off, with_ref, out);
	mutex_unlock(&m->lock);
	return r;
}

int mirror_sync_dir(struct mirror *m, struct mirror_dir *d)
{
	int fd = -1, r = 0;

	mutex_lock(&m->lock);
	autospot struct spot spot = SPOT_NONE;

	if (spot_init(m, &spot, node_path(d->node)) == 0) {
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

void mirror_release_dir(struct mirror *m, struct mirror_dir *d)
{
	mutex_lock(&m->lock);
	d->node->pins--;
	node_release(m, d->node);
	mutex_unlock(&m->lock);
	g_ptr_array_free(d->names, TRUE);
	g_free(d);
}
