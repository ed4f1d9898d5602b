#ifndef FS_FUSE_INTERNAL_H
#define FS_FUSE_INTERNAL_H
/*
 * What the operations share. Not for other folders.
 *
 * Lifetimes: names and attributes are cached by the kernel for CACHE_SECONDS;
 * everything that changes them goes through this mount, the session's own
 * refresh included, so the kernel sees each change as it is made.
 */
#include <fuse_lowlevel.h>

#include "fs/fuse/adapter.h"
#include "fs/mirror/mirror.h"
#include "merge/lib/failpoint.h"

enum { CACHE_SECONDS = 300 };

struct adapter {
	struct mirror *mirror;
	struct adapter_options options;	/* strings borrowed from the caller */
	struct fuse_session *session;
	char *mountpoint;		/* owned */
	bool mounted;
	bool no_opendir;	/* set before the first request */
};

extern const struct fuse_lowlevel_ops adapter_ops;

static inline struct mirror *mirror_of(fuse_req_t req)
{
	return ((struct adapter *)fuse_req_userdata(req))->mirror;
}

/* On whose behalf REQ is. */
struct mirror_caller caller_of(fuse_req_t req);

/* Replies with a new reference to an entry, or with the error R; when the
 * reply cannot be delivered the reference is given back. */
void reply_entry(fuse_req_t req, int r, const struct mirror_attr *attr);
void fill_entry(struct fuse_entry_param *e, const struct mirror_attr *attr);

static inline void reply_result(fuse_req_t req, int r)
{
	failpoint("reply");
	fuse_reply_err(req, r < 0 ? -r : 0);
}

/* An operation that has to be done again when the bytes of NODE are there. */
struct operation {
	void (*again)(fuse_req_t req, const struct operation *op);
	fuse_ino_t node;
	struct fuse_file_info fi;
	bool has_fi;
	struct stat want;	/* setattr */
	int which;
	off_t off;		/* read */
	size_t size;
	/* Which bytes are needed, where a stub is read by ranges; len 0:
	 * all. */
	uint64_t need_off, need_len;
};
/* Waits for the bytes of a stub, holding no thread, then AGAIN; replies the
 * error when they cannot be had. */
void wait_for_content(fuse_req_t req, const struct operation *op);

/* --- fs/fuse/ops_name.c ----------------------------------------------- */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count,
	struct fuse_forget_data *list);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
	mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
	const char *name);
void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent,
	const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	fuse_ino_t new_parent, const char *new_name, unsigned flags);

/* --- fs/fuse/ops_attr.c ----------------------------------------------- */
void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *want, int which,
	struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t node);
void op_statfs(fuse_req_t req, fuse_ino_t node);
void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name,
	size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name,
	const char *value, size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);

/* --- fs/fuse/ops_file.c ----------------------------------------------- */
void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
	mode_t mode, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size,
	off_t off, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t node, int data_only,
	struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off,
	off_t len, struct fuse_file_info *fi);
void op_copy_range(fuse_req_t req, fuse_ino_t in_node, off_t in_off,
	struct fuse_file_info *in, fuse_ino_t out_node, off_t out_off,
	struct fuse_file_info *out, size_t len, int flags);
void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
	struct fuse_file_info *fi);

/* --- fs/fuse/ops_dir.c ------------------------------------------------ */
void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int data_only,
	struct fuse_file_info *fi);

#endif
