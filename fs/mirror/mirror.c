/* Opening: the tree on disk into nodes, and what the sandbox lacks of it. */
#include "fs/mirror/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/node.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

/* Where node numbers of our own begin. */
#define HIGH_RANGE (UINT64_C(1) << 62)

/* Directories that are still to be read: no descriptor for each level, trees
 * may be deep. */
struct load {
	struct mirror *m;
	GQueue todo;		/* struct node */
	GPtrArray *closed;	/* struct node, opened up for the time: parents
				 * before children */
};

static int load_entry(struct load *l, struct node *dir, int dir_fd,
	const char *name)
{
	struct node *n;
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (content_is_stub(&st) && io_is_temp_name(name))
		return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
	n = node_take(l->m, &st);
	place_add(l->m, dir, name, n);
	if (S_ISDIR(st.st_mode))
		g_queue_push_tail(&l->todo, n);
	return 0;
}

/* Its user may have closed a directory to himself, and so to us. */
static int open_to_load(struct load *l, struct node *dir)
{
	const mode_t need = S_IRUSR | S_IXUSR;
	g_autofree char *path = node_path(dir);
	int root = l->m->config.root_fd;

	if ((dir->mode & need) != need && geteuid() != 0 && *path) {
		int r = beneath_chmod(root, path, dir->mode | need);

		if (r < 0)
			return r;
		g_ptr_array_add(l->closed, dir);
	}
	return beneath_open(root, path, O_RDONLY | O_DIRECTORY, 0);
}

static int load_dir(struct load *l, struct node *dir)
{
	int fd = open_to_load(l, dir), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = load_entry(l, dir, dirfd(d), e->d_name);
	}
	closedir(d);
	return r;
}

static void close_again(struct load *l)
{
	for (guint i = l->closed->len; i-- > 0;) {
		struct node *dir = g_ptr_array_index(l->closed, i);
		g_autofree char *path = node_path(dir);

		beneath_chmod(l->m->config.root_fd, path, dir->mode);
		dir->outdated = true;
	}
}

static int load_all(struct mirror *m)
{
	struct load l = { .m = m, .closed = g_ptr_array_new() };
	struct node *dir;
	int r = 0;

	g_queue_init(&l.todo);
	g_queue_push_tail(&l.todo, m->root);
	while (r == 0 && (dir = g_queue_pop_head(&l.todo)))
		r = load_dir(&l, dir);
	g_queue_clear(&l.todo);
	close_again(&l);
	g_ptr_array_free(l.closed, TRUE);
	return r;
}

static int load_tree(struct mirror *m)
{
	struct stat st;

	if (fstat(m->config.root_fd, &st) < 0)
		return -errno;
	m->dev = st.st_dev;
	m->root = g_new0(struct node, 1);
	m->root->id = MIRROR_ROOT;
	node_set_stat(m->root, &st);
	g_hash_table_insert(m->nodes, &m->root->id, m->root);
	return load_all(m);
}

/* --- against the acknowledged rows ------------------------------------- */

static bool same_stat(const struct node *n, const struct entry *row)
{
	return n->size == (uint64_t)row->size &&
		n->mtime_ns == row->mtime_ns && n->ino == row->ino;
}

/* Whether the file's bytes are the row's: reads them if need be. */
static bool same_bytes(struct mirror *m, const struct place *p,
	const struct entry *row)
{
	g_autofree char *path = place_path(p);
	struct digest d;
	autofd int fd = -1;

	if (!(row->flags & ENTRY_HASHED) ||
		p->node->size != (uint64_t)row->size)
		return false;
	fd = content_open(m->config.root_fd, path);
	return fd >= 0 && digest_fd(fd, &d, NULL) == 0 &&
		digest_equal(&d, &row->digest);
}

static bool same_link(struct mirror *m, const struct place *p,
	const struct entry *row)
{
	g_autofree char *path = place_path(p);
	g_autofree char *target = NULL;

	return beneath_readlink(m->config.root_fd, path, &target) == 0 &&
		g_strcmp0(target, row->target) == 0;
}

