#ifndef MERGE_GIT_TEXT_H
#define MERGE_GIT_TEXT_H
/*
 * Three-way merge of text by libgit2's git_merge_file.
 */
#include <glib.h>

enum git_text_result {
	GIT_TEXT_MERGED,   /* clean: *OUT holds the merged bytes */
	GIT_TEXT_CONFLICT, /* overlapping changes */
	GIT_TEXT_BINARY,   /* a NUL byte or over TEXT_MERGE_LIMIT */
};

/* All three may hold any bytes; line endings stay as they are. *OUT (caller's)
 * is set for GIT_TEXT_MERGED only. A negative errno on failure of the
 * library. */
int git_text_merge(GBytes *base, GBytes *ours, GBytes *theirs, GBytes **out);

/* The same for a person to finish: *OUT (caller's) is set for GIT_TEXT_CONFLICT,
 * too, then with conflict markers, labelled "yours" and "sandbox". */
int git_text_markers(GBytes *base, GBytes *ours, GBytes *theirs, GBytes **out);

#endif
