#ifndef TRANSPORT_TAR_H
#define TRANSPORT_TAR_H
/*
 * Tar streams, both ways, by libarchive; the rest of the program never sees
 * it. Written: pax where sub-second times are asked for, else GNU format, both
 * with long names and targets and sizes over 8 GiB; paths as raw bytes, no xattrs, ACLs, flags, owner names; uid and gid 0.
 * Read: any tar that libarchive knows, gzip, xz, bzip2 and zstd as well.
 */
#include <stdbool.h>
#include <glib.h>

#include "merge/entry.h"
#include "transport/remote.h"

/* --- writing -------------------------------------------------------- */

/* A writer pushes its bytes into OUT as they are made. */
struct tar_writer;
struct tar_writer *tar_writer_new(struct sink *out, bool subsecond_times);
/* A member as E says (path, type FILE/DIR/LINK, mode, mtime, size, target).
 * A file's bytes follow by tar_write_data, exactly e->size of them; fewer are
 * filled up with zeros by the next header, more are refused (-EFBIG). */
int tar_write_header(struct tar_writer *w, const struct entry *e);
int tar_write_data(struct tar_writer *w, const void *buf, size_t len);
/* A small file made of BUF. */
int tar_write_file(struct tar_writer *w, const char *path, unsigned mode,
	const void *buf, size_t len);
/* The end marker. Without it the other side must take the archive as cut. */
int tar_writer_finish(struct tar_writer *w);
void tar_writer_free(struct tar_writer *w);

/* --- reading -------------------------------------------------------- */

struct tar_limits {
	uint64_t entries;	/* 0: 10 million */
	uint64_t bytes;		/* of contents, unpacked, holes included;
				 * 0: no limit */
};

/* What a reader hands out. Paths have passed path_check() ("./" removed);
 * xattrs, ACLs, owners, "._*" members, pax headers are dropped; hard links to
 * members come as link_to. Non-zero returns abort. */
struct tar_handler {
	/* E is valid during the call. LINK_TO (or NULL): same content as that
	 * earlier member. */
	int (*entry)(void *ctx, const struct entry *e, const char *link_to);
	int (*data)(void *ctx, const void *buf, size_t len, int64_t offset);
	int (*end)(void *ctx);	/* the entry is complete */
	void *ctx;
};

/*
 * Reads one or several concatenated archives from IN until its end.
 * FAIL_PROTOCOL: not a tar, cut off (no end marker, or a member is short), an
 * absolute path, "..", a NUL, over a limit. Special files come as
 * ENTRY_SPECIAL without data. Hard links out of nowhere are FAIL_PROTOCOL.
 */
int tar_read(struct source *in, const struct tar_limits *limits,
	const struct tar_handler *h, GError **err);

/*
 * Reads an archive into files below DIR_FD (an empty staging directory of
 * ours), created by beneath functions only, with mode 0600/0700 and no link
 * ever followed. GOT (caller's) lists what arrived with the members' own modes,
 * mtimes and the digests of the bytes. Nothing outside DIR_FD can be touched
 * whatever the archive says.
 */
struct manifest;
int tar_extract(struct source *in, const struct tar_limits *limits, int dir_fd,
	struct manifest **got, GError **err);

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *tar_library(void);

#endif
