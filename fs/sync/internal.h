#ifndef FS_SYNC_INTERNAL_H
#define FS_SYNC_INTERNAL_H
/*
 * What the files of fs/sync share: the session itself. Not for other folders.
 */
#include <pthread.h>
#include <stdbool.h>

#include "fs/sync/session.h"
#include "merge/lib/mutex.h"
#include "merge/manifest.h"
#include "merge/reconcile.h"
#include "transport/tree.h"

struct base_store;
struct exclude;
struct state;
struct mirror_changes;
struct keeper;
struct uploader;
struct fetcher;
struct poller;

struct counters {
	uint64_t batches, files, bytes;		/* sent */
	uint64_t fetched_files, fetched_bytes;
};

struct session {
	/* Constant after start or open. */
	char *name, *dir, *id;
	struct spec *spec;
	struct session_options *options;
	int dir_fd, mirror_fd, base_fd, parts_fd, lock_fd;
	struct base_store *base;
	struct state *state;
	struct exclude *exclude;
	struct cancel *cancel;
	uint64_t local_dev, local_ino;	/* of the local directory; 0: none */

	/* Of the thread that runs the flows. */
	struct mirror *mirror;	/* also written under `lock`: others go by
				 * session_look_at_mirror() */
	struct remote *remote;
	struct tree *tree;
	const char *mounted_at;	/* owned; NULL unless mounted */
	struct refusals *refusals;	/* NULL: none so far */
	bool keep_replaced;	/* of the flow that runs: what its batches
				 * replace is nobody's we know; it stays */
	bool allow_emptied;	/* of the flow that runs: take it as deletions
				 * that nothing is left in the sandbox */
	GHashTable *follow;	/* paths that are left out and that the next
				 * refresh looks at all the same; owned, NULL:
				 * none */

	struct mutex lock;	/* guards what follows; a leaf (RANK_LOG) */
	struct cond changed;	/* of flow_busy and mirror_lookers */
	unsigned mirror_lookers; /* until they are none it is not closed */
	struct session_progress progress;
	bool flow_busy;		/* a flow (round, refresh, restore) runs: one at
				 * a time; not a lock, so that nothing is held
				 * while the network is waited for */
	enum session_state st;
	char *mountpoint, *last_error;
	char *refused;		/* what status says of refused paths, or NULL */
	int refresh_tid;	/* 0: none */
	int64_t last_ack_ms;	/* wall clock; 0: never */
	uint64_t last_conflicts, last_held;	/* of the last restore */
	uint64_t open_conflicts, open_held;	/* of refreshes, not settled */
	struct counters counters;
	int64_t expires_ms;	/* the sandbox's end, wall clock; 0: none */
	struct uploader *uploader;
	struct fetcher *fetcher;
	struct keeper *keeper;	/* of the thread that starts and stops it */
	struct poller *poller;
};

/* --- fs/sync/session_json.c ------------------------------------------- */

/* Reads DIR/session.json. Fills name, id, spec, options, state fields. */
int session_json_load(struct session *s, GError **err);
/* Writes it by temporary name, fsync and rename. */
int session_json_save(struct session *s, GError **err);

/* --- fs/sync/flow.c --------------------------------------------------- */

/* Waits for its turn to run a flow, and gives it up. */
void session_enter_flow(struct session *s);
void session_leave_flow(struct session *s);
/* Waits for its turn at most MS; false: not entered. */
bool session_try_flow(struct session *s, int64_t ms);

/* Reports progress; cheap when nobody listens. */
void session_step(struct session *s, const char *what, uint64_t done,
	uint64_t total, bool bytes);
/* The call of a command in the sandbox: the spec's deadline, our cancel. */
struct call session_call(struct session *s);
void session_count(struct session *s, const struct counters *add);

/* --- fs/sync/session.c ------------------------------------------------ */

/* Opens directory NAME below the session's, made if it is missing; the
 * descriptor, or a negative number with *ERR. */
