#include "fs/mirror/evict.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want_internal.h"
#include "merge/lib/failpoint.h"
#include "merge/plan.h"

enum { AT_ONCE = 256 };

struct victim {
	struct node *node;	/* pinned */
	int fd;
};

static uint64_t bytes_of(const struct node *n)
{
	return S_ISREG(n->mode) && n->content == CONTENT_COMPLETE && n->names
		? n->blocks * 512 : 0;
}

/* Whether the sandbox has all of it, and nobody here is using it. */
static bool is_idle(const struct mirror *m, const struct node *n)
{
	uint32_t names = 0;

	for (const struct place *p = n->names; p; p = p->next, names++)
		if (!p->acked || p->dirty || p->content || p->flight ||
			g_hash_table_contains(m->moved, p))
			return false;
	return names == n->nlink && !n->files && !n->pins && !n->writing &&
		n->size > 0;
}

/* Whether the rows say that the sandbox has these very bytes. */
static bool is_confirmed(const struct mirror *m, const struct node *n)
{
	struct state *state = m->config.state;
	struct entry own = { 0 }, remote = { 0 };
	g_autofree char *path = state_find_inode(state, n->ino, &own);
	bool same;

	if (!path || !state_find(state, STATE_ACK_REMOTE, path, &remote))
		return false;
	same = remote.type == ENTRY_FILE &&
		own.size == (int64_t)n->size && own.mtime_ns == n->mtime_ns &&
		remote.size == own.size && remote.mtime_ns == own.mtime_ns;
	plan_entry_clear(&remote);
	return same;
}

static gint by_use(gconstpointer a, gconstpointer b)
{
	const struct node *x = *(struct node *const *)a;
	const struct node *y = *(struct node *const *)b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

/* What may go, the least recently opened first; *BYTES of all complete files. */
static GPtrArray *find_candidates(struct mirror *m, uint64_t limit,
	uint64_t *bytes)
{
	GPtrArray *found = g_ptr_array_new();
	GHashTableIter it;
	gpointer value;

	*bytes = 0;
	g_hash_table_iter_init(&it, m->nodes);
	while (g_hash_table_iter_next(&it, NULL, &value))
		*bytes += bytes_of(value);
	if (*bytes <= limit)
		return found;
	g_hash_table_iter_init(&it, m->nodes);
	while (g_hash_table_iter_next(&it, NULL, &value))
		if (bytes_of(value) && is_idle(m, value))
			g_ptr_array_add(found, value);
	g_ptr_array_sort(found, by_use);
	return found;
}

/* Marks N as a stub; its descriptor. Its bytes are all there still. */
static int mark(struct mirror *m, struct node *n)
{
	autospot struct spot spot = SPOT_NONE;
	int fd, r = spot_init(m, &spot, node_path(n));

	if (r < 0)
		return r;
	if (fchmodat(spot.at.dir, spot.at.path, (n->mode & 07777) | S_ISVTX,
		    0) < 0)
		return -errno;
	fd = content_open_stub(m->config.root_fd, spot.path);
	/* Marked it is a stub, whatever is in it. */
	n->content = fd < 0 ? CONTENT_STUB : CONTENT_FILLING;
	n->pins += fd >= 0;
	stub_take(m, n);
	return fd;
}

static guint choose(struct mirror *m, uint64_t limit, struct victim *victims)
{
	uint64_t bytes, goal = limit - limit / 10;
	guint count = 0;

	mutex_lock(&m->lock);
	g_autoptr(GPtrArray) all = find_candidates(m, limit, &bytes);

	if (bytes + parts_idle(m, false) > limit)
		parts_idle(m, true);

	for (guint i = 0; i < all->len && count < AT_ONCE && bytes > goal;
		i++) {
		struct node *n = g_ptr_array_index(all, i);
		uint64_t own = bytes_of(n);
		int fd = is_confirmed(m, n) ? mark(m, n) : -ENOENT;

		if (fd < 0)
			continue;
		victims[count++] = (struct victim){ .node = n, .fd = fd };
		bytes -= MIN(bytes, own);
	}
	mutex_unlock(&m->lock);
	return count;
}

/* R < 0: it stays what it was. */
static void finish(struct mirror *m, struct victim *v, int r)
{
	struct node *n = v->node;
	struct stat st;

	if (r == 0)
		r = content_reset_stub(v->fd, (int64_t)n->size, n->mtime_ns);
	else if (content_clear_mark(v->fd) < 0)
		r = 0;	/* a stub, then: its row says of what */
	mutex_lock(&m->lock);
	n->pins--;
	n->content = CONTENT_STUB;
	if (r < 0 && fstat(v->fd, &st) == 0 && !content_is_stub(&st))
		stub_end(m, n);
	if (fstat(v->fd, &st) == 0)
		node_set_stat(n, &st);
	n->stale = true;
	wants_again(m, n);
	node_release(m, n);
	mutex_unlock(&m->lock);
	close(v->fd);
}

int mirror_evict(struct mirror *m, uint64_t limit_bytes)
{
	g_autofree struct victim *victims = g_new0(struct victim, AT_ONCE);
	guint count = choose(m, limit_bytes, victims);
	int r = 0;

	if (count && syncfs(m->config.root_fd) < 0)
		r = -errno;
	failpoint("evict-marked");
	for (guint i = 0; i < count; i++) {
		finish(m, &victims[i], r);
		failpoint("evicted");
	}
	return r < 0 ? r : (int)count;
}
