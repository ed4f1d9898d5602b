#ifndef MERGE_PICK_H
#define MERGE_PICK_H
/*
 * Picking from a plan: what of it a person can take or leave. Between
 * resolve_plan() and apply_plan():
 *
 *	items = pick_items(plan);		to ask about
 *	…
 *	pick_leave(plan, item);			not taken
 *	pick_part(plan, item, …);		some hunks of it
 *	pick_finish(plan, items);		directories that follow
 *
 * Operations that make sense only together are one item: a repository's, what
 * makes a directory of a file or a file of a directory, both ends of a rename, a
 * conflict's copies. What is left is held, with the reason, so that the next
 * merge offers it again (reconcile_rebase() keeps the baseline of held paths).
 * What nobody is asked about: reports, a united .git (it only adds), and
 * directories above or around what is asked about, which go with that.
 */
#include <stdbool.h>
#include <glib.h>

#include "merge/plan.h"

enum pick_kind {
	PICK_TEXT,	/* a file's new text in place of another: by hunk */
	PICK_CHANGE,	/* the same of what is no text, or a link */
	PICK_NEW, PICK_DELETE, PICK_MODE, PICK_COPY, PICK_RENAME, PICK_SWAP,
	PICK_GIT,
};

struct pick_item {
	const char *path;	/* its name; owned */
	GArray *ops;		/* of guint: their numbers in the plan */
	enum pick_kind kind;
	/* Of everything about it: an item that has the same digest in another
	 * plan is the same question. */
	struct digest digest;
};

/* In the order of paths; of struct pick_item; g_ptr_array_unref. PICK_TEXT says that both are files by their entries: that they hold
 * text is for git_hunks_new() to say. */
GPtrArray *pick_items(const struct plan *p);
/* The operation that a one-operation item is about. */
struct plan_op *pick_op(const struct plan *p, const struct pick_item *i);

/* Nothing of I: its operations become lines of the list "held". */
void pick_leave(struct plan *p, const struct pick_item *i, const char *why);
/*
 * Some of I (PICK_TEXT): what is written is staged as FROM, of SIZE bytes and
 * DIGEST, with MODE; a held line says what was LEFT. FROM NULL: the mode only.
 */
struct pick_text {
	const char *from;
	int64_t size, mtime_ns;
	struct digest digest;
	unsigned mode;
};
void pick_part(struct plan *p, const struct pick_item *i,
	const struct pick_text *t, const char *left);
/* Directories that were not asked about: one that nothing taken needs is not
 * made, one that keeps something is not removed. ITEMS is what pick_items()
 * gave before anything was left. */
void pick_finish(struct plan *p, const GPtrArray *items);

#endif