int session_open_subdir(struct session *s, const char *name, GError **err);
/* Whether LOCAL is a directory that we may read; *ST is its identity. */
int session_check_local(const char *local, struct stat *st, GError **err);
/* Whether a path is of a preserved name (never deleted in the sandbox). */
bool session_is_preserved(const struct session *s, const char *path);
/* The local directory, opened and checked: is it the one recorded? *REPLACED
 * says no (another inode). -1 with *ERR when it cannot be opened. */
int session_open_local(struct session *s, bool *replaced, GError **err);
/* --- fs/sync/moves.c: what the workspace moved since the baseline ------- */

/* PAIRS: paths from, to, from, to … in order. Inside the transaction that
 * acknowledges them. */
int moves_note(struct session *s, GPtrArray *pairs, GError **err);
/* Of struct reconcile_move; g_array_unref. */
GArray *moves_load(struct session *s);
/* With a new baseline, inside its transaction: an undo brings them back; when
 * all of the baseline is settled they are forgotten, after that. */
int moves_keep_for_undo(struct session *s, GError **err);
int moves_forget(struct session *s, GError **err);
/* With the baseline of before, inside its transaction. */
int moves_undone(struct session *s, GError **err);

/* A new empty directory below the session's, for staging; its descriptor, and
 * its name (g_free) in *NAME. */
int session_make_staging(struct session *s, char **name, GError **err);
void session_remove_staging(struct session *s, const char *name);
/* state_load, an empty manifest and *DAMAGED when the table is damaged. */
struct manifest *session_load_table(struct session *s, int table,
	bool *damaged);

/* The sandbox did not answer (WHY), or did: "offline" and back. Any thread. */
void session_note_failure(struct session *s, const char *what,
	const GError *why);
void session_note_success(struct session *s);
/* It answers but refuses paths (NULL: no longer): status says WHY. */
void session_note_refused(struct session *s, const GError *why);

/* Whether two manifests describe the same tree: types, contents, permission
 * bits; mtimes do not count. */
bool manifest_equal_trees(const struct manifest *a, const struct manifest *b);

/* --- fs/sync/session_start.c ------------------------------------------ */

/* An empty one of that name, nothing opened; session_close it. */
struct session *session_alloc(const char *name);

/* --- fs/sync/node_table.c --------------------------------------------- */

/* (Re)loads the node table; drops it. */
int session_reload_mirror(struct session *s, GError **err);
void session_unload_mirror(struct session *s);
/* The node table for a short look by any thread, which must be said to have
 * ended; NULL: none is loaded, and nothing to end. */
struct mirror *session_look_at_mirror(struct session *s);
void session_looked_at_mirror(struct session *s);

/* --- fs/sync/connect.c ------------------------------------------------ */

/* Remembers the last batch that is known to be done in the sandbox (tree.h),
 * for the next process of this session. After session_connect. */
int session_note_applied(struct session *s, GError **err);

/* --- fs/sync/leftovers.c ---------------------------------------------- */

/* From now on, durably, temporaries ".sandmount-<ID>-<number>.tmp" may be in the
 * mirror; ID is new, [a-z0-9]{1,32}. Inside a flow, as all here. */
int leftovers_expect(struct session *s, const char *id, GError **err);
/* They are all gone again. */
void leftovers_none(struct session *s);
/* Takes out of the mirror what a killed process left there. By who has just
 * taken the session's lock. */
int leftovers_sweep(struct session *s, GError **err);

/* --- fs/sync/extent.c ------------------------------------------------- */

/* Whether PATH is none of ours to compare, bring or delete. */
bool session_is_left_out(const struct session *s, const char *path,
	bool is_dir);
/* A batch met something else at PATH in the sandbox than was acknowledged. When
 * that is left out, the next refresh, which must be a full one, looks at it. */
void session_follow(struct session *s, const char *path);
/* manifest_equal_trees() of what is not left out. */
bool session_has_same_tree(const struct session *s, const struct manifest *a,
	const struct manifest *b);
