#include "fs/mirror/node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/mirror/content.h"
#include "merge/lib/path.h"

#define NS INT64_C(1000000000)

static int64_t to_ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * NS + t->tv_nsec;
}

static struct timespec from_ns(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / NS, .tv_nsec = ns % NS };

	if (t.tv_nsec < 0) {
		t.tv_nsec += NS;
		t.tv_sec--;
	}
	return t;
}

void node_set_stat(struct node *n, const struct stat *st)
{
	n->outdated = false;
	n->ino = st->st_ino;
	n->mode = st->st_mode;
	if (S_ISREG(n->mode)) {
		n->mode &= ~(uint32_t)S_ISVTX;
		if (content_is_stub(st) && n->content == CONTENT_COMPLETE)
			n->content = CONTENT_STUB;
	}
	n->nlink = (uint32_t)st->st_nlink;
	n->uid = st->st_uid;
	n->gid = st->st_gid;
	n->rdev = (uint32_t)st->st_rdev;
	n->atime_ns = to_ns(&st->st_atim);
	n->ctime_ns = to_ns(&st->st_ctim);
	/* Half written, its size and mtime are not the file's. */
	if (n->content == CONTENT_FILLING)
		return;
	n->size = (uint64_t)st->st_size;
	n->blocks = (uint64_t)st->st_blocks;
	n->mtime_ns = to_ns(&st->st_mtim);
}

void node_get_stat(const struct node *n, struct stat *st)
{
	*st = (struct stat){
		.st_ino = n->id == MIRROR_ROOT ? n->ino : n->id,
		.st_mode = n->mode | (n->sticky ? S_ISVTX : 0),
		.st_nlink = n->nlink,
		.st_uid = n->uid,
		.st_gid = n->gid,
		.st_rdev = n->rdev,
		.st_size = (off_t)n->size,
		/* A file that is all hole reads as zeros: not said of one
		 * whose bytes will come. */
		.st_blocks = (blkcnt_t)(n->content == CONTENT_COMPLETE
				? n->blocks : (n->size + 511) / 512),
		.st_blksize = 4096,
		.st_atim = from_ns(n->atime_ns),
		.st_mtim = from_ns(n->mtime_ns),
		.st_ctim = from_ns(n->ctime_ns),
	};
}

struct node *node_find(struct mirror *m, uint64_t id)
{
	return g_hash_table_lookup(m->nodes, &id);
}

struct node *node_take(struct mirror *m, const struct stat *st)
{
	struct node *n = node_find(m, st->st_ino);
	uint64_t id = st->st_ino;

	if (n && n->names && n->ino == st->st_ino &&
		S_ISDIR(st->st_mode) == is_dir(n) && st->st_nlink > 1 &&
		!is_dir(n)) {
		node_set_stat(n, st);
		return n;
	}
	/* The number is still in use by an unlinked inode, or reserved. */
	if (n || id == MIRROR_ROOT)
		id = m->next_id++;
	n = g_new0(struct node, 1);
	n->id = id;
	node_set_stat(n, st);
	g_hash_table_insert(m->nodes, &n->id, n);
	stub_take(m, n);
	if (!S_ISREG(n->mode) && !S_ISDIR(n->mode) && !S_ISLNK(n->mode))
		m->special++;
	return n;
}

void node_release(struct mirror *m, struct node *n)
{
	if (n->names || n->lookups || n->files || n->pins || n == m->root)
		return;
	if (!S_ISREG(n->mode) && !S_ISDIR(n->mode) && !S_ISLNK(n->mode))
		m->special--;
	g_hash_table_remove(m->nodes, &n->id);
	stub_end(m, n);
	if (is_dir(n))
		dir_outdate_listing(m, n);
	if (n->children)
		g_hash_table_destroy(n->children);
	g_free(n);
}

struct place *place_find(const struct node *parent, const char *name)
{
	return parent->children
		? g_hash_table_lookup(parent->children, name) : NULL;
}

struct place *place_add(struct mirror *m, struct node *parent,
	const char *name, struct node *n)
{
	size_t len = strlen(name);
	struct place *p = g_malloc0(sizeof(*p) + len + 1);

	dir_outdate_listing(m, parent);
	memcpy(p->name, name, len + 1);
	p->node = n;
	p->parent = parent;
	p->next = n->names;
	n->names = p;
	if (!parent->children)
		parent->children = g_hash_table_new(g_str_hash, g_str_equal);
	g_hash_table_insert(parent->children, p->name, p);
	return p;
}

void place_remove(struct mirror *m, struct place *p)
{
	struct place **at = &p->node->names;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	g_hash_table_remove(p->parent->children, p->name);
	g_hash_table_remove(m->dirty, p);
	g_hash_table_remove(m->moved, p);
	if (p->flight)
		g_ptr_array_index(m->flight, p->flight - 1) = NULL;
	g_free(p);
}

char *node_path(const struct node *n)
{
	if (n->id == MIRROR_ROOT)
		return g_strdup("");
	return n->names ? place_path(n->names) : NULL;
}

/* From the place up to the root, written backwards. */
char *place_path(const struct place *p)
{
	size_t len = strlen(p->name);
	const struct place *up;
	char *path, *at;

	for (up = p->parent->names; up; up = up->parent->names)
		len += strlen(up->name) + 1;
	path = g_malloc(len + 1);
	at = path + len;
	*at = '\0';
	for (up = p; up; up = up->parent->names) {
		size_t n = strlen(up->name);

		at -= n;
		memcpy(at, up->name, n);
		if (at > path)
			*--at = '/';
	}
	return path;
}

char *child_path(const struct node *n, const char *name)
{
	g_autofree char *dir = node_path(n);

	return dir ? path_join(dir, name) : NULL;
}

int spot_init(struct mirror *m, struct spot *s, char *path)
{
	s->path = path;
	if (!path)
		return -ENOENT;
	if (strlen(path) > PATH_LIMIT)
		return -ENAMETOOLONG;
	return reach_path(&s->at, m->config.root_fd, path);
}

void spot_end(struct spot *s)
{
	reach_end(&s->at);
	g_free(s->path);
}

int node_refresh(struct mirror *m, struct node *n, const char *path)
{
	autoreach struct reach at = REACH_NONE;
	struct stat st;
	int r = reach_path(&at, m->config.root_fd, path);

	if (r < 0)
		return r;
	if (fstatat(at.dir, at.path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	node_set_stat(n, &st);
	return 0;
}

void node_current(struct mirror *m, struct node *n)
{
	g_autofree char *path = n->outdated ? node_path(n) : NULL;

	if (path)
		node_refresh(m, n, path);
	n->outdated = false;
}

struct place *place_at(struct mirror *m, const char *path)
{
	g_auto(GStrv) parts = g_strsplit(path, "/", -1);
	struct node *n = m->root;
	struct place *p = NULL;

	for (char **part = parts; *part; part++) {
		p = n ? place_find(n, *part) : NULL;
		if (!p)
			return NULL;
		n = p->node;
	}
	return p;
}
