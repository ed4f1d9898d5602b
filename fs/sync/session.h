#ifndef FS_SYNC_SESSION_H
#define FS_SYNC_SESSION_H
/*
 * A session: one sandbox's workspace, its mirror and (mostly) a local
 * directory, from prepare or attach to restore, across processes. Everything
 * that must survive is in its directory, STATE_HOME/sandmount/NAME/:
 * session.json, state.db, mirror/, base/, trash/, report.json, log, lock.
 *
 * One process at a time works on a session: it holds the lock (flock on
 * NAME/lock; freed by the kernel when it dies).
 *
 * Calling sequence of `mount`:
 *	session_start(spec, options)	lock, directories, identity
 *	session_prepare()		local -> mirror -> sandbox (or attach)
 *	… FUSE serves session_mirror(); uploader runs …
 *	session_finish()		flush, refresh, restore, report
 *	session_close()
 * of `restore` in a later process: session_open(), session_finish().
 *
 * Threads: a session's flows are called by one thread (or under the owner's
 * serialisation); flush, status and cancel may be called from any.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "transport/spec.h"

struct session;
struct mirror;
struct plan;
struct cancel;
struct json;

enum session_state {
	SESSION_PREPARING, SESSION_PREPARED, SESSION_MOUNTED, SESSION_OFFLINE,
	SESSION_RESTORING, SESSION_RESTORED, SESSION_FAILED, SESSION_CRASHED,
};
const char *session_state_name(enum session_state s);

struct session_options {	/* all owned; kept in session.json */
	char *local;		/* absolute path or NULL (attach) */
	char **exclude;		/* patterns, --exclude-from already read in */
	char **preserve;	/* names never deleted in the sandbox */
	char **preserve_absent; /* names never deleted locally */
	char **assets;		/* "KEY=DIR", DIR absolute */
	char **assets_follow;	/* the same, links followed */
	char *runtime_dir;	/* default ".sandmount" */
	char *on_conflict;	/* "both", "local", "sandbox" */
	bool gitignore, read_only, fsync_remote, no_restore;
	bool prefetch_all;	/* attach: every byte at once; not kept */
	int64_t cache_limit;	/* bytes of the mirror, without `local`; 0: off */
	double poll_seconds;	/* 0: default */
	int64_t timeout_ms;	/* 0: the spec's */
	int trash_days;		/* default 14 */
};
struct session_options *session_options_new(void);	/* defaults */
void session_options_free(struct session_options *o);

/* Progress of long work for a terminal; TOTAL 0: unknown; WHAT NULL: it ended. From any thread of
 * the session. */
struct session_progress {
	void (*step)(void *ctx, const char *what, uint64_t done,
		uint64_t total, bool bytes);
	void *ctx;
};

/* Absolute paths; g_free. */
char *session_state_dir(void);			/* …/sandmount */
char *session_dir(const char *name);
char *session_socket_path(const char *name);

/* Names of all sessions, sorted; g_strfreev. */
char **session_names(void);
/* NAME, or the session whose mount point is MOUNTPOINT; NULL with FAIL_USAGE
 * "no such session; `sandmount list` shows them". g_free it. */
char *session_resolve_name(const char *name_or_mountpoint, GError **err);

/*
 * Starts or takes up session NAME for SPEC. A saved one of the same sandbox and
 * local directory is reused; of another identity it is FAIL_FAILED when it has
 * unsent or unrestored work (restore or forget it first), else replaced.
 * FAIL_FAILED when another process holds it, naming the pid and what to do.
 * Checks the local directory (exists, a directory, readable).
 */
struct session *session_start(const char *name, const struct spec *spec,
	const struct session_options *o, GError **err);
/* Takes up a saved session (restore, recover, forget …). */
struct session *session_open(const char *name, GError **err);
void session_close(struct session *s);	/* frees the lock; NULL is fine */

void session_set_progress(struct session *s, const struct session_progress *p);
struct cancel *session_cancel(struct session *s);	/* borrowed */
const char *session_name(const struct session *s);
const struct spec *session_spec(const struct session *s);
const struct session_options *session_options(const struct session *s);
struct mirror *session_mirror(struct session *s);	/* after prepare */
void session_set_key(struct session *s, const char *api_key);

/*
 * Brings local directory, mirror and sandbox to one state and records the
 * baseline (first time), or takes up the work of an earlier run: when the
 * mirror or the sandbox hold anything not yet restored, the old baseline
 * stays and nothing of it is touched. Without a local directory: attach, the
 * files are stubs whose bytes are fetched when they are opened. RESULT: what CLI.md's prepare prints.
 */
struct prepare_result {
	uint64_t sent_files, sent_bytes, wire_bytes, batches, deleted;
	uint64_t fetched_files, fetched_bytes;
	uint64_t special, unreadable;
	uint64_t kept;		/* what a first prepare found in the sandbox and
				 * put aside there: session_kept_in() */
	int64_t duration_ms;
	bool resumed;
};
int session_prepare(struct session *s, struct prepare_result *r, GError **err);
/* The directory below the workspace of what was put aside; g_free it. */
char *session_kept_in(const struct session *s);
/* The prepare object of CLI.md. */
struct json *session_prepare_json(struct session *s,
	const struct prepare_result *r);

/* Loads the mirror (nodes, dirty set) without prepare. */
int session_load(struct session *s, GError **err);
/* Opens remote and tree if they are not; the error's code tells offline from
 * gone. */
int session_connect(struct session *s, GError **err);

/* The same for the thread that keeps the sandbox alive, where its life has an
 * end (fs/sync/lifetime.c). The session must be connected. */
