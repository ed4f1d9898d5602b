#ifndef MERGE_GIT_IGNORE_H
#define MERGE_GIT_IGNORE_H
/*
 * Git's ignore rules of one directory, by libgit2: the .gitignore files at and
 * below it and its repository's info/exclude. What is above the directory, the
 * user's own core.excludesFile and case folding are left out, so that the
 * answer depends on the tree alone. The directory need not be a repository and
 * nothing is ever written into it. As libgit2 has it, a negated pattern counts
 * only against patterns of its own file.
 *
 * info/exclude is read once; .gitignore files are looked at when a path below
 * them is asked for, so a changed one counts at once.
 *
 * Any thread may ask: libgit2's objects are not thread-safe, so one question is
 * answered at a time, under a mutex of the highest rank.
 */
#include <stdbool.h>
#include <glib.h>

struct git_ignore;

/* NULL with *ERR when ROOT_PATH is no directory or libgit2 cannot be had. */
struct git_ignore *git_ignore_new(const char *root_path, GError **err);
void git_ignore_free(struct git_ignore *g);

/* Whether the rules leave out PATH (IS_DIR: a directory). ".git" and what is
 * below one never is. A directory above PATH that is left out shows only when
 * no rule speaks of PATH: walk from the top. False where the rules cannot be
 * read (logged once). Blocks on the disk. */
bool git_ignore_match(struct git_ignore *g, const char *path, bool is_dir);

#endif
