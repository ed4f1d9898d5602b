#ifndef MERGE_RECONCILE_H
#define MERGE_RECONCILE_H
/*
 * reconcile(): the three-way merge of manifests, all rows of MERGE.md, as a
 * pure function: no clock, no disk, no global state; equal input, equal plan.
 *
 * Two baselines are given, because two sides may represent the same tree with
 * other bits: OURS is compared with base_ours, THEIRS with base_theirs. A
 * baseline must hold the path on both or on neither. Content, permission bits
 * and existence are decided apart.
 */
#include <stdbool.h>
#include <glib.h>

#include "merge/manifest.h"
#include "merge/plan.h"

struct exclude;

enum conflict_policy { CONFLICT_BOTH, CONFLICT_OURS, CONFLICT_THEIRS };

/* What is known outside the manifests that must stop deletions. */
struct reconcile_gates {
	bool allow_deletes;	 /* the user said so: count gates are off */
	bool listing_incomplete; /* their listing failed or is partial */
	bool theirs_replaced;	 /* another sandbox, or its mark is gone */
	bool ours_replaced;	 /* local directory: other inode, link, gone */
	bool base_damaged;	 /* no base: nothing deleted, both kept */
	uint64_t free_bytes;	 /* of our file system; 0: do not check */
};

/* A file, link or directory of their side that was seen to move. */
struct reconcile_move {
	const char *from, *to;
};

struct reconcile_input {
	const struct manifest *base_ours, *base_theirs;
	const struct manifest *ours, *theirs;
	const struct exclude *exclude;	/* row 60; may be NULL */
	const char *name;	/* of the session, in conflict names */
	const char *remote_cwd; /* absolute links into it become relative */
	const char *const *held;	/* review patterns, NULL: the default */
	const char *const *preserve_absent; /* names never deleted on our
			* side; a path with such a component; may be NULL */
	/* What their side moved since the baseline, in order; borrowed. Only
	 * those are used whose file is gone at the one end and new at the
	 * other: a fact too many, or one missing, costs nothing. */
	const struct reconcile_move *moves;
	size_t move_count;
	enum conflict_policy on_conflict;
	bool fold_case;		/* our file system folds case (row 52) */
	unsigned name_max;	/* bytes of a name on our side; 0: 255 */
	bool trust_links;	/* refresh: links are taken as they are */
	bool review_off;	/* refresh: nothing is held for review */
	bool git_per_file;	/* refresh: .git is ordinary files */
	struct reconcile_gates gates;
};

/* The plan, never NULL; the caller's. */
struct plan *reconcile(const struct reconcile_input *in);

/* The default held-for-review patterns, NULL-terminated. */
const char *const *reconcile_default_held(void);
/* Whether PATH is held for review by PATTERNS (NULL: default), at any depth. */
bool reconcile_is_held(const char *const *patterns, const char *path);

/* Why such a path could run on this machine: a clause for a person. */
const char *reconcile_why_held(const char *path);

/* NAME of the K-th conflict copy of PATH (K from 1): "<path>.<name>.conflict",
 * ".conflict2"…, cut on a character boundary to NAME_MAX; g_free it. */
char *conflict_copy_path(const char *path, const char *name, unsigned k,
	unsigned name_max);
/* Whether PATH's last component is the name of such a copy (any session). */
bool is_conflict_copy(const char *path);

/*
 * The baselines after a merge was applied. A path is rebased onto THEIR
 * version (they were offered it and ours includes or declined it), except
 * where the plan held it, failed or changed: there the old baseline stays.
 * OURS_NOW is a scan after the merge. New manifests are the caller's.
 */
void reconcile_rebase(const struct reconcile_input *in, const struct plan *p,
	const struct manifest *ours_now, struct manifest **base_ours,
	struct manifest **base_theirs);

#endif
