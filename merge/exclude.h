#ifndef MERGE_EXCLUDE_H
#define MERGE_EXCLUDE_H
/*
 * One answer to "is this path left out?", used alike by scan, send, fetch and
 * merge. Two sources: patterns in tar's manner, and (with --gitignore) git's
 * ignore rules of the local directory.
 *
 * A pattern without '/' (but for a trailing one) is unanchored: it matches a
 * component anywhere and all below it. A pattern with '/' elsewhere, or a
 * leading "/" or "./", is anchored at the root of the workspace: "build/out"
 * leaves a/build/out alone (two stars and a '/' before it would not). The
 * wildcards are those of merge/glob.h, bytes against bytes: `*`, `?` and [a-z]
 * do not match '/', `**` does (in an unanchored pattern it stays within the
 * component). Backslash quotes. A trailing '/' matches directories only.
 * Nothing is case-folded. An excluded directory excludes everything below it.
 * There is no negation.
 *
 * An exclude is immutable once built and may be used from any thread; but
 * .gitignore files are read as they are when a path is asked for.
 */
#include <stdbool.h>
#include <glib.h>

struct exclude;

struct exclude *exclude_new(void);
void exclude_free(struct exclude *x);

/* PATTERN as above. FAIL_USAGE: names nothing ("", "/", "."), has a ".."
 * component, is over 4096 bytes. */
int exclude_add(struct exclude *x, const char *pattern, GError **err);
/* One pattern a line; empty lines and lines that begin with '#' do not count; a
 * carriage return at the end of a line is dropped. FAIL_USAGE names file and
 * line; the patterns before it are in X. */
int exclude_add_file(struct exclude *x, const char *file, GError **err);
/* Exact top-level names that are always left out (the runtime directory). */
void exclude_add_reserved(struct exclude *x, const char *name);
/* Reads git's ignore rules below ROOT_PATH (libgit2, merge/git_ignore.h),
 * nested .gitignore files and info/exclude included; ".git" itself is not
 * ignored. ROOT_PATH need not be a repository. FAIL_LOCAL when it is no
 * directory. */
int exclude_use_gitignore(struct exclude *x, const char *root_path,
	GError **err);

/* Whether the entry at PATH (IS_DIR: it is a directory), or a directory above
 * it, is left out. X may be NULL: nothing is. */
bool exclude_match(const struct exclude *x, const char *path, bool is_dir);

/* Whether the exclude leaves out PATH itself, its parents not considered: for
 * walks that already pruned above. */
bool exclude_match_here(const struct exclude *x, const char *path, bool is_dir);

/* Literal unanchored names among the patterns (no glob characters), so that a
 * remote listing can prune them early; the exact decision stays here.
 * NULL-terminated, borrowed. */
const char *const *exclude_literal_names(const struct exclude *x);

typedef struct exclude exclude_auto;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(exclude_auto, exclude_free)

#endif
