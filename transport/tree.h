#ifndef TRANSPORT_TREE_H
#define TRANSPORT_TREE_H
/*
 * The workspace of a sandbox as a tree: list it, fetch from it, apply batches
 * to it, in POSIX sh + tar + find on the other side, for GNU, busybox and
 * toybox userlands alike. Written once for all providers.
 *
 * In the sandbox, below the workspace, RUNTIME/.session-<id>/ (mode 0700) is
 * ours: the generation mark, staging, the last listings, the last batch's
 * number and result, and what batches replaced until the next one. RUNTIME
 * itself holds a .gitignore of "*". RUNTIME is never part of the content.
 *
 * One tree is used by one thread at a time for tree_apply; listing and
 * fetching may run beside it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "merge/manifest.h"
#include "transport/remote.h"

struct tree;
struct exclude;

struct tree_config {
	const char *session_id;	 /* [a-f0-9]{16} */
	const char *runtime_dir; /* one path component, default ".sandmount" */
	bool create;	/* make the workspace directory and the mark if missing;
			 * else a missing one is FAIL_GONE */
	/* The last batch that is known to be done there, 0: none. A workspace
	 * that has only done earlier ones is an older state of itself: as a
	 * missing one, also for every later call. */
	uint64_t applied;
};

/* Probes the userland in one command: sh, tar, find, stat or a find with
 * -printf, sha256sum; a lacking essential is FAIL_REMOTE naming it and the
 * sandbox. The remote is borrowed until tree_close. */
struct tree *tree_open(struct remote *r, const struct tree_config *c,
	const struct call *call, GError **err);
void tree_close(struct tree *t);

/* Where the workspace and our runtime directory are in the sandbox (absolute;
 * borrowed). */
const char *tree_root(const struct tree *t);
/* True when the mark was made by this open (a new, emptied or replaced
 * workspace): whatever was acknowledged before is void. */
bool tree_is_fresh(const struct tree *t);
/* The last batch that is known to be done there; 0: none. */
uint64_t tree_applied(const struct tree *t);
/* "GNU tar 1.34, findutils" …, for doctor and logs; borrowed. */
const char *tree_userland(const struct tree *t);
/* The longest path, in bytes, that the sandbox's tools can be told of: one
 * system call takes PATH_MAX there, our staging directory included. */
size_t tree_path_limit(const struct tree *t);
/* Whether the sandbox keeps and tells sub-second mtimes. */
bool tree_has_subsecond(const struct tree *t);

/* --- listing -------------------------------------------------------- */

struct tree_listing {
	/* Entries with mode, size, mtime, ctime, ino as the sandbox has them,
	 * link targets, no digests. All of the tree when full, else only what
	 * is new or other than in the listing SINCE. */
	struct manifest *entries;
	GPtrArray *gone;  /* char *: in SINCE, no longer there; delta only */
	bool full;
	char *id;	  /* to be given as SINCE next time; SINCE itself when
			   * nothing differs (and it was no full one) */
	uint64_t bytes;	  /* that travelled */
};
void tree_listing_free(struct tree_listing *l);

/*
 * SINCE: id of an earlier listing of this session, or NULL. The sandbox keeps
 * that and the newest listing, and answers with the difference when it still
 * has it and can compare (output proportional to the changes), else in full.
 * A listing is counted and ended by a marker: a partial one is FAIL_PROTOCOL
 * or FAIL_UNKNOWN, never "absent". Directories that could not be read come
 * with ENTRY_UNREADABLE. While it works the sandbox prints a sign of life every
 * 3 s, for call->stall_ms. Nothing changed: one short command, a short answer.
 * The generation mark is verified in the same command:
 * FAIL_GONE when it is missing or another. The runtime directory and what
 * EXCLUDE (may be NULL) matches are left out.
 */
int tree_list(struct tree *t, const char *since, const struct exclude *exclude,
	const struct call *call, struct tree_listing **out, GError **err);

/* Whether the sandbox answers and the generation mark is ours (FAIL_GONE). */
int tree_check(struct tree *t, const struct call *call, GError **err);

/* SHA-256 of files as they are there now. PATHS of char *; OUT[i] is zero and
 * HASHED[i] false for what is missing or no file. FAIL_REMOTE when the sandbox
 * has no sha256sum. */
int tree_hash(struct tree *t, const GPtrArray *paths, const struct call *call,
	struct digest *out, bool *hashed, GError **err);

/* --- fetching ------------------------------------------------------- */

struct tree_progress {
	void (*received)(void *ctx, uint64_t bytes);	/* more of them */
	void *ctx;
};
/* Fetches files and links at PATHS (char *; directories are not descended)
 * into the empty directory STAGING_FD at the same relative paths. GOT as
 * tar_extract(); paths that vanished meanwhile are simply not in it. PROGRESS
 * may be NULL; it counts the archive's bytes. */
int tree_fetch(struct tree *t, const GPtrArray *paths, int staging_fd,
	const struct call *call, const struct tree_progress *progress,
	struct manifest **got, GError **err);

/* The same with proof, for bytes that are shown as a file that was listed
 * before: `files` holds only regular files that the sandbox's own stat says
 * did not change while they were read, as that stat describes them (ino, ctime
 * and all) with the digest of the bytes staged; `seen` is what it said of PATHS
 * afterwards: a path without entry is not there. */
