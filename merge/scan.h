#ifndef MERGE_SCAN_H
#define MERGE_SCAN_H
/*
 * Scan a directory tree into a manifest, several threads, no link followed,
 * one file system (a mount point below, also one of the same file system, shows
 * as an empty directory flagged unreadable). The root has no entry. The result
 * does not depend on the number of threads.
 *
 * What vanishes during the scan is left out. What cannot be read or listed is
 * kept with ENTRY_UNREADABLE: never "absent"; a directory so flagged may hold
 * more than the manifest shows, and an unreadable link has the target "".
 * Special files are listed and never opened.
 *
 * ENTRY_RACY: mtime or ctime lies after the scan's start, or so shortly before
 * (20 ms; 2 s where the file system keeps whole seconds only) that another
 * change might leave it equal. Such a file may be hashed all the same.
 *
 * Files whose stat identity equals the cache's entry (and that entry is hashed
 * and not racy) take its digest unread. A file that changes while it is hashed
 * is hashed again (bounded), then flagged ENTRY_RACY without a digest.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "merge/manifest.h"

struct exclude;

enum scan_hash {
	SCAN_HASH_NONE,	   /* stat only, digests from the cache where valid */
	SCAN_HASH_CHANGED, /* every file ends up hashed */
};

/* Of the mirror: regular files with the sticky bit hold no bytes yet. They come
 * as ENTRY_STUB, without the bit, unread and unhashed. */
enum scan_stubs {
	SCAN_NO_STUBS,	  /* it is no mirror */
	SCAN_STUBS,
	SCAN_STUBS_UNREADABLE, /* and flagged ENTRY_UNREADABLE besides */
};

struct scan_options {
	const struct exclude *exclude; /* may be NULL */
	const struct manifest *cache;  /* may be NULL */
	enum scan_hash hash;
	unsigned threads;		/* 0: one a processor, at most 8 */
	const volatile int *cancel;	/* non-zero stops: FAIL_CANCELLED */
	enum scan_stubs stubs;
	bool keep_temps;  /* else our own leftovers (io_is_temp_name) are left
			   * out */
	/* Called before a file is read, by any of the threads, with no lock
	 * held: for progress. May be NULL. */
	void (*on_hash)(void *ctx, const char *path, uint64_t size);
	void *ctx;
	int64_t now_ns; /* test clock: the scan's start; 0: io_wall_ns() */
};

struct scan_stats {
	uint64_t entries, hashed_files, hashed_bytes;
	uint64_t excluded, unreadable, special;
};

/* Scans below ROOT_FD (an open directory, borrowed). *OUT is sorted and the
 * caller's. STATS may be NULL. A negative errno with *ERR when ROOT_FD itself
 * cannot be listed in full (FAIL_LOCAL) or on cancel (FAIL_CANCELLED). */
int scan_tree(int root_fd, const struct scan_options *options,
	struct manifest **out, struct scan_stats *stats, GError **err);

/* Hashes the file E->path below ROOT_FD into E, again with the re-check: E then
 * describes the state that was hashed, racy as by a scan that starts now.
 * 0 or a negative errno, E untouched: -EAGAIN when it would not hold still or
 * is no regular file any more. */
int scan_hash_file(int root_fd, struct entry *e);

#endif
