/* An archive into a staging directory of ours. */
#include "transport/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/manifest.h"

struct extract {
	int dir_fd;
	struct manifest *got;
	struct hasher *hasher;
	GHashTable *digests;	/* path -> struct entry of files so far */
	/* The file being written. */
	int fd;
	struct entry e;
	char *path;
	int64_t end;		/* bytes hashed so far, holes included */
};

static void forget_file(struct extract *x)
{
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
	g_clear_pointer(&x->path, g_free);
}

/* Makes room: an earlier member of the name goes, directories stay. */
static int clear_name(struct extract *x, const char *path)
{
	g_autofree char *parent = path_parent(path);
	int r = *parent ? beneath_mkdir_all(x->dir_fd, parent, 0700) : 0;

	if (r == 0) {
		r = beneath_unlink(x->dir_fd, path, 0);
		if (r == -ENOENT || r == -EISDIR || r == -EPERM)
			r = 0;
	}
	return r;
}

static int make_dir(struct extract *x, const struct entry *e)
{
	int r = beneath_mkdir_all(x->dir_fd, e->path, 0700);

	if (r == 0)
		manifest_add(x->got, e);
	return r;
}

static int make_link(struct extract *x, const struct entry *e)
{
	int r = clear_name(x, e->path);

	if (r == 0)
		r = beneath_symlink(x->dir_fd, e->path, e->target);
	if (r == 0)
		manifest_add(x->got, e);
	return r;
}

static int make_hard_link(struct extract *x, const struct entry *e,
	const char *to)
{
	struct entry *first = g_hash_table_lookup(x->digests, to);
	struct entry own = *e;
	int r = first ? clear_name(x, e->path) : -ENOENT;

	if (r == 0)
		r = beneath_link(x->dir_fd, to, x->dir_fd, e->path);
	if (r < 0)
		return r;
	own.digest = first->digest;
	own.flags = ENTRY_HASHED;
	own.size = first->size;
	manifest_add(x->got, &own);
	return 0;
}

static int on_entry(void *ctx, const struct entry *e, const char *link_to)
{
	struct extract *x = ctx;
	int r;

	forget_file(x);
	if (link_to)
		return make_hard_link(x, e, link_to);
	switch ((enum entry_type)e->type) {
	case ENTRY_DIR:
		return make_dir(x, e);
	case ENTRY_LINK:
		return make_link(x, e);
	case ENTRY_SPECIAL:
		manifest_add(x->got, e);	/* listed, never made */
		return 0;
	case ENTRY_ABSENT:
		return 0;
	case ENTRY_FILE:
		break;
	}
	r = clear_name(x, e->path);
	if (r == 0)
		r = beneath_open(x->dir_fd, e->path,
			O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (r < 0)
		return r;
	x->fd = r;
	x->e = *e;
	x->path = g_strdup(e->path);
	x->end = 0;
	return 0;
}

static void hash_zeros(struct extract *x, int64_t len)
{
	static const char zeros[65536];

	while (len > 0) {
		size_t n = (size_t)MIN(len, (int64_t)sizeof(zeros));

		hasher_update(x->hasher, zeros, n);
		len -= (int64_t)n;
	}
}

static int on_data(void *ctx, const void *buf, size_t len, int64_t offset)
{
	struct extract *x = ctx;

	if (x->fd < 0 || offset < x->end)
		return -EINVAL;
	if (offset > x->end) {
		hash_zeros(x, offset - x->end);
		if (lseek(x->fd, offset, SEEK_SET) < 0)
			return -errno;
	}
	hasher_update(x->hasher, buf, len);
	x->end = offset + (int64_t)len;
	return io_write_full(x->fd, buf, len);
}

static int on_end(void *ctx)
{
	struct extract *x = ctx;
	struct entry *kept;

	if (x->fd < 0)
		return 0;
	if (x->end < x->e.size) {
		hash_zeros(x, x->e.size - x->end);
		if (ftruncate(x->fd, x->e.size) < 0)
			return -errno;
	}
	hasher_final(x->hasher, &x->e.digest);
	x->e.flags = ENTRY_HASHED;
	x->e.path = x->path;
	manifest_add(x->got, &x->e);
	kept = g_memdup2(&x->e, sizeof(x->e));
	kept->path = NULL;
	g_hash_table_replace(x->digests, g_strdup(x->path), kept);
	forget_file(x);
	return 0;
}

int tar_extract(struct source *in, const struct tar_limits *limits, int dir_fd,
	struct manifest **got, GError **err)
{
	struct extract x = {
		.dir_fd = dir_fd, .fd = -1, .got = manifest_new(),
		.hasher = hasher_new(),
		.digests = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, g_free),
	};
	struct tar_handler h = {
		.entry = on_entry, .data = on_data, .end = on_end, .ctx = &x,
	};
	int r = tar_read(in, limits, &h, err);

	forget_file(&x);
	hasher_free(x.hasher);
	g_hash_table_destroy(x.digests);
	manifest_sort(x.got);
	if (r == 0)
		*got = x.got;
	else
		manifest_free(x.got);
	return r;
}