/* The place has a row: what of it is new? */
static void compare_place(struct mirror *m, struct place *p,
	const struct entry *row)
{
	const struct node *n = p->node;
	bool same_type = (S_ISREG(n->mode) && row->type == ENTRY_FILE) ||
		(S_ISDIR(n->mode) && row->type == ENTRY_DIR) ||
		(S_ISLNK(n->mode) && row->type == ENTRY_LINK);

	p->acked = true;
	if (!same_type) {
		mark_dirty(m, p, true);
	} else if (S_ISLNK(n->mode)) {
		if (!same_link(m, p, row))
			mark_dirty(m, p, true);
	} else if (n->content != CONTENT_COMPLETE) {
		if ((n->mode & 0777) != (row->mode & 0777u))
			mark_dirty(m, p, false);
	} else if (S_ISREG(n->mode)) {
		if (!(same_stat(n, row) && n->ctime_ns == row->ctime_ns) &&
			!same_bytes(m, p, row))
			mark_dirty(m, p, true);
		else if ((n->mode & 0777) != (row->mode & 0777u) ||
			n->mtime_ns != row->mtime_ns)
			mark_dirty(m, p, false);
	} else if ((n->mode & 0777) != (row->mode & 0777u)) {
		mark_dirty(m, p, false);
	}
}

struct comparison {
	struct mirror *m;
	const struct manifest *rows;
	GHashTable *sources;	/* &ino -> row, of files; NULL: not made yet */
	GHashTable *claimed;	/* rows' paths that a stub moved away from */
};

/* The row that says which bytes stub N stands for, or NULL. */
static const struct entry *source_of(struct comparison *c,
	const struct node *n)
{
	if (!c->sources) {
		c->sources = g_hash_table_new(g_int64_hash, g_int64_equal);
		for (size_t i = 0; i < manifest_count(c->rows); i++) {
			const struct entry *e = manifest_at(c->rows, i);

			if (e->type == ENTRY_FILE && e->ino)
				g_hash_table_insert(c->sources,
					(gpointer)&e->ino, (gpointer)e);
		}
	}
	return g_hash_table_lookup(c->sources, &n->ino);
}

/* A stub that is not where the sandbox has its bytes: moved there, or another
 * name, or in the place of something else. */
static void compare_stub(struct comparison *c, struct place *p,
	const struct entry *row)
{
	const struct entry *source = source_of(c, p->node);
	struct mirror *m = c->m;

	if (!source) {
		g_autofree char *path = place_path(p);
		g_autofree char *shown = path_display(path);

		/* Never to be sent: to the sandbox it is as if it had not
		 * been touched. */
		log_write(LOG_ERROR, "%s: it is not known what it is to hold; "
			"it cannot be opened", shown);
		p->acked = row != NULL;
		return;
	}
	p->acked = row != NULL;
	if (row || place_at(m, source->path) ||
		!g_hash_table_add(c->claimed, (gpointer)source->path)) {
		mark_dirty(m, p, true);
		return;
	}
	p->acked = true;
	g_hash_table_insert(m->moved, p, g_strdup(source->path));
	mark_dirty(m, p, false);
}

/* An interrupted fill or truncation may have left another size or time. */
static void mend_stub(struct mirror *m, struct node *n, const struct entry *row)
{
	g_autofree char *path = node_path(n);
	autofd int fd = -1;
	struct stat st;

	if (n->size == (uint64_t)row->size && n->mtime_ns == row->mtime_ns)
		return;
	fd = content_open_stub(m->config.root_fd, path);
	if (fd >= 0 && content_reset_stub(fd, row->size, row->mtime_ns) == 0 &&
		fstat(fd, &st) == 0)
		node_set_stat(n, &st);
}

static void compare_tree(struct comparison *c, struct node *dir,
	const char *path)
{
	GHashTableIter it;
	gpointer value;

	if (!dir->children)
		return;
	g_hash_table_iter_init(&it, dir->children);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct place *p = value;
		g_autofree char *own = path_join(path, p->name);
		const struct entry *row = manifest_find(c->rows, own);

		if (p->node->content != CONTENT_COMPLETE &&
			!(row && row->ino == p->node->ino))
			compare_stub(c, p, row);
		else if (row)
			compare_place(c->m, p, row);
		else
			mark_dirty(c->m, p, true);
		if (is_dir(p->node))
			compare_tree(c, p->node, own);
	}
}

static void find_gone(const struct comparison *c)
{
	const struct manifest *rows = c->rows;
	struct mirror *m = c->m;

	for (size_t i = 0; i < manifest_count(rows); i++) {
		const char *path = manifest_at(rows, i)->path;

		if (!place_at(m, path) &&
			!g_hash_table_contains(c->claimed, path)) {
			m->seq++;
			note_gone_path(m, path, m->seq, io_now_ns());
		}
	}
}

static void mend_stubs(struct comparison *c)
{
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, c->m->stubs);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct node *n = value;
		const struct entry *row = source_of(c, n);

		if (row && n->content == CONTENT_STUB && n->names)
			mend_stub(c->m, n, row);
	}
}

