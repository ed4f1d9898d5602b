#ifndef MERGE_ENTRY_H
#define MERGE_ENTRY_H
/*
 * One entry of a manifest: what is known of a path on one side.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "merge/lib/digest.h"

enum entry_type {
	ENTRY_ABSENT = 0,
	ENTRY_FILE,
	ENTRY_DIR,
	ENTRY_LINK,
	ENTRY_SPECIAL,	/* FIFO, socket, device: listed, never transferred */
};

enum entry_flag {
	ENTRY_HASHED = 1 << 0,	   /* digest is of the content described */
	ENTRY_UNREADABLE = 1 << 1, /* there, but could not be read or listed */
	ENTRY_RACY = 1 << 2, /* changed so close to the scan that equal stat
			      * values do not prove equal content */
	ENTRY_STUB = 1 << 3, /* seen by a scan of the mirror: the file's bytes
			      * are still in the sandbox. Never stored */
};

struct entry {
	const char *path;   /* workspace path; owner: the manifest */
	const char *target; /* link text of ENTRY_LINK, else NULL; same owner */
	int64_t size;	    /* bytes; 0 unless ENTRY_FILE */
	int64_t mtime_ns;
	int64_t ctime_ns;   /* stat identity of the side it was read on; 0 if */
	uint64_t ino;	    /* not known */
	struct digest digest;
	uint16_t mode;	    /* permission bits incl. setuid etc., 07777 */
	uint8_t type;	    /* enum entry_type */
	uint8_t flags;	    /* enum entry_flag */
};

/* A time in nanoseconds. One beyond 2262 or before 1677 does not fit: the
 * nearest that does is as good for telling two states apart. */
int64_t entry_time_ns(int64_t seconds, int64_t ns);

/* Fills all but path, target and digest from ST. */
void entry_from_stat(struct entry *e, const struct stat *st);

/* Whether ST is still the state E describes: type, size, mtime, ctime, ino
 * all equal and E not racy. */
bool entry_stat_matches(const struct entry *e, const struct stat *st);

/* Same type and content: digests where both are hashed (files of different
 * size are never equal); link targets; directories always. A stub is the same
 * as what has its ino: nobody here has touched bytes that are not here. A file without a
 * digest on either side is equal only when size, mtime, ctime and ino all
 * match and neither is racy. Modes and mtimes of hashed files do not count. */
bool entry_same_content(const struct entry *a, const struct entry *b);

/* The nine permission bits. Links have none (0). */
unsigned entry_perm(const struct entry *e);

const char *entry_type_name(enum entry_type type); /* "file", "dir", … */

#endif
