/*
 * Writing: pax where the other side reads sub-second times from pax
 * headers (GNU tar, bsdtar), GNU format else, whose long names and large sizes
 * busybox and toybox read as well. Names go as they are, whatever the locale.
 */
#include "transport/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

struct tar_writer {
	struct archive *archive;
	struct archive_entry *entry;
	struct sink *out;	/* borrowed */
	int failed;		/* first negative errno of OUT */
	int64_t left;		/* bytes of the current file not written yet */
	bool subsecond;
};

static la_ssize_t push(struct archive *a, void *ctx, const void *buf,
	size_t len)
{
	struct tar_writer *w = ctx;
	int r = w->failed ? w->failed : w->out->write(w->out->ctx, buf, len);

	if (r == 0)
		return (la_ssize_t)len;
	w->failed = r < 0 ? r : -EIO;
	archive_set_error(a, -w->failed, "the receiver failed");
	return -1;
}

static int result_of(struct tar_writer *w, int r)
{
	if (r >= ARCHIVE_WARN)
		return 0;
	return w->failed ? w->failed : -EIO;
}

struct tar_writer *tar_writer_new(struct sink *out, bool subsecond_times)
{
	struct tar_writer *w = g_new0(struct tar_writer, 1);

	w->out = out;
	w->subsecond = subsecond_times;
	w->archive = archive_write_new();
	w->entry = archive_entry_new();
	if (!w->archive || !w->entry)
		g_error("out of memory");
	if (subsecond_times) {
		archive_write_set_format_pax(w->archive);
		archive_write_set_options(w->archive, "hdrcharset=BINARY");
	} else {
		archive_write_set_format_gnutar(w->archive);
	}
	archive_write_set_bytes_per_block(w->archive, 65536);
	archive_write_set_bytes_in_last_block(w->archive, 1);
	if (archive_write_open(w->archive, w, NULL, push, NULL) != ARCHIVE_OK)
		w->failed = -EIO;
	return w;
}

static mode_t type_bits(enum entry_type type)
{
	return type == ENTRY_DIR ? AE_IFDIR
		: type == ENTRY_LINK ? AE_IFLNK : AE_IFREG;
}

static void set_times(struct tar_writer *w, int64_t mtime_ns)
{
	int64_t s = mtime_ns / 1000000000, ns = mtime_ns % 1000000000;

	if (ns < 0) {
		ns += 1000000000;
		s--;
	}
	archive_entry_set_mtime(
		w->entry, (time_t)s, w->subsecond ? (long)ns : 0);
}

int tar_write_header(struct tar_writer *w, const struct entry *e)
{
	if (w->failed)
		return w->failed;
	archive_entry_clear(w->entry);
	archive_entry_copy_pathname(w->entry, e->path);
	archive_entry_set_mode(w->entry,
		type_bits((enum entry_type)e->type) |
			(e->type == ENTRY_LINK ? 0777 : e->mode & 0777));
	archive_entry_set_size(
		w->entry, e->type == ENTRY_FILE ? e->size : 0);
	if (e->type == ENTRY_LINK)
		archive_entry_copy_symlink(w->entry, e->target);
	set_times(w, e->mtime_ns);
	w->left = e->type == ENTRY_FILE ? e->size : 0;
	return result_of(w, archive_write_header(w->archive, w->entry));
}

int tar_write_data(struct tar_writer *w, const void *buf, size_t len)
{
	la_ssize_t n;

	if (w->failed)
		return w->failed;
	if ((int64_t)len > w->left)
		return -EFBIG;
	n = archive_write_data(w->archive, buf, len);
	if (n != (la_ssize_t)len)
		return result_of(w, ARCHIVE_FATAL);
	w->left -= (int64_t)len;
	return 0;
}

int tar_write_file(struct tar_writer *w, const char *path, unsigned mode,
	const void *buf, size_t len)
{
	struct entry e = {
		.path = path, .type = ENTRY_FILE, .size = (int64_t)len,
		.mode = (uint16_t)mode,
	};
	int r = tar_write_header(w, &e);

	return r < 0 ? r : tar_write_data(w, buf, len);
}

int tar_writer_finish(struct tar_writer *w)
{
	if (w->failed)
		return w->failed;
	return result_of(w, archive_write_close(w->archive));
}

void tar_writer_free(struct tar_writer *w)
{
	if (!w)
		return;
	/* An archive given up on must not end as if it were whole: from here
	 * on nothing is passed on. It is closed all the same, for only that
	 * frees what libarchive holds of the stream. */
	w->failed = -ECANCELED;
	archive_write_close(w->archive);
	archive_write_free(w->archive);
	archive_entry_free(w->entry);
	g_free(w);
}

char *tar_library(void)
{
	return g_strdelimit(
		g_strdup(archive_version_string()), "\n", ' ');
}
