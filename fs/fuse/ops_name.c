/* Names: finding, making and removing them. */
#include "fs/fuse/internal.h"

#include <errno.h>

#include "merge/lib/failpoint.h"

struct mirror_caller caller_of(fuse_req_t req)
{
	const struct adapter *a = fuse_req_userdata(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct mirror_caller){
		.uid = ctx->uid,
		.gid = ctx->gid,
		.umask = ctx->umask,
		.quiet = a->options.is_quiet &&
			a->options.is_quiet(a->options.ctx, (int)ctx->pid),
	};
}

void fill_entry(struct fuse_entry_param *e, const struct mirror_attr *attr)
{
	*e = (struct fuse_entry_param){
		.ino = attr->node,
		.generation = attr->generation,
		.attr = attr->st,
		.attr_timeout = CACHE_SECONDS,
		.entry_timeout = CACHE_SECONDS,
	};
}

void reply_entry(fuse_req_t req, int r, const struct mirror_attr *attr)
{
	struct mirror *m = mirror_of(req);
	struct fuse_entry_param e;

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	fill_entry(&e, attr);
	failpoint("reply-entry");
	if (fuse_reply_entry(req, &e) < 0)
		mirror_forget(m, attr->node, 1);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mirror_attr attr;
	int r = mirror_lookup(mirror_of(req), parent, name, &attr);

	if (r == -ENOENT) {
		/* Node 0 is the kernel's way to remember that there is none. */
		struct fuse_entry_param none = {
			.entry_timeout = CACHE_SECONDS,
		};

		fuse_reply_entry(req, &none);
		return;
	}
	reply_entry(req, r, &attr);
}

void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	mirror_forget(mirror_of(req), node, count);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
	struct fuse_forget_data *list)
{
	struct mirror *m = mirror_of(req);

	for (size_t i = 0; i < count; i++)
		mirror_forget(m, list[i].ino, list[i].nlookup);
	fuse_reply_none(req);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	dev_t rdev)
{
	struct mirror_caller c = caller_of(req);
	struct mirror_attr attr;

	reply_entry(req,
		mirror_mknod(mirror_of(req), &c, parent, name, mode, rdev,
			&attr),
		&attr);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mirror_caller c = caller_of(req);
	struct mirror_attr attr;

	reply_entry(req,
		mirror_mkdir(mirror_of(req), &c, parent, name, mode, &attr),
		&attr);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
	const char *name)
{
	struct mirror_caller c = caller_of(req);
	struct mirror_attr attr;

	reply_entry(req,
		mirror_symlink(mirror_of(req), &c, parent, name, target,
			&attr),
		&attr);
}

void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent,
	const char *name)
{
	struct mirror_caller c = caller_of(req);
	struct mirror_attr attr;

	reply_entry(req,
		mirror_link(mirror_of(req), &c, node, parent, name, &attr),
		&attr);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mirror_caller c = caller_of(req);

	reply_result(req, mirror_unlink(mirror_of(req), &c, parent, name));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mirror_caller c = caller_of(req);

	reply_result(req, mirror_rmdir(mirror_of(req), &c, parent, name));
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	struct mirror_caller c = caller_of(req);

	reply_result(req,
		mirror_rename(mirror_of(req), &c, parent, name, new_parent,
			new_name, flags));
}