int session_start_keeper(struct session *s, GError **err);
void session_stop_keeper(struct session *s);
/* The threads of a mount: one sends what is written, one looks for what the
 * sandbox changed: often after activity, rarely when nothing happens, and never
 * longer than options->poll_seconds apart. */
int session_start_threads(struct session *s, GError **err);
void session_stop_threads(struct session *s);
/* Somebody works: look more often for a while. */
void session_note_active(struct session *s);
/* Returns when everything written before the call is in the sandbox; with or
 * without uploader thread. FAIL_PENDING: still unsent, and why. */
int session_flush(struct session *s, int64_t deadline_ms, GError **err);
/* Wakes the uploader (mirror callback). */
void session_wake(struct session *s);

/* The threads that fetch the bytes of stubs, for a mount: after the connection
 * is there and before the mount is used; stop ends every wait with an error, so
 * before the mount's own end. */
int session_start_fetcher(struct session *s, GError **err);
void session_stop_fetcher(struct session *s);

/* Where changes of a refresh are applied while mounted: the mount point (so
 * that kernel and watchers see them); NULL: the mirror itself. TID of the thread
 * that writes is in session_refresh_tid(). */
void session_set_mounted(struct session *s, const char *mountpoint);
bool session_is_refresh_tid(struct session *s, int tid);

/* Brings the sandbox's changes into the mirror. FAIL_GONE when everything in it
 * is gone at once, unless ALLOW_DELETES. */
int session_refresh(struct session *s, bool allow_deletes, GError **err);

/* {"name","conflicts":[…],"held":[…],"roots":{"workspace","local","held",
 * "base"}}: what
 * a person has to look at (fs/sync/conflicts.h). Lines as in the restore's
 * report with "where" ("workspace", "local": the root its files are below; a
 * held path's other version is below "held") and, where it is known and still
 * there, "base", the ancestor's file below that root. */
struct json *session_conflicts_json(struct session *s);
enum conflict_take {
	TAKE_LOCAL,	/* the mount's version */
	TAKE_SANDBOX,	/* the sandbox's */
	TAKE_MERGED,	/* the mount's as it is by now: merged by hand */
};
/* What is to be settled: all whose path or copy the glob PATTERN matches, or,
 * with PATTERN NULL, the one at PATH (with COPY, NULL of a held path) at HOME or
 * in the workspace. */
struct resolve_request {
	const char *pattern;
	const char *path, *copy;
	bool home;
	enum conflict_take take;
	/* Of the one, TAKE_MERGED: a file with what takes the place of our
	 * version (NULL: ours is merged already), as long as that still has
	 * digest MERGED_OF (hex). */
	const char *merged, *merged_of;
};
/* *DONE: {"name","resolved":[…]}. FAIL_FAILED when nothing matches. */
int session_resolve(struct session *s, const struct resolve_request *q,
	struct json **done, GError **err);

struct restore_options {
	bool dry_run;		/* plan only */
	bool undo, allow_deletes;
	bool with_diff;		/* unified diffs in the report */
	/* restore -p: with dry_run, report.offer is what can be picked … */
	bool offer;
	/* … and of a later call, what was; borrowed; NULL: everything is taken. */
	const struct json *picks;
};
struct report {
	struct plan *plan;
	char *trash;		/* directory, or NULL */
	char *diff;		/* unified diffs, or NULL */
	/* {"roots":{"local","mirror","picking"},"items":[{"path","what","digest",
	 * …}]} (fs/sync/restore_pick.c), or NULL. Picks are [{"path","digest",
	 * "take":true, false or numbers of changes,"mode":true}]; an item that
	 * they do not name is held. */
	struct json *offer;
	char *note;		/* e.g. the sandbox could not be reached and the
				 * mirror is the truth; or NULL */
	uint64_t bytes_fetched;
	int64_t duration_ms;
	bool unsent;		/* something did not reach the sandbox: exit 4 */
	bool dry_run, undo;	/* what kind of restore it was */
};
void report_free(struct report *r);
struct json *report_to_json(const struct report *r);
/* The last report of session NAME (report.json), with "exit_code" and
 * "finished_ms"; NULL when there is none. json_free it. */
struct json *report_load(const char *name);
int report_exit_code(const struct report *r);

/*
 * Flush, refresh, three-way merge into the local directory, apply, new
 * baseline. Finishes an interrupted one first. With the sandbox gone or
 * silent the mirror is what is merged and the report says so. *OUT is set on
 * success (also with conflicts); report.json is written.
 */
int session_restore(struct session *s, const struct restore_options *o,
	struct report **out, GError **err);
/* Whether an undo was killed before its end; the next restore finishes it. */
bool session_is_undoing(struct session *s);
/* The end of a mount: restore unless --no-restore or no local directory, then
 * only flush. */
int session_finish(struct session *s, struct report **out, GError **err);

/* state, mountpoint, error into session.json (atomic). NULL keeps/clears as
 * named. */
int session_set_state(struct session *s, enum session_state st,
	const char *mountpoint, const char *last_error, GError **err);

/* The status object of CLI.md: of a session this process holds … */
struct json *session_status_json(struct session *s);
/* … and of one by name from its files alone (crashed is found out here: state
 * says mounted but nobody holds the lock). FAIL_USAGE: unknown. */
struct json *session_saved_status(const char *name, GError **err);

/* Waits (at most WAIT_MS) until no process holds session NAME. */
void session_wait_free(const char *name, int64_t wait_ms);

/* Whether it has a baseline: before that nobody was shown anything. */
bool session_is_prepared(struct session *s);
/* Whether anything is unsent or unrestored: *WHY (g_free) says what. */
bool session_has_work(struct session *s, char **why);
/* Removes the session's directory, and its directory in the sandbox when that
 * answers. The session must have been opened; it is closed. */
int session_forget(struct session *s, bool force, GError **err);

#endif
