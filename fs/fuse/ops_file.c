/* Open files: data goes between the kernel and the mirror's descriptor. */
#include "fs/fuse/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/mirror/part.h"
#include "merge/lib/failpoint.h"

static struct mirror_file *file_of(const struct fuse_file_info *fi)
{
	return (struct mirror_file *)(uintptr_t)fi->fh;
}

static void set_file(struct fuse_file_info *fi, struct mirror_file *f)
{
	fi->fh = (uint64_t)(uintptr_t)f;
	/* A close has nothing to do: what was written is in the mirror. */
	fi->noflush = 1;
}

static void open_again(fuse_req_t req, const struct operation *op)
{
	struct fuse_file_info fi = op->fi;

	op_open(req, op->node, &fi);
}

void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct mirror *m = mirror_of(req);
	struct mirror_caller c = caller_of(req);
	struct mirror_file *f;
	bool keep = false;
	int r = mirror_open_file(m, &c, node, fi->flags, &f, &keep);

	if (r == -EINPROGRESS) {
		struct operation op = {
			.again = open_again, .node = node, .fi = *fi,
			.need_len = (fi->flags & (O_ACCMODE | O_TRUNC)) ==
				O_RDONLY,
		};

		wait_for_content(req, &op);
		return;
	}
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	set_file(fi, f);
	fi->keep_cache = keep;
	fi->direct_io = !keep && mirror_file_is_beside_old(m, f);
	if (fuse_reply_open(req, fi) < 0)
		mirror_release(m, f);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
	mode_t mode, struct fuse_file_info *fi)
{
	struct mirror *m = mirror_of(req);
	struct mirror_caller c = caller_of(req);
	struct mirror_attr attr;
	struct mirror_file *f;
	struct fuse_entry_param e;
	int r;

	if (*name == '/')	/* fs/fuse/loop.c: O_TMPFILE */
		r = mirror_tmpfile(
			m, &c, parent, fi->flags, mode, &attr, &f);
	else
		r = mirror_create(
			m, &c, parent, name, fi->flags, mode, &attr, &f);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	set_file(fi, f);
	fi->keep_cache = 1;
	fill_entry(&e, &attr);
	failpoint("reply-create");
	if (fuse_reply_create(req, &e, fi) < 0) {
		mirror_release(m, f);
		mirror_forget(m, attr.node, 1);
	}
}

static void reply_read(fuse_req_t req, int fd, size_t size, off_t off)
{
	char *data = g_try_malloc(size);
	ssize_t n = data ? pread(fd, data, size, off) : -1;

	if (n < 0)
		fuse_reply_err(req, data ? errno : ENOMEM);
	else
		fuse_reply_buf(req, data, (size_t)n);
	g_free(data);
}

static void read_again(fuse_req_t req, const struct operation *op)
{
	struct fuse_file_info fi = op->fi;

	op_read(req, op->node, op->size, op->off, &fi);
}

/* Of a large file that is not all here. */
static void read_part(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	struct mirror *m = mirror_of(req);
	struct part_read in;
	int r = mirror_read_begin(m, file_of(fi), (uint64_t)off, size, &in);
	struct operation op = {
		.again = read_again, .node = node, .fi = *fi, .off = off,
		.size = size, .need_off = (uint64_t)off, .need_len = size,
	};

	if (r == -EINPROGRESS) {
		wait_for_content(req, &op);
	} else if (r < 0) {
		fuse_reply_err(req, -r);
	} else {
		reply_read(req, in.fd, size, off);
		mirror_read_end(m, &in);
	}
}

void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	if (mirror_file_is_partial(file_of(fi)))
		read_part(req, node, size, off, fi);
	else
		reply_read(req, mirror_file_fd(file_of(fi)), size, off);
}

static ssize_t write_all(int fd, const char *data, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(
			fd, data + done, size - done, off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size,
	off_t off, struct fuse_file_info *fi)
{
	struct mirror *m = mirror_of(req);
	struct mirror_file *f = file_of(fi);
	ssize_t n;
	int r = mirror_write_begin(m, f);

	(void)node;
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	failpoint("fuse-write");
	n = write_all(mirror_file_fd(f), data, size, off);
	failpoint("fuse-written");
	mirror_write_end(m, f);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	mirror_release(mirror_of(req), file_of(fi));
	fuse_reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t node, int data_only,
	struct fuse_file_info *fi)
{
	struct adapter *a = fuse_req_userdata(req);
	int r = mirror_fsync(a->mirror, file_of(fi), data_only);

	(void)node;
	if (r == 0 && a->options.flush)
		r = a->options.flush(a->options.ctx);
	reply_result(req, r);
}

void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off,
	off_t len, struct fuse_file_info *fi)
{
	(void)node;
	reply_result(req,
		mirror_fallocate(mirror_of(req), file_of(fi), mode, off, len));
}

void op_copy_range(fuse_req_t req, fuse_ino_t in_node, off_t in_off,
	struct fuse_file_info *in, fuse_ino_t out_node, off_t out_off,
	struct fuse_file_info *out, size_t len, int flags)
{
	ssize_t n;

	(void)in_node;
	(void)out_node;
	if (flags) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	n = mirror_copy_range(mirror_of(req), file_of(in), in_off,
		file_of(out), out_off, len);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

/* Where there are holes is not known: it is all data. */
static void seek_part(fuse_req_t req, fuse_ino_t node, off_t off, int whence)
{
	struct stat st;
	int r = mirror_getattr(mirror_of(req), node, &st);

	if (r == 0 && (off < 0 || off >= st.st_size))
		r = -ENXIO;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_lseek(req, whence == SEEK_DATA ? off : st.st_size);
}

void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
	struct fuse_file_info *fi)
{
	off_t at;

	if (!mirror_file_is_whole(mirror_of(req), file_of(fi))) {
		seek_part(req, node, off, whence);
		return;
	}
	at = lseek(mirror_file_fd(file_of(fi)), off, whence);
	if (at < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, at);
}
