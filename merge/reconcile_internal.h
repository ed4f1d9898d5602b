#ifndef MERGE_RECONCILE_INTERNAL_H
#define MERGE_RECONCILE_INTERNAL_H
/* What the files of reconcile share. Not for others. */
#include "merge/reconcile.h"

/* One path, on all sides; NULL where it is not. */
struct row {
	const char *path;
	const struct entry *bo, *bt;	/* the baselines */
	const struct entry *o, *t;	/* ours and theirs now */
};

/* What one side did to a path since the baseline. */
enum change { SAME, ADDED, MODIFIED, DELETED };

struct rec {
	const struct reconcile_input *in;
	struct plan *early;	/* deletions that make room */
	struct plan *main;	/* creations, changes, reports */
	struct plan *late;	/* deletions; reversed at the end */
	GHashTable *made;	/* directories that exist or are made */
	GHashTable *ours_renames;   /* old path -> new entry */
	GHashTable *theirs_renames; /* the same of their side */
	GHashTable *done;	/* paths settled by a rename */
	GHashTable *leaving;	/* those of them that we are to lose */
	bool incomplete;
};

/* Same bytes, target or both directories; unreadable ones are "same". */
bool same_content(const struct entry *a, const struct entry *b);
enum change content_change(const struct entry *was, const struct entry *is);
bool perm_changed(const struct entry *was, const struct entry *is);
const char *kind_of(const struct entry *e);
struct row row_at(const struct reconcile_input *in, const char *path);

/* --- reconcile_file.c ---------------------------------------------------- */
/* Neither side is a directory there now. */
void reconcile_file(struct rec *r, const struct row *w);
/* Their file or link at its path, or held; the general way to write. */
struct plan_op *put_theirs(struct rec *r, const struct row *w,
	const char *word);
/* Ours stays, theirs goes beside it. */
void put_copy(struct rec *r, const struct row *w, const char *why);
void report(struct rec *r, const char *path, const struct entry *e,
	enum plan_list list, const char *word, const char *why);
/* Directories above PATH that ours lacks, from their side. */
void need_parents(struct rec *r, const char *path);
void delete_ours(struct rec *r, const struct row *w, struct plan *list);

/* --- reconcile_rename.c --------------------------------------------------- */
/* Finds renames and settles what they concern, before the walk; it deletes what
 * is left of ours (r->leaving), in its order. */
void reconcile_renames(struct rec *r);
/* Whether a rename settled PATH. */
bool is_renamed(const struct rec *r, const char *path);

/* --- reconcile_names.c ---------------------------------------------------- */
/* A link that is new or changed: its target as it may be written (g_free), or
 * NULL when it leads out of the workspace. */
char *contained_target(const struct reconcile_input *in, const char *path,
	const char *target);
bool is_preserved_absent(const struct reconcile_input *in, const char *path);
/* Rows 52 and 55 for everything the plan creates. */
void fix_names(struct rec *r);

/* --- reconcile_gates.c ---------------------------------------------------- */
/* Holds deletions where a gate says so, and puts the plan together. */
struct plan *finish_plan(struct rec *r);

#endif
