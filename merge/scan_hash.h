#ifndef MERGE_SCAN_HASH_H
#define MERGE_SCAN_HASH_H
/*
 * The part of scan that reads files; for scan.c and tests.
 */
#include <stdint.h>

#include "merge/entry.h"

struct hash_options {
	int root_fd;	  /* borrowed */
	int64_t start_ns; /* of the scan, for ENTRY_RACY */
	const volatile int *cancel; /* may be NULL */
	/* For tests: called after each read, before the re-check. */
	void (*before_check)(void *ctx, unsigned tries);
	void *ctx;
};

/* Whether *CANCEL asks to stop; NULL never does. */
bool is_cancelled(const volatile int *cancel);

/* Sets or clears ENTRY_RACY of a file, as merge/scan.h has it. */
void entry_mark_racy(struct entry *e, int64_t start_ns);

/*
 * Hashes the file at E->path and makes E describe the state hashed. *BYTES
 * grows by what was read. Blocks on the disk. Returns
 *	0		hashed
 *	-EAGAIN		kept changing: E is its last state, racy, no digest
 *	-ENOTSUP	no regular file any more, E untouched
 *	-ENOENT		gone, E untouched
 *	-ECANCELED	E untouched
 *	other		could not be read, E untouched
 */
int hash_entry(const struct hash_options *o, struct entry *e, uint64_t *bytes);

#endif
