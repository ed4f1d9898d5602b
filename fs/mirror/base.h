#ifndef FS_MIRROR_BASE_H
#define FS_MIRROR_BASE_H
/*
 * The base store: bytes of files since changed, kept to merge text against,
 * by content: DIR/ab/cdef… named by SHA-256. Files over the text limit or
 * holding a NUL byte in their first 8 KiB are not kept.
 */
#include <stdint.h>
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
/* In place of unlinking PATH below ROOT_FD, in one step: a file with one name
 * that nobody has open. Negative errno: nothing is changed. Its bytes are under
 * their digest, or gone when not worth keeping, after base_store_sort(); a kill
 * between the two loses nothing. INO: of the file. May be called with any lock
 * held. */
int base_store_take(struct base_store *b, int root_fd, const char *path,
	uint64_t ino);
/* Reads all that was taken: once before bytes are asked for, done by the
 * functions below, and now and then, so that the disk gets its space back.
 * Holds a lock of RANK_STATE. */
void base_store_sort(struct base_store *b);
/* A readable descriptor, or -ENOENT. */
int base_store_open(struct base_store *b, const struct digest *digest);
/* Removes what none of the N manifests refers to; their files must be all that
 * anybody will ask for. 0 or a negative errno, the rest removed next time. */
int base_store_collect(struct base_store *b,
	const struct manifest *const *keep, size_t n);

#endif
