/*
 * Reading: libarchive parses, nothing here touches a file.
 *
 * libarchive takes the end of the input for the end of the archive, so the raw
 * bytes are watched as well: a tar that is not compressed has to end with two
 * blocks of zeros. Compressed ones are checked by their own filter.
 */
#include "transport/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"

enum {
	BUFFER = 64 * 1024,
	BLOCK = 512,
	DEFAULT_ENTRIES = 10000000,
	APPLE_MAGIC_LEN = 4,
};

struct reader {
	struct archive *archive;
	struct source *in;
	const struct tar_limits *limits;
	const struct tar_handler *h;
	GHashTable *seen;	/* files so far: what hard links may name */
	char buf[BUFFER];
	char head[6];		/* first bytes of the input */
	uint64_t total;		/* bytes of the input */
	uint64_t zeros;		/* zero bytes it ended with so far */
	uint64_t entries, bytes;
	int in_failed;
	GError **err;
};

static la_ssize_t pull(struct archive *a, void *ctx, const void **buf)
{
	struct reader *r = ctx;
	ssize_t n = r->in->read(r->in->ctx, r->buf, sizeof(r->buf));

	if (n < 0) {
		r->in_failed = (int)n;
		archive_set_error(a, (int)-n, "reading failed");
		return -1;
	}
	for (ssize_t i = 0; i < n && r->total + (uint64_t)i < sizeof(r->head);
		i++)
		r->head[r->total + (uint64_t)i] = r->buf[i];
	for (ssize_t i = n; i-- > 0;)
		if (r->buf[i]) {
			r->zeros = (uint64_t)(n - 1 - i);
			goto out;
		}
	r->zeros += (uint64_t)n;
out:
	r->total += (uint64_t)n;
	*buf = r->buf;
	return n;
}

static int bad(struct reader *r, const char *path, const char *why)
{
	g_autofree char *shown = path_display(path ? path : "?");

	return fail(r->err, FAIL_PROTOCOL,
		"archive from the sandbox: %s: %s; it is refused", shown, why);
}

static int bad_archive(struct reader *r)
{
	const char *why = archive_error_string(r->archive);

	if (r->in_failed)
		return fail(r->err, FAIL_UNKNOWN,
			"archive from the sandbox: reading it failed: %s",
			g_strerror(-r->in_failed));
	return fail(r->err, FAIL_PROTOCOL,
		"archive from the sandbox: cut off or damaged: %s",
		why ? why : "not a tar archive");
}

/* A name's bytes: libarchive has no answer in the C locale for names that pax
 * headers give as UTF-8, but for their UTF-8. */
static const char *raw_path(struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e);

	return path ? path : archive_entry_pathname_utf8(e);
}

/* PATH without leading "./" and trailing "/"; g_free it. */
static char *clean_path(const char *path)
{
	size_t len;
	char *out;

	while (path[0] == '.' && path[1] == '/') {
		path += 2;
		while (*path == '/')
			path++;
	}
	out = g_strdup(strcmp(path, ".") ? path : "");
	len = strlen(out);
	while (len && out[len - 1] == '/')
		out[--len] = '\0';
	return out;
}

static enum entry_type type_of(struct archive_entry *e)
{
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return ENTRY_FILE;
	case AE_IFDIR:
		return ENTRY_DIR;
	case AE_IFLNK:
		return ENTRY_LINK;
	default:
		return ENTRY_SPECIAL;
	}
}

/* "._NAME" with AppleDouble bytes is not content but macOS metadata. */
static bool is_apple_double(const char *path, const void *data, size_t len)
{
	static const uint8_t magic[2][APPLE_MAGIC_LEN] = {
		{ 0, 5, 0x16, 7 }, { 0, 5, 0x16, 0 },
	};

	return !strncmp(path_name(path), "._", 2) && len >= APPLE_MAGIC_LEN &&
		(!memcmp(data, magic[0], APPLE_MAGIC_LEN) ||
			!memcmp(data, magic[1], APPLE_MAGIC_LEN));
}

static int pass_entry(struct reader *r, const struct entry *e,
	const char *link_to)
{
	int ret = r->h->entry(r->h->ctx, e, link_to);

	return ret == 0 ? 0
			: fail_errno(r->err, ret < 0 ? ret : -EIO,
				  "taking an archive from the sandbox");
}

/* The data blocks of one file, the first of which may show that it is none of
 * ours. */
static int read_data(struct reader *r, const struct entry *e)
{
	const void *buf;
	size_t len;
	la_int64_t at;
	bool begun = false;
	int64_t end = 0;
	int ret;

	while ((ret = archive_read_data_block(r->archive, &buf, &len, &at)) ==
		ARCHIVE_OK) {
		if (!begun && is_apple_double(e->path, buf, len))
			return archive_read_data_skip(r->archive) ==
					ARCHIVE_OK ? 0 : bad_archive(r);
		if (!begun && pass_entry(r, e, NULL) < 0)
			return -EIO;
		begun = true;
		end = at + (int64_t)len;
		if (at < 0 || end > e->size)
			return bad(r, e->path, "more bytes than it has");
		ret = r->h->data(r->h->ctx, buf, len, at);
		if (ret != 0)
			return fail_errno(r->err, ret < 0 ? ret : -EIO,
				"taking an archive from the sandbox");
	}
	if (ret != ARCHIVE_EOF)
		return bad_archive(r);
	if (!begun && pass_entry(r, e, NULL) < 0)
		return -EIO;
	ret = r->h->end(r->h->ctx);
	return ret == 0 ? 0
			: fail_errno(r->err, ret < 0 ? ret : -EIO,
				  "taking an archive from the sandbox");
}

