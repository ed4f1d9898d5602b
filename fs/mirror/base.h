#ifndef FS_MIRROR_BASE_H
#define FS_MIRROR_BASE_H
/*
 * The base store: bytes of files since changed, kept to merge text against,
 * by content: DIR/ab/cdef… named by SHA-256. Files over the text limit or
 * holding a NUL byte in their first 8 KiB are not kept.
 */
#include <glib.h>
#include "merge/lib/digest.h"
#include "merge/manifest.h"

struct base_store;

struct base_store *base_store_new(int dir_fd);	/* borrowed */
void base_store_free(struct base_store *b);
/* Keeps a copy of FD's bytes (from offset 0), published by temporary name and
 * rename, not fsynced. *DIGEST is their digest. 0 when kept or there already,
 * 1 when not worth keeping, negative errno. */
int base_store_keep(struct base_store *b, int fd, struct digest *digest);
/* A readable descriptor, or -ENOENT. */
int base_store_open(struct base_store *b, const struct digest *digest);
/* Removes what neither A nor B (may be NULL) refers to. */
int base_store_collect(struct base_store *b, const struct manifest *a,
	const struct manifest *c);

#endif
