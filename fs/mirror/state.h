#ifndef FS_MIRROR_STATE_H
#define FS_MIRROR_STATE_H
/*
 * The state of a session that must survive a crash, in SQLite (state.db in the
 * session's directory): manifests, small values, and the journal of the
 * restore. The only file that knows SQLite. WAL, synchronous=FULL: when a
 * committing function returns 0 the change is on disk.
 *
 * One struct state is one connection guarded by its own mutex (RANK_STATE): any
 * thread may call. Outside a transaction each call commits by itself. Only one
 * thread uses begin/commit at a time (the session's flows do).
 *
 * The schema has a version (user_version): a newer one than this program's is
 * refused with FAIL_FAILED, naming both; an older one is migrated.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "merge/manifest.h"
#include "merge/plan.h"

struct state;

enum state_table {
	STATE_BASE_LOCAL, /* baseline: what the local directory held */
	STATE_BASE_MOUNT, /* baseline: what the mirror held then */
	STATE_ACK_MIRROR, /* acknowledged: the mirror's own view (its ino, …) */
	STATE_ACK_REMOTE, /* acknowledged: as the sandbox has it */
	STATE_ASSETS_LOCAL, /* asset files as sent: the source's view */
	STATE_UNDO_LOCAL, /* the baselines before the last restore */
	STATE_UNDO_MOUNT,
	STATE_TABLES
};

/* Opens or creates DIR_FD/state.db (0600). FAIL_LOCAL: disk full, damaged
 * (the message says how to go on), not ours. */
struct state *state_open(int dir_fd, GError **err);
void state_close(struct state *s);

int state_begin(struct state *s, GError **err);
int state_commit(struct state *s, GError **err);
void state_rollback(struct state *s);

/* Small values by name. get: g_free it, NULL when there is none. */
char *state_get(struct state *s, const char *name);
int state_set(struct state *s, const char *name, const char *value,
	GError **err);	/* NULL removes */

/* Whole tables. load is sorted. store replaces all rows in one transaction
 * and records a digest over them; load verifies it: damage is FAIL_LOCAL. Rows
 * that are equal already are not written again; a damaged table is. */
int state_load(struct state *s, enum state_table t, struct manifest **out,
	GError **err);
int state_store(struct state *s, enum state_table t, const struct manifest *m,
	GError **err);

/* Single rows. find: false when there is none; E's strings are owned by the
 * caller (plan_entry_clear frees target; path is NULL). */
bool state_find(struct state *s, enum state_table t, const char *path,
	struct entry *e);
int state_put(struct state *s, enum state_table t, const struct entry *e,
	GError **err);	/* e->path is the key */
int state_remove(struct state *s, enum state_table t, const char *path,
	GError **err);	/* and nothing below it */
/* Every row at or below FROM becomes TO…; rows at or below TO go first. */
int state_move(struct state *s, enum state_table t, const char *from,
	const char *to, GError **err);
bool state_has_below(struct state *s, enum state_table t, const char *dir);
uint64_t state_count(struct state *s, enum state_table t);

/* --- stubs: rows of STATE_ACK_MIRROR by the mirror's inode ------------ */

/* Makes state_find_inode() quick: once for a session that has stubs. */
int state_index_inodes(struct state *s, GError **err);
/* The row of the file INO: its path (g_free), NULL when there is none. E as by
 * state_find(), but without a target. */
char *state_find_inode(struct state *s, uint64_t ino, struct entry *e);

/* A row that is to become NOW if it still is WAS: the same path (of both),
 * ino, size, mtime and ctime. */
struct state_change {
	enum state_table table;
	struct entry was, now;
	bool done;	/* out: false when the row is another by now */
};
/* Makes the N changes in one transaction (the open one, if a flow has one
 * open). */
int state_replace(struct state *s, struct state_change *changes, size_t n,
	GError **err);

/* --- the journal of a restore (and of a refresh), by KIND ------------- */
/* "restore", "refresh": one plan each. save replaces; MARKED outcomes are kept
 * per operation. load gives the plan with all fields (static strings from the
 * program's own table), NULL without error when there is none. */
int state_save_plan(struct state *s, const char *kind, const struct plan *p,
	GError **err);
/* The outcomes of P's operations from FIRST to before END that have one, in one
 * transaction. Those that a crash takes away are found again by apply. */
int state_mark_ops(struct state *s, const char *kind, const struct plan *p,
	size_t first, size_t end, GError **err);
int state_load_plan(struct state *s, const char *kind, struct plan **out,
	GError **err);
int state_drop_plan(struct state *s, const char *kind, GError **err);

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *state_library(void);

#endif
