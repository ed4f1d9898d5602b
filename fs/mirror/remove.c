/* Removing and renaming. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/node.h"
#include "merge/apply.h"
#include "merge/lib/path.h"

/* Attributes of a node that lost a name: from another name or an open file. */
static void refresh_unlinked(struct mirror *m, struct node *n)
{
	g_autofree char *path = node_path(n);
	struct stat st;

	if (path)
		node_refresh(m, n, path);
	else if (n->files && fstat(n->files->fd, &st) == 0)
		node_set_stat(n, &st);
	else
		n->nlink = n->nlink && !is_dir(n) ? n->nlink - 1 : 0;
}

/* Takes a place that is off the disk out of the table. */
static void drop_place(struct mirror *m, const struct mirror_caller *c,
	struct place *p)
{
	struct node *n = p->node, *dir = p->parent;

	if (!c->quiet)
		note_gone(m, p);
	place_remove(m, p);
	refresh_unlinked(m, n);
	dir->outdated = true;
	node_release(m, n);
}

static int find_place(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, struct place **p)
{
	struct node *dir = node_find(m, parent);

	if (m->config.read_only && !c->quiet)
		return -EROFS;
	if (!dir)
		return -ESTALE;
	*p = place_find(dir, name);
	return *p ? 0 : -ENOENT;
}

/* A file whose bytes are to be kept and that goes away whole: nobody has it
 * open, and it has no other name. */
static bool can_be_taken(const struct node *n)
{
	return S_ISREG(n->mode) && n->content == CONTENT_COMPLETE &&
		n->nlink == 1 && !n->files && !n->pins && !n->writing &&
		n->size <= TEXT_MERGE_LIMIT && n->names &&
		n->names->acked && !n->names->content;
}

static int remove_from_disk(struct mirror *m, const struct place *p, int flags)
{
	autospot struct spot spot = SPOT_NONE;
	int r = spot_init(m, &spot, place_path(p));

	if (r < 0)
		return r;
	if (!(flags & AT_REMOVEDIR) && can_be_taken(p->node) &&
		base_store_take(m->config.base, spot.at.dir, spot.at.path,
			p->node->ino) == 0)
		return 0;
	/* While it still can be asked. */
	node_current(m, p->node);
	if (!(flags & AT_REMOVEDIR))
		keep_base(m, p->node);
	return unlinkat(spot.at.dir, spot.at.path, flags) < 0 ? -errno : 0;
}

static int remove_name(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, int flags)
{
	struct place *p;

	mutex_lock(&m->lock);
	int r = find_place(m, c, parent, name, &p);

	if (r == 0)
		r = remove_from_disk(m, p, flags);
	if (r == 0)
		drop_place(m, c, p);
	mutex_unlock(&m->lock);
	if (r == 0)
		wake(m, c);
	return r;
}

int mirror_unlink(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name)
{
	return remove_name(m, c, parent, name, 0);
}

int mirror_rmdir(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name)
{
	return remove_name(m, c, parent, name, AT_REMOVEDIR);
}

/* --- rename ------------------------------------------------------------- */

/* Puts P, whose acknowledged path is ACKED (or NULL), into the right table. */
static void set_acked_path(struct mirror *m, struct place *p,
	const char *acked)
{
	g_hash_table_remove(m->moved, p);
	p->acked = acked != NULL;
	if (acked) {
		g_autofree char *natural = acked_path(m, p);

		if (g_strcmp0(natural, acked))
			g_hash_table_insert(m->moved, p, g_strdup(acked));
	}
}

/* The new place of NODE takes over what was known of the old one, SRC. */
static struct place *move_place(struct mirror *m, struct place *src,
	struct node *dir, const char *name)
{
	struct place *p = place_add(m, dir, name, src->node);

	p->acked = src->acked;
	p->content = src->content;
	p->flight = src->flight;
	if (p->flight)
		g_ptr_array_index(m->flight, p->flight - 1) = p;
	src->flight = 0;
	return p;
}

/* A file over a file: the place stays what the sandbox has, with new bytes. */
static void replace_file(struct mirror *m, const struct mirror_caller *c,
	struct place *src, struct place *dst)
{
	struct node *old = dst->node, *n = src->node;
	struct place **at;