struct tree_filled {
	struct manifest *files, *seen;	/* owned by the caller on success */
};
/* PROGRESS may be NULL. */
int tree_fill(struct tree *t, const GPtrArray *paths, int staging_fd,
	const struct call *call, const struct tree_progress *progress,
	struct tree_filled *out, GError **err);

/* Whether the sandbox can send a part of a file. */
bool tree_has_ranges(const struct tree *t);
/* Whether it can tell a digest without sending the bytes. */
bool tree_has_digests(const struct tree *t);

enum { TREE_RANGE_UNIT = 1 << 20 };

struct tree_range {
	uint64_t off, len;	/* OFF a multiple of TREE_RANGE_UNIT; OFF + LEN
				 * too, or the end of the file */
	int fd;			/* written at OFF; borrowed */
	/* Results. */
	struct entry seen;	/* what is at PATH; ENTRY_ABSENT: nothing that
				 * can be looked at. No path, no target */
	bool proven;		/* all LEN bytes are in FD, of a file that was
				 * the same (SEEN) before and after they were
				 * read; else what is in FD there is worthless */
};
/* Fetches a part of the file at PATH. PROGRESS may be NULL. */
int tree_range(struct tree *t, const char *path, struct tree_range *range,
	const struct call *call, const struct tree_progress *progress,
	GError **err);

/* --- batches -------------------------------------------------------- */

enum batch_kind {
	BATCH_MOVE,	/* path -> to, with all below it */
	BATCH_DELETE,	/* a file, a link, or a directory that is then empty */
	BATCH_PUT,	/* file or link: create or replace */
	BATCH_MKDIR,	/* directory with mode (also: only the mode changed) */
	BATCH_CHMOD,	/* file: only the mode changed */
};

struct batch_op {
	enum batch_kind kind;
	char *path;	      /* owned, as `to` */
	char *to;	      /* BATCH_MOVE */
	struct entry entry;   /* PUT, MKDIR, CHMOD: what is to be there; target
			       * owned */
	struct entry expect;  /* what we last saw there (remote identity: type,
			       * mode, size, mtime, ctime, ino); ENTRY_ABSENT:
			       * nothing was there. For MOVE: at path */
	bool expect_any;      /* prepare: whatever is there is replaced; the old
			       * version stays in the session directory */
	/* Results. */
	enum {
		BATCH_TODO, BATCH_DONE, BATCH_DIVERGED, BATCH_SKIPPED,
		BATCH_REFUSED,	/* the sandbox could not: it has what it had */
	} result;
	struct entry remote;  /* what the sandbox has there now (at `to` for a
			       * MOVE); path NULL, target owned */
};

struct batch {
	uint64_t number;      /* > 0, rising; the same number again is a replay */
	GPtrArray *ops;	      /* struct batch_op, owned. Order of effect:
			       * moves and new directories in the order given,
			       * modes of directories that are opened, deletes
			       * (files and links first), puts, other modes.
			       * New directories that nothing else concerns
			       * come with the puts, whole */
	/* Opens the bytes of a PUT file for reading; called while streaming.
	 * -1 with negative errno in *REASON: the op is skipped. */
	int (*open)(void *ctx, const struct batch_op *op, int *reason);
	/* Asked after a file was streamed: false when it changed meanwhile;
	 * then it is not published and the op is BATCH_SKIPPED. May be NULL. */
	bool (*still_same)(void *ctx, const struct batch_op *op);
	void (*progress)(void *ctx, uint64_t bytes);	/* may be NULL */
	void *ctx;
	bool keep;	      /* what this replaces or deletes is kept in the
			       * sandbox, in RUNTIME/replaced-ID/NUMBER, from
			       * the next batch on or the session's removal */
	char *refusal;	      /* result: the beginning of what the sandbox's
			       * tools said where an op is BATCH_REFUSED, fit
			       * to be shown; NULL when they said nothing */
};
struct batch *batch_new(uint64_t number);
struct batch_op *batch_add(struct batch *b, enum batch_kind kind,
	const char *path);
void batch_free(struct batch *b);

struct batch_stats {
	uint64_t files, bytes, wire_bytes;
};

/*
 * Sends B as one tar stream, applied by one command: check every path against
 * `expect` (those that differ come back BATCH_DIVERGED, with `remote` telling
 * what is there, and are not touched; the others are applied), unpack beside,
 * keep what is replaced or deleted as hard links or moves in the session
 * directory until the next batch, rename into place, read back. Files are
 * published only when their bytes arrived whole and still_same() agreed; a
 * digest of what was sent is put into op->entry (ENTRY_HASHED). A replay of a
 * number that was applied changes nothing and gives the same results; one of a
 * number that was cut while it was applied goes on with what the sandbox has
 * staged of it, and touches nothing that was put into place before. A path
 * below what has become a link there comes back BATCH_DIVERGED.
 * After FAIL_UNKNOWN, FAIL_DEADLINE or FAIL_UNAVAILABLE call again with the
 * same batch.
 */
int tree_apply(struct tree *t, struct batch *b, const struct call *call,
	struct batch_stats *stats, GError **err);

/* Removes our session directory from the sandbox (forget). */
int tree_remove_session(struct tree *t, const struct call *call, GError **err);

#endif
