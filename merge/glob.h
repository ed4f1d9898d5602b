#ifndef MERGE_GLOB_H
#define MERGE_GLOB_H
/*
 * Glob patterns over paths. Neither fnmatch(3) nor GPatternSpec knows `**`, and
 * both look at the locale; this is bytes against bytes, in time bounded by the
 * product of the lengths (times that of one component).
 *
 *	?	one byte but '/'
 *	*	any bytes but '/', also none
 *	[a-z]	one byte of a class, never '/': ranges, [!...] or [^...],
 *		[:alpha:] and the other ASCII classes; ']' comes first to be a
 *		member; a backslash is a member; unclosed is a plain '['
 *	**	as a whole component: any number of components, also none, but
 *		at the pattern's end at least one. Elsewhere: any bytes
 *	\x	x itself
 *
 * The whole text must match. A glob is immutable: any thread may use it.
 */
#include <stdbool.h>
#include <stddef.h>

struct glob;

/* Never fails: each text is a pattern. */
struct glob *glob_new(const char *pattern);
void glob_free(struct glob *g);

bool glob_match(const struct glob *g, const char *text, size_t len);

/* The one text that matches when the pattern has no wildcard, else NULL.
 * Borrowed. */
const char *glob_literal(const struct glob *g);

#endif
