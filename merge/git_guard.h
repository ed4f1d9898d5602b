#ifndef MERGE_GIT_GUARD_H
#define MERGE_GIT_GUARD_H
/*
 * Looks at .gitignore files before libgit2 does, for merge/git_ignore.c only.
 *
 * libgit2 1.5 ends the process by a segmentation fault on a negated pattern of
 * which nothing is left once slashes, blanks and a lone backslash are taken
 * off ("!\", "!//"), when a pattern with a wildcard stands before it; it never
 * comes back from one that begins with a vertical tab or a form feed; and it
 * opens whatever has the name, so that a FIFO holds the caller for ever. A file
 * of either sort must not reach it.
 *
 * What was found is kept by the file's stat identity: a file that did not
 * change is read once. Not thread-safe: the caller has a lock.
 */
#include <stdbool.h>
#include <stddef.h>

struct git_guard;

/* ROOT_PATH: the directory whose .gitignore files are meant; copied. */
struct git_guard *git_guard_new(const char *root_path);
void git_guard_free(struct git_guard *g);

/* Whether libgit2 may be asked about PATH: every .gitignore that it would read
 * for that (in PATH itself, in case it is a directory, and in all above it) is
 * absent, or a regular file of at most 16 MiB with rules that it survives.
 * Blocks on the disk. */
bool git_guard_allows(struct git_guard *g, const char *path);

/* Whether libgit2 survives these rules; any bytes. */
bool git_guard_allows_text(const char *text, size_t len);

#endif