static void compare_all(struct comparison *c)
{
	c->claimed = g_hash_table_new(g_str_hash, g_str_equal);
	if (g_hash_table_size(c->m->stubs))
		mend_stubs(c);
	compare_tree(c, c->m->root, "");
	find_gone(c);
	g_hash_table_destroy(c->claimed);
	if (c->sources)
		g_hash_table_destroy(c->sources);
}

static int compare(struct mirror *m, GError **err)
{
	g_autoptr(manifest_auto) rows = NULL;
	g_autoptr(GError) why = NULL;
	struct comparison c = { .m = m };

	if (state_load(m->config.state, STATE_ACK_MIRROR, &rows, &why) < 0) {
		g_propagate_error(err, g_steal_pointer(&why));
		return -EIO;
	}
	c.rows = rows;
	compare_all(&c);
	return 0;
}

static void forget_places(struct node *dir)
{
	GHashTableIter it;
	gpointer value;

	if (!dir->children)
		return;
	g_hash_table_iter_init(&it, dir->children);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct place *p = value;

		p->acked = p->dirty = p->content = false;
		forget_places(p->node);
	}
}

/* Everything found now was there before any flush began that waits for it. */
static void make_oldest(struct mirror *m)
{
	GHashTableIter it;
	gpointer key, value;

	g_hash_table_iter_init(&it, m->dirty);
	while (g_hash_table_iter_next(&it, &key, NULL))
		((struct place *)key)->seq = 1;
	g_hash_table_iter_init(&it, m->gone);
	while (g_hash_table_iter_next(&it, NULL, &value))
		((struct gone *)value)->seq = 1;
}

int mirror_recompare(struct mirror *m, GError **err)
{
	g_autoptr(manifest_auto) rows = NULL;
	struct comparison c = { .m = m };

	if (state_load(m->config.state, STATE_ACK_MIRROR, &rows, err) < 0)
		return -EIO;
	c.rows = rows;
	mutex_lock(&m->lock);
	forget_places(m->root);
	g_hash_table_remove_all(m->dirty);
	g_hash_table_remove_all(m->moved);
	g_hash_table_remove_all(m->gone);
	compare_all(&c);
	make_oldest(m);
	mutex_unlock(&m->lock);
	return 0;
}

struct mirror *mirror_open(const struct mirror_config *c, GError **err)
{
	struct mirror *m = g_new0(struct mirror, 1);
	int r;

	m->config = *c;
	m->next_id = HIGH_RANGE;
	mutex_init(&m->lock, RANK_TREE);
	m->nodes = g_hash_table_new(g_int64_hash, g_int64_equal);
	m->stubs = g_hash_table_new(g_int64_hash, g_int64_equal);
	m->wants = wants_new();
	m->parts = parts_new();
	m->dirty = g_hash_table_new(NULL, NULL);
	m->moved = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	m->gone = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, g_free);
	r = load_tree(m);
	if (r < 0)
		fail_errno(err, r, "read the mirror");
	else
		r = compare(m, err);
	if (r == 0)
		return m;
	mirror_close(m);
	return NULL;
}

static void free_node(struct node *n)
{
	while (n->names) {
		struct place *p = n->names;

		n->names = p->next;
		g_free(p);
	}
	while (n->files) {
		struct mirror_file *f = n->files;

		n->files = f->next;
		part_unref(f->part);
		close(f->fd);
		g_free(f);
	}
	if (n->children)
		g_hash_table_destroy(n->children);
	g_free(n);
}

void mirror_close(struct mirror *m)
{
	GHashTableIter it;
	gpointer value;

	if (!m)
		return;
	dir_free_listings(m);
	g_hash_table_iter_init(&it, m->nodes);
	while (g_hash_table_iter_next(&it, NULL, &value))
		free_node(value);
	g_hash_table_destroy(m->nodes);
	g_hash_table_destroy(m->stubs);
	wants_free(m->wants);
	parts_free(m->parts);
	g_hash_table_destroy(m->dirty);
	g_hash_table_destroy(m->moved);
	g_hash_table_destroy(m->gone);
	mutex_destroy(&m->lock);
	g_free(m);
}

/* --- for the flows ------------------------------------------------------ */

int mirror_open_content(struct mirror *m, const char *path)
{
	return content_open(m->config.root_fd, path);
}

uint64_t mirror_special_count(struct mirror *m)
{
	mutex_lock(&m->lock);
	uint64_t n = m->special;
	mutex_unlock(&m->lock);
	return n;
}

uint64_t mirror_node_count(struct mirror *m)
{
	mutex_lock(&m->lock);
	uint64_t n = g_hash_table_size(m->nodes);
	mutex_unlock(&m->lock);
	return n;
}
