/*
 * Filling stubs. The order is what makes a kill or a power cut harmless:
 *
 *	write	below the mark; on disk it is a stub, whatever is in it
 *	sync	all bytes of all files of the call
 *	record	the row: digest, and size and mtime if they are new
 *	clear	the mark
 *	record	the row's ctime, so that nobody reads the file to compare
 *
 * Killed before the last step, the file is found different from its row by
 * ctime and then equal by digest.
 */
#include "fs/mirror/want.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want_internal.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"

enum { SYNC_EACH = 8 };	/* more files: the whole file system at once */

struct target {
	struct fill *f;
	bool stale;		/* the row is another by now */
	int fd;			/* of the stub; -1: left alone */
	struct entry row;	/* as it is now, as far as we know */
};

static bool is_newer(const struct fill *f)
{
	return f->remote->size != f->row_remote->size ||
		f->remote->mtime_ns != f->row_remote->mtime_ns;
}

/* Takes the stub for writing. */
static int begin(struct mirror *m, struct target *t)
{
	int fd = -ENODATA;

	mutex_lock(&m->lock);
	struct node *n = node_find(m, t->f->node);
	g_autofree char *path = n ? node_path(n) : NULL;

	if (n && n->content == CONTENT_FETCHING && path) {
		fd = content_open_stub(m->config.root_fd, path);
		if (fd >= 0)
			n->content = CONTENT_FILLING;
	}
	mutex_unlock(&m->lock);
	t->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static int write_bytes(const struct target *t)
{
	const struct entry *e = t->f->remote;
	int r = content_reset_stub(t->fd, e->size, e->mtime_ns);
	uint64_t size = 0;

	if (r == 0 && lseek(t->f->staged_fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		r = io_copy_file(t->f->staged_fd, t->fd, NULL, &size);
	if (r == 0 && size != (uint64_t)e->size)
		r = -EIO;
	/* As the sandbox has it, to the nanosecond. */
	return r < 0 ? r : content_set_mtime(t->fd, e->mtime_ns);
}

static int sync_all(struct mirror *m, struct target *targets, size_t n)
{
	if (n > SYNC_EACH)
		return syncfs(m->config.root_fd) < 0 ? -errno : 0;
	for (size_t i = 0; i < n; i++)
		if (targets[i].fd >= 0 && fdatasync(targets[i].fd) < 0)
			return -errno;
	return 0;
}

/* The rows before the mark is cleared. */
static int record_bytes(struct mirror *m, struct target *targets, size_t n)
{
	g_autoptr(GArray) all = g_array_new(
		FALSE, FALSE, sizeof(struct state_change));
	g_autoptr(GPtrArray) of = g_ptr_array_new();
	int r;

	for (size_t i = 0; i < n; i++) {
		struct target *t = &targets[i];
		struct state_change c = {
			.table = STATE_ACK_MIRROR,
			.was = t->row, .now = t->row,
		};
		struct state_change remote = {
			.table = STATE_ACK_REMOTE,
			.was = *t->f->row_remote, .now = *t->f->remote,
		};

		if (t->fd < 0)
			continue;
		c.now.size = t->f->remote->size;
		c.now.mtime_ns = t->f->remote->mtime_ns;
		c.now.digest = t->f->remote->digest;
		c.now.flags = ENTRY_HASHED;
		g_array_append_val(all, c);
		g_ptr_array_add(of, t);
		t->row = c.now;
		if (!is_newer(t->f))
			continue;
		/* The mode is a refresh's affair. */
		remote.now.path = t->f->row_remote->path;
		remote.now.mode = t->f->row_remote->mode;
		g_array_append_val(all, remote);
		g_ptr_array_add(of, t);
	}
	r = state_replace(m->config.state,
		(struct state_change *)(void *)all->data, all->len, NULL);
	/* A refresh or a move changed the row under us: these may be bytes that
	 * nobody stands for any more. */
	for (guint i = 0; r == 0 && i < all->len; i++)
		if (!g_array_index(all, struct state_change, i).done)
			((struct target *)g_ptr_array_index(of, i))->stale =
				true;
	return r;
}

static void record_ctimes(struct mirror *m, struct target *targets, size_t n)
{
	g_autoptr(GArray) all = g_array_new(
		FALSE, FALSE, sizeof(struct state_change));

	for (size_t i = 0; i < n; i++) {
		struct target *t = &targets[i];
		struct state_change c = {
			.table = STATE_ACK_MIRROR,
			.was = t->row, .now = t->row,
		};
		struct stat st;

		if (t->fd < 0 || t->stale || fstat(t->fd, &st) < 0)
			continue;
		c.now.ctime_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 +
			st.st_ctim.tv_nsec;
		g_array_append_val(all, c);
	}
	state_replace(m->config.state,
		(struct state_change *)(void *)all->data, all->len, NULL);
}

/* The end of one, well (R 0) or not. */
static void finish(struct mirror *m, struct target *t, int r)
{
	struct stat st;

	mutex_lock(&m->lock);
	struct node *n = node_find(m, t->f->node);

	if (t->fd >= 0) {
		if (r == 0)
			r = content_clear_mark(t->fd);
		n->content = CONTENT_FETCHING;
		if (r < 0)
			content_reset_stub(
				t->fd, (int64_t)n->size, n->mtime_ns);
		if (r == 0 && fstat(t->fd, &st) == 0) {
			g_hash_table_remove(m->stubs, &n->ino);
			n->content = CONTENT_COMPLETE;
			part_forget(m, n, is_newer(t->f));
			node_set_stat(n, &st);
		}
	}
	if (r == 0 && is_newer(t->f))
		r = -ESTALE;
	t->f->result = r;
	if (n) {
		if (n->content == CONTENT_FETCHING)
			n->content = CONTENT_STUB;
		n->pins--;
		if (r == -EAGAIN)
			wants_again(m, n);
		else
			wants_end(m, n, n->content == CONTENT_COMPLETE &&
						r != -ESTALE ? 0 : r);
		node_release(m, n);
	}
	mutex_unlock(&m->lock);
}

void mirror_fill(struct mirror *m, struct fill *fills, size_t n)
{
	g_autofree struct target *targets = g_new0(struct target, n + 1);
	g_autofree int *result = g_new0(int, n + 1);
	int all;

	for (size_t i = 0; i < n; i++) {
		struct target *t = &targets[i];

		t->f = &fills[i];
		t->row = *fills[i].row_mirror;
		result[i] = begin(m, t);
		if (result[i] == 0)
			result[i] = write_bytes(t);
	}
	all = sync_all(m, targets, n);
	if (all == 0)
		all = record_bytes(m, targets, n);
	if (all < 0)
		log_write(LOG_ERROR, "fetched files cannot be kept: %s",
			g_strerror(-all));
	for (size_t i = 0; i < n; i++)
		finish(m, &targets[i], result[i] < 0 ? result[i] :
				targets[i].stale ? -EAGAIN : all);
	if (all == 0)
		record_ctimes(m, targets, n);
	for (size_t i = 0; i < n; i++)
		if (targets[i].fd >= 0)
			close(targets[i].fd);
}

void mirror_fill_failed(struct mirror *m, uint64_t node, int r)
{
	mutex_lock(&m->lock);
	struct node *n = node_find(m, node);

	if (n) {
		if (n->content == CONTENT_FETCHING)
			n->content = CONTENT_STUB;
		n->pins--;
		if (r == -EAGAIN)
			wants_again(m, n);
		else
			wants_end(m, n,
				n->content == CONTENT_COMPLETE ? 0 : r);
		node_release(m, n);
	}
	mutex_unlock(&m->lock);
}
