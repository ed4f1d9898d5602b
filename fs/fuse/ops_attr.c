/* Attributes, link targets, the file system's own numbers. */
#include "fs/fuse/internal.h"

#include <errno.h>

void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	int r = mirror_getattr(mirror_of(req), node, &st);

	(void)fi;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, CACHE_SECONDS);
}

static const struct set_bit {
	int fuse;
	unsigned mirror;
} set_bits[] = {
	{ FUSE_SET_ATTR_MODE, MIRROR_SET_MODE },
	{ FUSE_SET_ATTR_UID, MIRROR_SET_UID },
	{ FUSE_SET_ATTR_GID, MIRROR_SET_GID },
	{ FUSE_SET_ATTR_SIZE, MIRROR_SET_SIZE },
	{ FUSE_SET_ATTR_ATIME, MIRROR_SET_ATIME },
	{ FUSE_SET_ATTR_MTIME, MIRROR_SET_MTIME },
	{ FUSE_SET_ATTR_ATIME_NOW, MIRROR_SET_ATIME_NOW },
	{ FUSE_SET_ATTR_MTIME_NOW, MIRROR_SET_MTIME_NOW },
};

static void set_again(fuse_req_t req, const struct operation *op)
{
	struct fuse_file_info fi = op->fi;
	struct stat want = op->want;

	op_setattr(req, op->node, &want, op->which, op->has_fi ? &fi : NULL);
}

void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *want, int which,
	struct fuse_file_info *fi)
{
	struct mirror_caller c = caller_of(req);
	struct mirror_file *f =
		fi ? (struct mirror_file *)(uintptr_t)fi->fh : NULL;
	unsigned bits = 0;
	struct stat st;
	int r;

	for (size_t i = 0; i < sizeof(set_bits) / sizeof(set_bits[0]); i++)
		if (which & set_bits[i].fuse)
			bits |= set_bits[i].mirror;
	r = mirror_setattr(mirror_of(req), &c, node, f, want, bits, &st);
	if (r == -EINPROGRESS) {
		struct operation op = {
			.again = set_again, .node = node, .has_fi = fi != NULL,
			.fi = fi ? *fi : (struct fuse_file_info){ 0 },
			.want = *want, .which = which,
		};

		wait_for_content(req, &op);
		return;
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, CACHE_SECONDS);
}

void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	g_autofree char *target = NULL;
	int r = mirror_readlink(mirror_of(req), node, &target);

	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_readlink(req, target);
}

void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct statvfs st;
	int r = mirror_statfs(mirror_of(req), &st);

	(void)node;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_statfs(req, &st);
}

/* Extended attributes do not travel, so there are none: ENOSYS once, and the
 * kernel answers ENOTSUP by itself from then on. */
void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name,
	size_t size)
{
	(void)node;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENOSYS);
}

void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	(void)node;
	(void)size;
	fuse_reply_err(req, ENOSYS);
}

void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name,
	const char *value, size_t size, int flags)
{
	(void)node;
	(void)name;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, ENOSYS);
}

void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	(void)node;
	(void)name;
	fuse_reply_err(req, ENOSYS);
}