static int pass_simple(struct reader *r, const struct entry *e,
	const char *link_to)
{
	int ret = pass_entry(r, e, link_to);

	if (ret == 0 && r->h->end(r->h->ctx) != 0)
		ret = fail_errno(r->err, -EIO,
			"taking an archive from the sandbox");
	return ret;
}

static int read_hard_link(struct reader *r, const struct entry *e,
	const char *target)
{
	g_autofree char *to = clean_path(target);

	if (!g_hash_table_contains(r->seen, to))
		return bad(r, e->path, "a hard link to nothing in the archive");
	return pass_simple(r, e, to);
}

static void fill_entry(struct archive_entry *ae, struct entry *e)
{
	e->type = (uint8_t)type_of(ae);
	e->mode = archive_entry_perm(ae) & 0777;
	e->size = e->type == ENTRY_FILE ? archive_entry_size(ae) : 0;
	e->mtime_ns = entry_time_ns((int64_t)archive_entry_mtime(ae),
		archive_entry_mtime_nsec(ae));
}

static int read_entry(struct reader *r, struct archive_entry *ae)
{
	const char *raw = raw_path(ae);
	const char *link_to = archive_entry_hardlink(ae);
	g_autofree char *path = NULL;
	struct entry e = { 0 };

	if (!raw)
		return bad(r, NULL, "a name that cannot be read");
	path = clean_path(raw);
	if (!*path)
		return 0;	/* the top directory itself */
	if (path_check(path, strlen(path)) < 0)
		return bad(r, path, "not a path inside the workspace");
	fill_entry(ae, &e);
	e.path = path;
	if (link_to) {
		e.type = ENTRY_FILE;
		return read_hard_link(r, &e, link_to);
	}
	if (e.type == ENTRY_LINK) {
		e.target = archive_entry_symlink(ae);
		if (!e.target)
			e.target = archive_entry_symlink_utf8(ae);
		if (!e.target || !*e.target || strlen(e.target) >= PATH_MAX)
			return bad(r, path, "a link without a usable target");
	}
	if (e.type != ENTRY_FILE)
		return pass_simple(r, &e, NULL);
	if (e.size < 0)
		return bad(r, path, "a negative size");
	/* What the header claims counts, holes and all: a sparse member of a
	 * few bytes can stand for an exabyte of zeros. */
	r->bytes += (uint64_t)e.size;
	if (r->limits && r->limits->bytes && r->bytes > r->limits->bytes)
		return bad(r, path, "more bytes than allowed");
	g_hash_table_add(r->seen, g_strdup(path));
	return read_data(r, &e);
}

static bool is_compressed(const struct reader *r)
{
	return !memcmp(r->head, "\x1f\x8b", 2) ||
		!memcmp(r->head, "BZh", 3) ||
		!memcmp(r->head, "\xfd" "7zXZ", 5) ||
		!memcmp(r->head, "\x28\xb5\x2f\xfd", 4);
}

static int read_all(struct reader *r)
{
	uint64_t limit = r->limits && r->limits->entries ? r->limits->entries
							 : DEFAULT_ENTRIES;
	struct archive_entry *ae;
	int ret;

	while ((ret = archive_read_next_header(r->archive, &ae)) ==
			ARCHIVE_OK ||
		ret == ARCHIVE_WARN) {
		if (++r->entries > limit)
			return bad(r, raw_path(ae), "too many entries");
		if (read_entry(r, ae) < 0)
			return -EIO;
	}
	if (ret != ARCHIVE_EOF)
		return bad_archive(r);
	if (!is_compressed(r) && (r->zeros < 2 * BLOCK || r->total % BLOCK))
		return fail(r->err, FAIL_PROTOCOL,
			"archive from the sandbox: cut off: its end marker is "
			"missing");
	return 0;
}

/* Whatever follows the end marker is read too, or the sender would block. */
static int drain(struct reader *r)
{
	const void *buf;
	la_ssize_t n;

	while ((n = pull(r->archive, r, &buf)) > 0)
		;
	return n < 0 ? bad_archive(r) : 0;
}

int tar_read(struct source *in, const struct tar_limits *limits,
	const struct tar_handler *h, GError **err)
{
	struct reader *r = g_new0(struct reader, 1);
	int ret;

	r->in = in;
	r->limits = limits;
	r->h = h;
	r->err = err;
	r->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	r->archive = archive_read_new();
	archive_read_support_format_tar(r->archive);
	archive_read_support_filter_gzip(r->archive);
	archive_read_support_filter_bzip2(r->archive);
	archive_read_support_filter_xz(r->archive);
	archive_read_support_filter_zstd(r->archive);
	archive_read_set_options(r->archive, "read_concatenated_archives");
	if (archive_read_open(r->archive, r, NULL, pull, NULL) != ARCHIVE_OK)
		ret = bad_archive(r);
	else
		ret = read_all(r);
	if (ret == 0)
		ret = drain(r);
	archive_read_free(r->archive);
	g_hash_table_destroy(r->seen);
	g_free(r);
	return ret;
}
