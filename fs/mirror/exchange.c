/*
 * Content from outside for a file that stays the file it is: its backing inode
 * is replaced on the disk at once, below the node and below open handles. So
 * nobody ever reads half of it, a kill leaves the old or the new file, and a
 * change of the mount's user is never overwritten: what is there is compared
 * under the lock that every write begins and ends with.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/node.h"
#include "merge/entry.h"
#include "merge/lib/beneath.h"

static bool is_as_expected(struct mirror *m, const char *path,
	const struct entry *expect)
{
	struct entry now;
	struct stat st;

	if (beneath_stat(m->config.root_fd, path, &st) < 0)
		return false;
	entry_from_stat(&now, &st);
	return now.type == ENTRY_FILE && now.ino == expect->ino &&
		now.size == expect->size && now.ctime_ns == expect->ctime_ns;
}

/* The open handles see the new file from here on; one that cannot (it was
 * opened for writing and the file may not be written) keeps the old. */
static void reopen(struct mirror *m, struct node *n, const char *path)
{
	for (struct mirror_file *f = n->files; f; f = f->next) {
		int flags = fcntl(f->fd, F_GETFL);
		int fd = beneath_open(m->config.root_fd, path,
			flags & (O_ACCMODE | O_DIRECT), 0);

		if (fd < 0)
			continue;
		dup3(fd, f->fd, O_CLOEXEC);
		close(fd);
	}
}

/* A stub in the place of bytes: nobody may have them open, or have changed
 * them. */
static bool may_become_stub(const struct place *p, int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return !content_is_stub(&st) ||
		(p->acked && !p->dirty && !p->node->files);
}

static int put_at(struct mirror *m, const char *path, int dir_fd,
	const char *name, unsigned flags)
{
	autoreach struct reach at = REACH_NONE;
	int r = reach_path(&at, m->config.root_fd, path);

	if (r < 0)
		return r;
	return renameat2(dir_fd, name, at.dir, at.path, flags) < 0 ? -errno
								   : 0;
}

int mirror_exchange(struct mirror *m, const char *path,
	const struct entry *expect, int dir_fd, const char *name)
{
	int r = -EBUSY;

	mutex_lock(&m->lock);
	struct place *p = place_at(m, path);
	struct node *n = p ? p->node : NULL;

	if (p && n->names == p && !p->next && n->nlink == 1 &&
		n->content == CONTENT_COMPLETE && !p->flight && !n->writing &&
		is_as_expected(m, path, expect) &&
		may_become_stub(p, dir_fd, name))
		r = put_at(m, path, dir_fd, name, RENAME_EXCHANGE);
	if (r == 0) {
		reopen(m, n, path);
		node_refresh(m, n, path);
		stub_take(m, n);
		n->stale = true;
	}
	mutex_unlock(&m->lock);
	return r;
}

void mirror_offer(struct mirror *m, const char *path, int dir_fd,
	const char *name)
{
	mutex_lock(&m->lock);
	m->offer = (struct offer){
		.path = path, .dir_fd = dir_fd, .name = name,
	};
	mutex_unlock(&m->lock);
}

int take_offer(struct mirror *m, const char *path, int flags)
{
	struct offer o = m->offer;
	int r;

	if (!o.path || strcmp(o.path, path))
		return -ENOENT;
	m->offer = (struct offer){ 0 };
	r = put_at(m, path, o.dir_fd, o.name, RENAME_NOREPLACE);
	return r < 0 ? r : beneath_open(m->config.root_fd, path, flags, 0);
}