/* What options and ignore rules make of the workspace's extent, as text that is
 * equal while that is; g_free it. */
char *extent_text(struct session *s);

/* --- fs/sync/lifetime.c ----------------------------------------------- */

/* Renews the sandbox's life once and notes its end. After session_connect. */
int lifetime_renew(struct session *s, GError **err);

/* --- fs/sync/status.c ------------------------------------------------- */

/* What session.json says, without lock, state or connection; session_close
 * it. NULL with *ERR: there is none. */
struct session *session_peek(const char *name, GError **err);

/* --- fs/sync/lasting.c ------------------------------------------------ */

/* PATHS of the mirror, contents and names, are on the disk when it returns;
 * all of the mirror when they are many or NULL. Paths that are not there are
 * fine: their being gone lasts. Before a transaction that vouches for them.
 * Blocks on the disk. */
int session_make_lasting(struct session *s, const GPtrArray *paths,
	GError **err);

/* --- fs/sync/populate.c ----------------------------------------------- */

/* Makes the mirror equal to the local directory and records both baselines.
 * The mirror must hold nothing unrestored. MIRROR: a scan of the mirror that is
 * still true, taken over in any case, or NULL. *CHANGED: whether the mirror was
 * written. */
int populate_mirror(struct session *s, struct manifest *mirror,
	struct prepare_result *r, bool *changed, GError **err);

/* --- fs/sync/acknowledge.c -------------------------------------------- */

/* Compares the sandbox (LISTING, full) with the mirror and writes the
 * acknowledged tables so that what differs is dirty and what should not be in
 * the sandbox is gone: the upload then makes it equal. */
int acknowledge_listing(struct session *s, const struct tree_listing *l,
	GError **err);
/* Forgets everything acknowledged (a new sandbox). */
int acknowledge_nothing(struct session *s, GError **err);

/* --- fs/sync/upload.c ------------------------------------------------- */

struct upload_result {
	uint64_t ops, files, bytes, wire_bytes, deleted;
	bool more;	/* dirty things remain that can be sent now */
	bool knotted;	/* renames in a circle: nothing was sent */
	bool diverged;	/* the sandbox changed paths we wanted to: refresh */
	uint64_t refused;	/* paths that it could not write */
	uint64_t replaced;	/* files, links and directories of the sandbox
				 * that were deleted or replaced */
};
/* One batch: collect, derive, send, acknowledge. Inside a flow. */
int upload_round(struct session *s, struct upload_result *r, GError **err);
/* Rounds (with refreshes where diverged) until everything up to SEQ is in the
 * sandbox. TOTAL (may be NULL) adds up. Inside a flow. FAIL_PENDING: it will
 * not be by trying on: paths keep changing, or the sandbox refuses some
 * (refusals_any). */
int upload_until(struct session *s, uint64_t seq, int64_t deadline_ns,
	struct upload_result *total, GError **err);

/* --- fs/sync/refusals.c ----------------------------------------------- */

/* Paths that the sandbox could not write or delete (permissions, a name that
 * it cannot hold, a quota), by its last batch. They stay dirty and are tried
 * again with growing pauses, a flush tries at once. All inside a flow. */

/* Takes the results of B, which was sent; returns how many it refused. */
uint64_t refusals_note(struct session *s, const struct batch *b);
/* PATH was not sent: it is longer than LIMIT, what tools there take. NULL: a
 * new round begins. */
void refusals_note_long(struct session *s, const char *path, size_t limit);
/* A large file that was refused as it is now: it is not sent again before
 * refusals_retry(). */
bool refusals_hold_back(const struct session *s, const char *path,
	const struct entry *now);
void refusals_retry(struct session *s);
bool refusals_any(const struct session *s);
/* How many paths were too long; 0 also when others were refused as well. */
uint64_t refusals_only_long(const struct session *s);
/* FAIL_PENDING naming the first path and what the sandbox's tools said. */
int refusals_fail(const struct session *s, GError **err);
void refusals_free(struct session *s);

