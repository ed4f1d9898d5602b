#ifndef MERGE_APPLY_H
#define MERGE_APPLY_H
/*
 * Carry out a plan below a directory: the only code that writes into the
 * user's directory, always through merge/lib/beneath.h.
 *
 * Calling sequence:
 *	plan = reconcile(&input);
 *	resolve_plan(plan, &options, &err);	 text merges, .git, sizes
 *	save the plan durably (state database)
 *	apply_plan(plan, &options, &err);	 also to resume after a crash
 *
 * An operation: a temporary file in the target's directory with bytes, mode
 * and mtime set and fsynced; the target compared again with op->before through
 * its held directory descriptor; exchange (renameat2 RENAME_EXCHANGE, or a
 * NOREPLACE rename when nothing was there); the old version moved to the trash
 * (rename, else copy + fsync + unlink); directories fsynced. The temporary name
 * is ".sandmount-<id>-<index>.tmp", so that a resumed apply finds what a
 * killed one left. A target that already is op->after counts as done; one that
 * is neither is PLAN_CHANGED and untouched. Running a finished plan again
 * changes nothing. When killed between exchange and trash, the next apply_plan
 * moves the old version there.
 *
 * File systems without RENAME_EXCHANGE (EINVAL): the old version is hard-linked
 * or copied into the trash first, then replaced by rename.
 *
 * Not thread-safe for one plan; blocks on the disk and on content->open.
 */
#include <glib.h>
#include <stdint.h>

#include "merge/manifest.h"
#include "merge/plan.h"

/* Where bytes come from. */
struct content {
	/* A readable descriptor (the caller closes it) of their version at
	 * PATH, which should be WANT. -1 with *ERR otherwise. */
	int (*open_theirs)(void *ctx, const char *path,
		const struct entry *want, GError **err);
	/* A readable descriptor of the ancestor's bytes, -ENOENT when they are
	 * not kept (then texts are not merged). Never sets an error. */
	int (*open_base)(void *ctx, const struct digest *digest);
	void *ctx;
};

struct apply_options {
	int root_fd;	/* our side; borrowed, as all descriptors here */
	int trash_fd;	/* this merge's own trash directory */
	int staging_fd; /* merged texts and other made-up files */
	const char *id; /* [a-z0-9-]{1,32}: names temporaries */
	const char *name;	/* the session's */
	const struct content *content;
	/* For resolve_plan() with a PLAN_GIT in it: both sides as reconciled. */
	const struct manifest *ours, *theirs;
	unsigned name_max;	/* as reconcile was told */
	const volatile int *cancel;	/* may be NULL */
	/* Called after each operation with its index, before the next begins,
	 * so that the outcome (outcome, trash, now) can be kept; may be NULL.
	 * Non-zero stops with that error. */
	int (*mark)(void *ctx, const struct plan *p, size_t index,
		GError **err);
	void (*progress)(void *ctx, size_t done, size_t total);	/* or NULL */
	void *ctx;
	bool no_sync;	/* tests and refresh: no fsync */
};

enum { TEXT_MERGE_LIMIT = 4 << 20 };

/* Settles PLAN_MERGE (merge/git_text.c) and PLAN_GIT (merge/git_unit.c):
 * merged bytes go to staging, texts that do not merge become conflict copies;
 * a conflict copy whose bytes already exist under a copy's name is dropped to a
 * report. Reads our side and content; writes only in staging. */
int resolve_plan(struct plan *p, const struct apply_options *o, GError **err);

/* 0 when every operation was tried (look at outcomes); -1 with *ERR when it
 * had to stop (cancel, mark failed, trash or root unusable): call again to go
 * on. */
int apply_plan(struct plan *p, const struct apply_options *o, GError **err);

/* Undo of an applied plan, last operation first: each path that is still as
 * op->now says gets its `before` back from the trash; others are held. One that
 * was killed is finished by another call with the same plan. RESULT
 * (caller's) lists what was done: PLAN_APPLIED and PLAN_HELD operations, which
 * need no further apply. */
int undo_plan(const struct plan *p, const struct apply_options *o,
	struct plan **result, GError **err);

#endif
