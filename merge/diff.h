#ifndef MERGE_DIFF_H
#define MERGE_DIFF_H
/*
 * Walk sorted manifests in step: each path that any of them holds comes once,
 * in the manifests' order, with what every side knows of it.
 *
 *	struct diff d;
 *	struct diff_step s;
 *
 *	diff_init(&d, was, is);
 *	while (diff_next(&d, &s))
 *		if (diff_what(s.a, s.b))
 *			use(s.path, s.a, s.b);
 *
 * Nothing is allocated and nothing needs releasing. The manifests are borrowed
 * for as long as the walk and what it gave are used. One thread a walk; any
 * number of walks over the same manifests.
 */
#include <stdbool.h>
#include <stddef.h>

#include "merge/manifest.h"

enum { DIFF_SIDES = 4 };

struct diff {
	const struct manifest *side[DIFF_SIDES];
	size_t next[DIFF_SIDES];
	const char *path; /* of the last step; NULL before the first */
};

struct diff_step {
	const char *path; /* borrowed from one of the manifests */
	/* What each side holds at PATH, NULL where it holds nothing; a and b
	 * are the first two. Never all NULL. */
	union {
		const struct entry *at[DIFF_SIDES];
		struct {
			const struct entry *a, *b;
		};
	};
};

/* A NULL manifest counts as empty, in both. */
void diff_init(struct diff *d, const struct manifest *a,
	const struct manifest *b);
void diff_init_n(struct diff *d, const struct manifest *const *sides,
	unsigned count);

/* The next path into *S; false (and *S untouched) after the last. */
bool diff_next(struct diff *d, struct diff_step *s);

/* Leaves out everything below the path of the last step. */
void diff_skip_below(struct diff *d);

/* How two entries of one path differ. A zero is no difference. */
enum diff_bit {
	DIFF_ADDED = 1 << 0,   /* only b */
	DIFF_REMOVED = 1 << 1, /* only a */
	DIFF_TYPE = 1 << 2,
	DIFF_CONTENT = 1 << 3, /* by entry_same_content(); type is equal */
	DIFF_PERM = 1 << 4,    /* the nine bits; files and directories */
	DIFF_MTIME = 1 << 5,   /* of a file with equal content */
};

/* A set of the bits above; the first three come alone. NULL and ENTRY_ABSENT
 * are the same. Nothing is known to differ about an unreadable entry but its
 * type: callers that care look at its flags. */
unsigned diff_what(const struct entry *a, const struct entry *b);

#endif
