#ifndef MERGE_GIT_HUNKS_H
#define MERGE_GIT_HUNKS_H
/*
 * What changed between two texts, taken apart, so that a person can pick:
 *
 *	h = git_hunks_new(before, after);
 *	for (i = 0; i < git_hunks_count(h); i = end) {
 *		end = git_hunks_end(h, i);	as `git diff` groups them
 *		text = git_hunks_text(h, i, end);
 *	}
 *	result = git_hunks_take(h, taken);
 *
 * A change is a run of lines that go and lines that come, with none in common
 * between them: the smallest thing that can be picked. All of them taken give
 * AFTER, none of them BEFORE, byte for byte, whatever the line endings and
 * whether or not the last line has one. Equal texts have equal changes: they can be
 * named by number in another process. Pure but for libgit2.
 */
#include <stdbool.h>
#include <stddef.h>
#include <glib.h>

struct git_hunks;

/* NULL: one of them is no text (a NUL byte, or over TEXT_MERGE_LIMIT), or the
 * library failed. The bytes are referred to until git_hunks_free(). */
struct git_hunks *git_hunks_new(GBytes *before, GBytes *after);
void git_hunks_free(struct git_hunks *h);	/* NULL is fine */

size_t git_hunks_count(const struct git_hunks *h);
/* Just past the changes that are shown as one hunk with FIRST, each closer to
 * the one before than twice three lines. */
size_t git_hunks_end(const struct git_hunks *h, size_t first);
/* Changes FIRST to END (not included) as one hunk of a unified diff: header
 * line, up to three lines around; g_free it. */
char *git_hunks_text(const struct git_hunks *h, size_t first, size_t end);
/* BEFORE with those changes I made for which TAKEN[I]; the caller's. */
GBytes *git_hunks_take(const struct git_hunks *h, const bool *taken);

typedef struct git_hunks git_hunks_auto;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(git_hunks_auto, git_hunks_free)

#endif