/* --- fs/sync/uploader.c ----------------------------------------------- */

int session_start_uploader(struct session *s, GError **err);
/* Stopped it may still be woken and asked, until it is freed. */
void session_stop_uploader(struct session *s);
void session_free_uploader(struct session *s);

/* --- fs/sync/derive.c ------------------------------------------------- */

/* The batch for CHANGES; INDEX[i] (GArray of guint, one a batch op) is the
 * change an op came from. Changes without an op are either settled at once
 * (OK[i] true: nothing to send) or deferred to the next round (OK[i] false).
 * NULL when moves wait for one another in a circle: mirror_recompare(). */
struct batch *derive_batch(struct session *s,
	const struct mirror_changes *changes, uint64_t number, bool *ok,
	GArray **index);

/* --- fs/sync/assets.c ------------------------------------------------- */

int assets_send(struct session *s, struct prepare_result *r, GError **err);

/* --- fs/sync/refresh.c ------------------------------------------------ */

/* Inside a flow. */
int refresh_flow(struct session *s, GError **err);
/* The same with CALL for the listing; *CHANGED (may be NULL) says whether
 * anything came in. */
int refresh_with(struct session *s, const struct call *call, bool *changed,
	GError **err);

/* --- fs/sync/evict.c -------------------------------------------------- */

/* Keeps the mirror below --cache-limit. In a flow, right after a refresh that
 * left nothing open. */
void evict_over_limit(struct session *s);

/* --- fs/sync/poller.c ------------------------------------------------- */

/* The thread that looks for the sandbox's changes while mounted. */
int session_start_poller(struct session *s, GError **err);
/* Stopped it may still be spoken to, until it is freed. */
void session_stop_poller(struct session *s);
void session_free_poller(struct session *s);

/* --- fs/sync/fetch.c -------------------------------------------------- */

/* Makes the stubs NODES (of the mirror, which is loaded; each once) complete. Inside a
 * flow. -ESTALE without *ERR when the sandbox does not have one of them as it
 * was listed any more: a refresh will tell. */
int fetch_nodes(struct session *s, const uint64_t *nodes, size_t n,
	GError **err);
/* The same with all there are; those that cannot be had are an error at the
 * end, after the others. */
int fetch_all(struct session *s, GError **err);

/* --- fs/sync/ranges.c ------------------------------------------------- */

struct want_file;
/* Runs a job of one range, F, to its end. By a thread that fetches. */
void fetch_range(struct session *s, struct cancel *cancel,
	const struct want_file *f);

/* --- fs/sync/stubs.c -------------------------------------------------- */

/* Before BATCH (of CHANGES) is sent: fetches the stubs whose bytes go into it,
 * and those whose only bytes in the sandbox it overwrites or deletes. 1: some
 * were, and the changes' `now` is as they are now; 0: none; negative: not all
 * came, and the batch must not be sent (-ESTALE as fetch_nodes()). */
int stubs_before_batch(struct session *s, const struct mirror_changes *changes,
	const struct batch *batch, GError **err);
/* In a refresh, before anything is fetched: of CHANGED (path -> what is listed
 * there, NULL: gone) those whose bytes were never here. The stub, wherever the
 * mount's user has put it, stands for the new version or goes; the path is
 * taken out of CHANGED, and rows that are gone out of *ACK_MIRROR; what was
 * below a stub that went comes into CHANGED. Loads the mirror. */
int stubs_follow(struct session *s, struct manifest **ack_mirror,
	const struct manifest *ack_remote, GHashTable *changed, GError **err);

/* --- fs/sync/attach.c ------------------------------------------------- */

/* The sandbox's workspace as stubs: a new mirror. */
int attach_new(struct session *s, GError **err);

/* --- fs/sync/report.c ------------------------------------------------- */

int report_save(struct session *s, const struct report *r, GError **err);

#endif
