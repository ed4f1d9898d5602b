/* What the sandbox does not have. */
#include "fs/mirror/node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

char *acked_path(const struct mirror *m, const struct place *p)
{
	const char *moved = g_hash_table_lookup(m->moved, p);
	g_autofree char *dir = NULL;

	if (!p->acked)
		return NULL;
	if (moved)
		return g_strdup(moved);
	if (p->parent == m->root)
		return g_strdup(p->name);
	dir = acked_path(m, p->parent->names);
	return dir ? path_join(dir, p->name) : NULL;
}

void mark_dirty(struct mirror *m, struct place *p, bool content)
{
	m->seq++;
	p->content |= content;
	if (p->dirty)
		return;
	p->dirty = true;
	p->seq = m->seq;
	p->since_ns = io_now_ns();
	g_hash_table_add(m->dirty, p);
}

void mark_node_dirty(struct mirror *m, struct node *n, bool content)
{
	for (struct place *p = n->names; p; p = p->next)
		mark_dirty(m, p, content);
}

void mark_clean(struct mirror *m, struct place *p)
{
	p->dirty = false;
	p->content = false;
	g_hash_table_remove(m->dirty, p);
	g_hash_table_remove(m->moved, p);
}

void note_gone_path(struct mirror *m, const char *path, uint64_t seq,
	int64_t since_ns)
{
	struct gone *g = g_hash_table_lookup(m->gone, path);

	if (g)
		return;
	g = g_new(struct gone, 1);
	*g = (struct gone){ .seq = seq, .since_ns = since_ns };
	g_hash_table_insert(m->gone, g_strdup(path), g);
}

void note_gone(struct mirror *m, const struct place *p)
{
	g_autofree char *path = acked_path(m, p);

	m->seq++;
	if (path)
		note_gone_path(m, path, m->seq, io_now_ns());
}

static bool has_clean_acked_place(const struct node *n)
{
	for (const struct place *p = n->names; p; p = p->next)
		if (p->acked && !p->content)
			return true;
	return false;
}

void keep_base(struct mirror *m, struct node *n)
{
	g_autofree char *path = NULL;
	struct digest d;
	autofd int fd = -1;
	int r;

	/* Of a stub there is nothing to keep. */
	if (!S_ISREG(n->mode) || n->content != CONTENT_COMPLETE ||
		!has_clean_acked_place(n))
		return;
	path = node_path(n);
	fd = beneath_open(m->config.root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	r = fd < 0 ? fd : base_store_keep(m->config.base, fd, &d);
	if (r < 0 && r != -EACCES && !m->warned) {
		m->warned = true;
		log_write(LOG_WARNING,
			"earlier bytes of changed files cannot be kept (%s): "
			"texts changed on both sides will become conflict "
			"copies instead of being merged", g_strerror(-r));
	}
}

void wake(struct mirror *m, const struct mirror_caller *c)
{
	if (!c->quiet && m->config.callbacks.dirty)
		m->config.callbacks.dirty(m->config.callbacks.ctx);
}

uint64_t mirror_sequence(struct mirror *m)
{
	mutex_lock(&m->lock);
	uint64_t seq = m->seq;
	mutex_unlock(&m->lock);
	return seq;
}

bool mirror_is_clean(struct mirror *m, uint64_t seq)
{
	GHashTableIter it;
	gpointer key, value;
	bool clean = true;

	mutex_lock(&m->lock);
	g_hash_table_iter_init(&it, m->dirty);
	while (clean && g_hash_table_iter_next(&it, &key, NULL))
		clean = ((struct place *)key)->seq > seq;
	g_hash_table_iter_init(&it, m->gone);
	while (clean && g_hash_table_iter_next(&it, NULL, &value))
		clean = ((struct gone *)value)->seq > seq;
	for (guint i = 0; clean && m->collected &&
		i < m->collected->list->len; i++) {
		const struct mirror_change *c =
			g_ptr_array_index(m->collected->list, i);

		clean = c->seq > seq;
	}
	mutex_unlock(&m->lock);
	return clean;
}

static void add_pending(struct mirror_pending *out, uint64_t bytes,
	int64_t since_ns)
{
	out->files++;
	out->bytes += bytes;
	if (since_ns && (!out->oldest_ns || since_ns < out->oldest_ns))
		out->oldest_ns = since_ns;
}

void mirror_pending(struct mirror *m, struct mirror_pending *out)
{
	GHashTableIter it;
	gpointer key, value;

	*out = (struct mirror_pending){ 0 };
	mutex_lock(&m->lock);
	g_hash_table_iter_init(&it, m->dirty);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		const struct place *p = key;

		if (S_ISREG(p->node->mode) || S_ISDIR(p->node->mode) ||
			S_ISLNK(p->node->mode))
			add_pending(out,
				S_ISREG(p->node->mode) && p->content
					? p->node->size : 0, p->since_ns);
	}
	g_hash_table_iter_init(&it, m->gone);
	while (g_hash_table_iter_next(&it, NULL, &value))
		add_pending(out, 0, ((struct gone *)value)->since_ns);
	for (guint i = 0; m->collected && i < m->collected->list->len; i++) {
		const struct mirror_change *c =
			g_ptr_array_index(m->collected->list, i);

		if (!c->special)
			add_pending(out, c->content && c->path
					? (uint64_t)c->now.size : 0, 0);
	}
	mutex_unlock(&m->lock);
}

/* With the lock held. What is there becomes acknowledged (or is gone in the
 * sandbox, when HAS_ROW says that it has none), and dirty or not. */
static void mark_locked(struct mirror *m, const char *path, bool dirty,
	bool has_row)
{
	struct place *p = place_at(m, path);

	g_hash_table_remove(m->gone, path);
	if (p) {
		g_hash_table_remove(m->moved, p);
		if (dirty) {
			p->acked = has_row;
			mark_dirty(m, p, true);
		} else {
			p->acked = true;
			mark_clean(m, p);
		}
	} else if (dirty && has_row) {
		m->seq++;
		note_gone_path(m, path, m->seq, io_now_ns());
	}
}

static bool has_row_at(struct mirror *m, const char *path)
{
	struct entry row = { 0 };
	bool has = state_find(m->config.state, STATE_ACK_REMOTE, path, &row);

	plan_entry_clear(&row);
	return has;
}

void mirror_mark(struct mirror *m, const char *path, bool dirty)
{
	bool has_row = has_row_at(m, path);

	mutex_lock(&m->lock);
	mark_locked(m, path, dirty, has_row);
	mutex_unlock(&m->lock);
	if (dirty && m->config.callbacks.dirty)
		m->config.callbacks.dirty(m->config.callbacks.ctx);
}

void mirror_mark_same(struct mirror *m, const char *path,
	const struct entry *seen)
{
	autoreach struct reach at = REACH_NONE;
	struct entry now;
	struct stat st;
	bool same;

	/* Who writes marks it dirty when he has written: after this lock, or
	 * before it, and then the ctime tells. */
	mutex_lock(&m->lock);
	same = reach_path(&at, m->config.root_fd, path) == 0 &&
		fstatat(at.dir, at.path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (same) {
		entry_from_stat(&now, &st);
		same = now.ino == seen->ino && now.ctime_ns == seen->ctime_ns &&
			now.size == seen->size;
	}
	mark_locked(m, path, !same, true);
	mutex_unlock(&m->lock);
	if (!same && m->config.callbacks.dirty)
		m->config.callbacks.dirty(m->config.callbacks.ctx);
}
