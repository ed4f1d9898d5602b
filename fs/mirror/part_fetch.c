/* Parts of stubs: the ranges that come. */
#include "fs/mirror/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want_internal.h"
#include "merge/entry.h"
#include "merge/lib/io.h"

/* The stub that P belongs to; NULL: it needs no bytes any more. */
static struct node *stub_of(struct mirror *m, const struct part *p)
{
	struct node *n = node_find(m, p->node);

	return n && !p->over && n->content != CONTENT_COMPLETE &&
			part_find(m, n) == p ? n : NULL;
}

static int make_file(struct mirror *m, struct part *p)
{
	g_autofree char *word = io_random_hex(8);
	g_autofree char *name = g_strdup_printf("%ju.%s",
		(uintmax_t)p->stub_ino, word);
	int fd = openat(m->parts->dir_fd, name,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)p->size) < 0) {
		int r = -errno;

		unlinkat(m->parts->dir_fd, name, 0);
		close(fd);
		return r;
	}
	p->fd = fd;
	p->name = g_steal_pointer(&name);
	return 0;
}

int mirror_part_fd(struct mirror *m, struct part *p,
	const struct entry *row_remote)
{
	int r = -ECANCELED;

	mutex_lock(&m->lock);
	if (stub_of(m, p)) {
		r = p->size == (uint64_t)row_remote->size &&
				p->mtime_ns == row_remote->mtime_ns
			? 0 : -EAGAIN;
		if (r == 0 && p->fd < 0)
			r = make_file(m, p);
		if (r == 0)
			r = p->fd;
	}
	mutex_unlock(&m->lock);
	return r;
}

static void set_chunks(struct part *p, uint64_t off, uint64_t len,
	enum chunk state)
{
	size_t at = off / PART_CHUNK;
	size_t end = (off + len + PART_CHUNK - 1) / PART_CHUNK;

	for (; at < MIN(end, p->chunks); at++) {
		p->here -= p->state[at] == CHUNK_HERE;
		p->state[at] = (uint8_t)state;
		p->here += state == CHUNK_HERE;
	}
}

static void forget_here(struct part *p)
{
	for (size_t i = 0; i < p->chunks; i++)
		if (p->state[i] == CHUNK_HERE)
			p->state[i] = CHUNK_MISSING;
	p->here = 0;
}

int mirror_part_arrived(struct mirror *m, struct part *p, uint64_t off,
	uint64_t len, const struct entry *seen)
{
	int r = 0;

	mutex_lock(&m->lock);
	struct node *n = stub_of(m, p);

	if (!n) {
		set_chunks(p, off, len, CHUNK_MISSING);
	} else if (p->remote_ino && p->remote_ino != seen->ino) {
		part_forget(m, n, true);
		n->stale = true;
		wants_range(m, n, NULL, -ESTALE);
	} else if (p->remote_ino && seen->ctime_ns < p->remote_ctime_ns) {
		/* An answer that another one has overtaken. */
		set_chunks(p, off, len, CHUNK_MISSING);
		wants_range(m, n, p, 0);
	} else {
		if (seen->ctime_ns != p->remote_ctime_ns)
			forget_here(p);
		p->remote_ino = seen->ino;
		p->remote_ctime_ns = seen->ctime_ns;
		set_chunks(p, off, len, CHUNK_HERE);
		wants_range(m, n, p, 0);
		r = p->here == p->chunks;
	}
	mutex_unlock(&m->lock);
	return r;
}

void mirror_part_failed(struct mirror *m, struct part *p, uint64_t off,
	uint64_t len, int r)
{
	mutex_lock(&m->lock);
	struct node *n = stub_of(m, p);

	set_chunks(p, off, len, CHUNK_MISSING);
	if (n)
		wants_range(m, n, p, r);
	mutex_unlock(&m->lock);
}

/* Both rows as SEEN has it; false: they are others by now. */
static bool store_version(struct mirror *m, const struct entry *row_mirror,
	const struct entry *row_remote, const struct entry *seen)
{
	struct state_change c[2] = {
		{ .table = STATE_ACK_MIRROR, .was = *row_mirror,
			.now = *row_mirror },
		{ .table = STATE_ACK_REMOTE, .was = *row_remote, .now = *seen },
	};

	c[0].now.size = seen->size;
	c[0].now.mtime_ns = seen->mtime_ns;
	c[0].now.flags = 0;
	/* The mode is a refresh's affair. */
	c[1].now.path = row_remote->path;
	c[1].now.mode = row_remote->mode;
	c[1].now.flags = 0;
	return state_replace(m->config.state, c, 2, NULL) == 0 && c[0].done &&
		c[1].done;
}

static void turn(struct mirror *m, struct node *n, const struct entry *seen)
{
	g_autofree char *path = node_path(n);
	struct stat st;
	autofd int fd = path ? content_open_stub(m->config.root_fd, path)
			     : -ENOENT;

	if (fd >= 0 && content_reset_stub(fd, seen->size, seen->mtime_ns) == 0 &&
		fstat(fd, &st) == 0)
		node_set_stat(n, &st);
}

void mirror_part_changed(struct mirror *m, struct part *p,
	const struct entry *row_mirror, const struct entry *row_remote,
	const struct entry *seen)
{
	bool stored = store_version(m, row_mirror, row_remote, seen);

	mutex_lock(&m->lock);
	struct node *n = stub_of(m, p);

	/* Who fetches it whole finds the rows changed and begins again. */
	if (n && stored && n->content != CONTENT_FILLING)
		turn(m, n, seen);
	if (n) {
		part_forget(m, n, true);
		n->stale = true;
		wants_range(m, n, NULL, -ESTALE);
	}
	mutex_unlock(&m->lock);
}

bool mirror_part_claim(struct mirror *m, struct part *p, uint64_t *node,
	int *fd)
{
	bool mine;

	mutex_lock(&m->lock);
	struct node *n = stub_of(m, p);

	mine = n && n->content == CONTENT_STUB && p->here == p->chunks &&
		n->names;
	if (mine) {
		n->content = CONTENT_FETCHING;
		n->pins++;
		*node = n->id;
		*fd = p->fd;
	}
	mutex_unlock(&m->lock);
	return mine;
}

void mirror_part_reset(struct mirror *m, struct part *p)
{
	mutex_lock(&m->lock);
	struct node *n = stub_of(m, p);

	if (n) {
		part_forget(m, n, true);
		n->stale = true;
		wants_range(m, n, NULL, -ESTALE);
	}
	mutex_unlock(&m->lock);
}

void mirror_part_put(struct mirror *m, struct part *p)
{
	mutex_lock(&m->lock);
	part_unref(p);
	mutex_unlock(&m->lock);
}
