#ifndef MERGE_PLAN_H
#define MERGE_PLAN_H
/*
 * A plan: what a three-way merge will do, operation by operation, and what it
 * will report. reconcile() makes it, resolve_plan() settles what needs file
 * contents (text merges, .git), apply_plan() carries it out, and the state
 * database keeps it so that a merge killed at any instant is finished later.
 *
 * Two sides: OURS is the directory that is written (the local directory in a
 * restore, the mirror in a refresh), THEIRS the one that is read.
 *
 * Order: operations are carried out from first to last: creations before
 * deletions, parents before children when creating, children before parents
 * when deleting.
 */
#include <stdbool.h>
#include <stddef.h>
#include <glib.h>

#include "merge/entry.h"

enum plan_action {
	PLAN_REPORT, /* nothing is written; the line is for the report */
	PLAN_MKDIR,  /* create a directory (after.mode) */
	PLAN_PUT,    /* create or replace a file or link with source/from */
	PLAN_CHMOD,  /* set the nine permission bits of after.mode */
	PLAN_DELETE, /* move to trash: a file, a link or a directory that is
		      * empty by then */
	PLAN_MERGE,  /* text merge; resolve_plan() makes it a PUT */
	PLAN_GIT,    /* unite .git; resolve_plan() makes it PUTs */
};

enum plan_source {
	PLAN_FROM_THEIRS, /* path `from` on their side */
	PLAN_FROM_OURS,	  /* path `from` on our side (an observed rename) */
	PLAN_FROM_STAGED, /* file named `from` in the staging directory */
};

/* The list of the restore report (CLI.md) an operation shows up in. */
enum plan_list {
	PLAN_SILENT,
	PLAN_APPLIED,
	PLAN_DELETED,
	PLAN_MERGED,
	PLAN_CONFLICTS,
	PLAN_HELD,
	PLAN_KEPT_LOCAL,
};

enum plan_outcome {
	PLAN_TODO,
	PLAN_DONE,
	PLAN_CHANGED, /* our side is no longer `before`: re-plan this path */
	PLAN_FAILED,  /* could not be done; `error` says why; nothing lost */
};

struct plan_op {
	enum plan_action action;
	enum plan_source source;
	enum plan_list list;
	char *path;	  /* written; owned, as all strings here */
	char *from;	  /* see source; NULL else */
	char *subject;	  /* path the report names; NULL: path */
	char *copy;	  /* conflict copy the report names, or NULL */
	const char *kind; /* static: "file" "dir" "link" "special" "git" */
	const char *word; /* static, the report's "action": "created" "written"
			   * "deleted" "merged" "copied" "kept" "held" "mode"
			   * "resurrected" "renamed" "united" */
	char *why;	  /* one clause for a person */
	/* before: our side at `path` when planned; after: what `path` shall be.
	 * type ENTRY_ABSENT for none. path is NULL in all; target owned. */
	struct entry before, after;
	/* PLAN_MERGE only: the ancestor, our version (at ours_path) and theirs
	 * (at `from`). If the texts do not merge their version becomes a
	 * conflict copy at `copy`. */
	struct entry base, ours, theirs;
	char *ours_path;
	int policy;	  /* PLAN_MERGE: enum conflict_policy if the texts do
			   * not merge */
	bool gate_deletion; /* removes something the user has: gates count it */
	/* Filled by apply_plan(). */
	enum plan_outcome outcome;
	char *trash;	    /* where the old version went, below the trash */
	struct entry now;   /* our side afterwards, for the undo */
	char *error;
};

struct plan {
	GPtrArray *ops;	/* of struct plan_op, owned */
	bool gated;	/* a gate held something: exit 4 */
	bool incomplete; /* something could not be read or fetched: exit 4 */
};

struct plan *plan_new(void);
void plan_free(struct plan *p);
/* A new operation at the end, all zero but action and a copy of PATH. */
struct plan_op *plan_add(struct plan *p, enum plan_action action,
	const char *path);
struct plan_op *plan_at(const struct plan *p, size_t i);
size_t plan_count(const struct plan *p);
void plan_op_free(struct plan_op *op);
/* Deep copy of an entry for an op field: target duplicated, path NULL. */
void plan_entry_set(struct entry *dst, const struct entry *src);
void plan_entry_clear(struct entry *e);
/* Number of report lines in LIST. */
size_t plan_list_count(const struct plan *p, enum plan_list list);
/* Exit code of a restore by CLI.md and MERGE.md: 0, 3 or 4. Operations that
 * failed count as unrestored (4). */
int plan_exit_code(const struct plan *p);
/* One line an operation, stable, for tests and debugging; g_free it. */
char *plan_to_text(const struct plan *p);

typedef struct plan plan_auto;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(plan_auto, plan_free)

#endif
