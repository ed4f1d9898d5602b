#ifndef MERGE_GIT_DIFF_H
#define MERGE_GIT_DIFF_H
/*
 * One path's change as `git diff` prints it, so that `git apply` takes it:
 * header, modes, index line, hunks. Names with control characters, quotes or
 * bytes that are no text are quoted as git quotes them. Pure but for libgit2.
 */
#include <glib.h>

struct git_side {
	GBytes *bytes;	/* borrowed; a link's target for a link; NULL: absent */
	unsigned mode;	/* 0100644, 0100755 (or with the real permission
			 * bits), 0120000 */
};

/* BEFORE and AFTER of PATH; both absent gives "". Bytes with a NUL, or over
 * TEXT_MERGE_LIMIT, are said to differ. g_free it. */
char *git_diff_path(const char *path, const struct git_side *before,
	const struct git_side *after);

#endif
