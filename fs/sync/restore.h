#ifndef FS_SYNC_RESTORE_H
#define FS_SYNC_RESTORE_H
/*
 * What the files of the restore share. Not for other folders.
 */
#include "fs/sync/internal.h"
#include "merge/apply.h"
#include "merge/reconcile.h"

struct restore {
	struct session *s;
	const struct restore_options *o;
	int local_fd, trash_fd, staging_fd;
	struct manifest *base_ours, *base_theirs, *ours, *theirs;
	struct reconcile_input input;
	struct content content;
	struct plan *all;	/* what will be reported */
	char *id;		/* names temporaries and the trash */
	char *trash;		/* absolute directory */
	char *staging;		/* name below the session's directory */
	char *note, *diff;
	struct json *offer;
	GArray *moves;		/* of struct reconcile_move */
	GArray *parts;		/* files of which a part was taken */
	int64_t deadline_ns;
	size_t marked;		/* outcomes of the plan kept so far */
	bool damaged, replaced, fold_case, interrupted, unsent;
};

/* --- fs/sync/restore.c ------------------------------------------------ */

/* Opens the local directory and takes its lock. FAIL_PENDING: another process
 * writes there. */
int restore_lock_local(struct restore *r, GError **err);
/* r->id, and whether an earlier restore's plan is still open (r->interrupted,
 * whose id it then is). */
int restore_choose_id(struct restore *r, GError **err);
struct apply_options restore_apply_options(struct restore *r);
/* Applies P, which is journalled as "restore", and keeps its outcomes. */
int restore_apply(struct restore *r, struct plan *p,
	const struct apply_options *o, GError **err);
void restore_release(struct restore *r);

/* Reads both sides as they are now into r->ours and r->theirs; r->input is made
 * of them and of the baselines. */
int restore_scan_sides(struct restore *r, GError **err);
void restore_make_input(struct restore *r);

/* --- fs/sync/restore_store.c ------------------------------------------ */

/* The baselines after r->all was applied, stored with everything that ends the
 * restore in one transaction. */
int restore_store(struct restore *r, GError **err);

/* --- fs/sync/restore_pick.c ------------------------------------------- */

/* Below the session's directory: merged texts of an offer, until the next. */
#define RESTORE_PICKING "picking"

/* What r->all offers, for report.offer; json_free it. */
struct json *restore_offer(struct restore *r);
/* Takes of P, which is resolved, what r->o->picks says; the rest is held. */
int restore_take_picks(struct restore *r, struct plan *p, GError **err);
/* The baselines of files of which a part was taken. */
void restore_rebase_picks(struct restore *r, struct manifest **ours,
	struct manifest **theirs);

/* --- fs/sync/restore_dirs.c ------------------------------------------- */

/* Opens this restore's trash (beside the local directory's file system where
 * it can be) and staging. A dry run gets throw-away ones. */
int restore_open_dirs(struct restore *r, GError **err);
/* The names in staging are on the disk then, as their bytes are. */
int restore_sync_staged(struct restore *r, GError **err);
/* Removes staging, and the trash when nothing went into it. */
void restore_close_dirs(struct restore *r);
/* Removes trash older than the session's trash_days. */
void restore_expire_trash(struct restore *r);

/* --- fs/sync/restore_report.c ----------------------------------------- */

/* Drops from PLAN the lines that ALL reports already and that do nothing. */
void drop_reported(const struct plan *all, struct plan *plan);
/* Paths that would not hold still: failed, and why. */
void fail_changed(struct plan *plan);
/* Content or link text of what is at OP's path here, of what OP puts there, and
 * of PATH in the mirror; NULL: nothing, or it cannot be read. More than
 * TEXT_MERGE_LIMIT is cut somewhere above that. */
GBytes *restore_old_bytes(struct restore *r, const struct plan_op *op);
GBytes *restore_new_bytes(struct restore *r, const struct plan_op *op);
GBytes *restore_their_bytes(struct restore *r, const char *path);
/* Unified diffs of what r->all writes; g_free it. */
char *restore_diff(struct restore *r);

/* --- fs/sync/undo.c --------------------------------------------------- */

/* Puts back what the last restore changed. In a flow. */
int restore_undo(struct session *s, struct report **out, GError **err);

#endif