	if (!c->quiet)
		note_gone(m, src);
	for (at = &old->names; *at != dst;)
		at = &(*at)->next;
	*at = dst->next;
	dst->node = n;
	dst->next = n->names;
	n->names = dst;
	place_remove(m, src);
	if (!c->quiet)
		mark_dirty(m, dst, true);
	refresh_unlinked(m, old);
	node_release(m, old);
}

/* The bookkeeping of a rename that the disk has done. */
static void rename_place(struct mirror *m, const struct mirror_caller *c,
	struct place *src, struct place *dst, struct node *dir,
	const char *name)
{
	g_autofree char *acked = acked_path(m, src);
	struct node *from = src->parent, *n = src->node;
	struct place *p;

	if (dst && !is_dir(n)) {
		replace_file(m, c, src, dst);
	} else {
		if (dst)
			drop_place(m, c, dst);
		p = move_place(m, src, dir, name);
		place_remove(m, src);
		if (!c->quiet) {
			set_acked_path(m, p, acked);
			mark_dirty(m, p, p->content);
		}
	}
	refresh_unlinked(m, n);
	from->outdated = true;
	dir->outdated = true;
}

static void swap_nodes(struct place *a, struct place *b)
{
	struct node *na = a->node, *nb = b->node;
	struct place **at;

	for (at = &na->names; *at != a;)
		at = &(*at)->next;
	*at = a->next;
	for (at = &nb->names; *at != b;)
		at = &(*at)->next;
	*at = b->next;
	a->node = nb;
	a->next = nb->names;
	nb->names = a;
	b->node = na;
	b->next = na->names;
	na->names = b;
}

static void exchange_places(struct mirror *m, const struct mirror_caller *c,
	struct place *a, struct place *b)
{
	g_autofree char *acked_a = acked_path(m, a);
	g_autofree char *acked_b = acked_path(m, b);
	bool dirs = is_dir(a->node) || is_dir(b->node);
	bool content_a = a->content, content_b = b->content;

	swap_nodes(a, b);
	if (!c->quiet) {
		/* Directories travel; files are new bytes in their places. */
		if (dirs) {
			set_acked_path(m, a, acked_b);
			set_acked_path(m, b, acked_a);
			a->content = content_b;
			b->content = content_a;
		}
		mark_dirty(m, a, !dirs);
		mark_dirty(m, b, !dirs);
	}
	refresh_unlinked(m, a->node);
	refresh_unlinked(m, b->node);
	a->parent->outdated = true;
	b->parent->outdated = true;
}

static bool is_reserved(const struct mirror *m, const struct node *dir,
	const char *name)
{
	return dir == m->root && m->config.runtime_dir &&
		!strcmp(name, m->config.runtime_dir);
}

static int rename_locked(struct mirror *m, const struct mirror_caller *c,
	struct place *src, struct node *dir, const char *name, unsigned flags)
{
	autospot struct spot from = SPOT_NONE, to = SPOT_NONE;
	struct place *dst = place_find(dir, name);
	int r;

	if (strlen(name) > 255)
		return -ENAMETOOLONG;
	if (is_reserved(m, dir, name))
		return -EACCES;
	r = spot_init(m, &from, place_path(src));
	if (r == 0)
		r = spot_init(m, &to, child_path(dir, name));
	if (r < 0)
		return r;
	if (dst && dst->node == src->node && !(flags & RENAME_NOREPLACE))
		return 0;	/* two names of one file: nothing happens */
	if (dst && !(flags & RENAME_NOREPLACE))
		keep_base(m, dst->node);
	if (flags & RENAME_EXCHANGE)
		keep_base(m, src->node);
	if (dst)
		node_current(m, dst->node);
	if (renameat2(from.at.dir, from.at.path, to.at.dir, to.at.path,
		    flags) < 0)
		return -errno;
	if (flags & RENAME_EXCHANGE)
		exchange_places(m, c, src, dst);
	else
		rename_place(m, c, src, dst, dir, name);
	return 0;
}

int mirror_rename(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, uint64_t new_parent,
	const char *new_name, unsigned flags)
{
	struct place *src;

	mutex_lock(&m->lock);
	int r = find_place(m, c, parent, name, &src);
	struct node *dir = node_find(m, new_parent);

	if (r == 0 && !dir)
		r = -ESTALE;
	if (r == 0)
		r = rename_locked(m, c, src, dir, new_name, flags);
	mutex_unlock(&m->lock);
	if (r == 0)
		wake(m, c);
	return r;
}
