/* Directory listings. */
#include "fs/fuse/internal.h"

#include <errno.h>
#include <string.h>

/* Nothing is opened: said once, and the kernel asks no more. */
void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct adapter *a = fuse_req_userdata(req);

	(void)node;
	if (a->no_opendir) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	/* The kernel drops its copy itself when a name here changes. */
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

/* One reply's worth of entries. */
struct listing {
	fuse_req_t req;
	char *buf;
	size_t size, used;
	bool plus;
};

/* False when it does not fit. */
static bool add_entry(struct listing *l, const struct mirror_dirent *d)
{
	size_t room = l->size - l->used, need;

	if (l->plus) {
		struct fuse_entry_param e;

		fill_entry(&e, &d->attr);
		need = fuse_add_direntry_plus(
			l->req, l->buf + l->used, room, d->name, &e, d->next);
	} else {
		need = fuse_add_direntry(l->req, l->buf + l->used, room,
			d->name, &d->attr.st, d->next);
	}
	if (need > room)
		return false;
	l->used += need;
	return true;
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static void list(
	fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus)
{
	struct mirror *m = mirror_of(req);
	struct listing l = {
		.req = req,
		.buf = g_try_malloc(size),
		.size = size,
		.plus = plus,
	};
	struct mirror_dirent e;
	int r = l.buf ? 0 : -ENOMEM;

	while (r == 0) {
		r = mirror_read_dir(m, node, off, plus, &e);
		if (r < 0)
			break;
		if (!add_entry(&l, &e)) {
			if (plus && !is_dot(e.name))
				mirror_forget(m, e.attr.node, 1);
			break;
		}
		off = e.next;
	}
	/* An error counts only when nothing was found before it. */
	if (r < 0 && r != -ENOENT && l.used == 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, l.buf, l.used);
	g_free(l.buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	(void)fi;
	list(req, node, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	(void)fi;
	list(req, node, size, off, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int data_only,
	struct fuse_file_info *fi)
{
	struct adapter *a = fuse_req_userdata(req);
	int r = mirror_sync_dir(a->mirror, node);

	(void)fi;
	(void)data_only;
	if (r == 0 && a->options.flush)
		r = a->options.flush(a->options.ctx);
	reply_result(req, r);
}
