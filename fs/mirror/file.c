/* Changes of data through open files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/node.h"
#include "fs/mirror/part.h"

int mirror_file_fd(const struct mirror_file *f)
{
	return f->fd;
}

static bool needs_base(const struct node *n)
{
	for (const struct place *p = n->names; p; p = p->next)
		if (p->acked && !p->content)
			return true;
	return false;
}

int mirror_write_begin(struct mirror *m, struct mirror_file *f)
{
	mutex_lock(&m->lock);
	struct node *n = f->node;

	n->writing++;
	if (needs_base(n)) {
		keep_base(m, n);
		/* From here on the bytes are no longer the acknowledged ones,
		 * also if we die before the write is noted. */
		mark_node_dirty(m, n, true);
	}
	mutex_unlock(&m->lock);
	return 0;
}

void mirror_write_end(struct mirror *m, struct mirror_file *f)
{
	static const struct mirror_caller own;
	struct stat st;
	bool ok = fstat(f->fd, &st) == 0;

	mutex_lock(&m->lock);
	f->node->writing--;
	if (ok)
		node_set_stat(f->node, &st);
	mark_node_dirty(m, f->node, true);
	mutex_unlock(&m->lock);
	wake(m, &own);
}

int mirror_fallocate(struct mirror *m, struct mirror_file *f, int mode,
	off_t offset, off_t length)
{
	int r = mirror_write_begin(m, f);

	if (r < 0)
		return r;
	if (fallocate(f->fd, mode, offset, length) < 0)
		r = -errno;
	mirror_write_end(m, f);
	return r;
}

ssize_t mirror_copy_range(struct mirror *m, struct mirror_file *in,
	off_t in_off, struct mirror_file *out, off_t out_off, size_t len)
{
	/* The kernel reads and writes, then. */
	int r = mirror_file_is_whole(m, in) ? mirror_write_begin(m, out)
					    : -EXDEV;
	ssize_t n;

	if (r < 0)
		return r;
	n = copy_file_range(in->fd, &in_off, out->fd, &out_off, len, 0);
	if (n < 0)
		n = -errno;
	mirror_write_end(m, out);
	return n;
}

int mirror_fsync(struct mirror *m, struct mirror_file *f, bool data_only)
{
	(void)m;
	return (data_only ? fdatasync(f->fd) : fsync(f->fd)) < 0 ? -errno : 0;
}
