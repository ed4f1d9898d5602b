#ifndef FS_SYNC_REFRESH_H
#define FS_SYNC_REFRESH_H
/* What the files of refresh share. Not for others. */
#include "fs/sync/internal.h"

struct refresh {
	struct session *s;
	struct tree_listing *listing;
	struct manifest *ack_mirror, *ack_remote;
	GHashTable *changed;	/* path -> remote entry, or NULL when gone */
	struct manifest *got;	/* fetched files and links */
	struct manifest *ours, *theirs;
	struct plan *plan;
	char *staging, *trash;
	char *id;		/* of temporaries in the mirror; new each time */
	bool writes_temps;	/* leftovers_expect(id) was called */
	int staging_fd, made_fd, trash_fd;
	bool vanished;		/* something was gone before it was fetched */
	bool review;		/* paths that could run programs are held */
	GPtrArray *moved;	/* paths that renames were applied to */
	GPtrArray *large;	/* listed entries that become stubs */
	struct call call;
};

/* --- refresh_changes.c: what the sandbox did ------------------------------ */

/* Fills `changed` from the listing and the acknowledged rows. */
void refresh_find_changed(struct refresh *r);
/* Fetches what changed into staging: `got`. */
int refresh_fetch(struct refresh *r, GError **err);
/* `theirs`: the acknowledged state with what changed. */
void refresh_build_theirs(struct refresh *r);
/* Bytes that a later merge may need: theirs now, ours before. */
void refresh_keep_bases(struct refresh *r);

/* --- refresh.c ---------------------------------------------------------- */

/* Before the first operation that makes a temporary file in the mirror. */
int refresh_expect_temps(struct refresh *r, GError **err);

/* --- refresh_apply.c: into the mount ---------------------------------------- */

struct apply_options;
/* Carries out the plan; O->root_fd is the mount's root. As apply_plan(). By the
 * thread that session_is_refresh_tid() tells. */
int refresh_apply_mounted(struct refresh *r, const struct apply_options *o,
	GError **err);

/* --- refresh_moves.c: what was renamed --------------------------------------- */

/* Applies the sandbox's renames to the mount, rows and all; `changed` is then
 * what remains. */
int refresh_follow_moves(struct refresh *r, GError **err);

/* --- refresh_large.c: what is not fetched at once ---------------------------- */

/* Larger files come when they are opened, or behind the refresh. */
enum { REFRESH_LARGE = 4 << 20 };

/* Takes the files that are to be stubs out of `changed`, into `large`. */
void refresh_choose_large(struct refresh *r);
/* Makes them, below ROOT (the mount's root, or the mirror's), and their rows.
 * What is in the way by now is left for the next refresh (`vanished`). */
int refresh_place_large(struct refresh *r, int root, GError **err);

/* --- refresh_ack.c: what is the same on both sides from now on ------------- */

/* Writes the acknowledged rows of what changed, and the listing's id, in one
 * transaction; what the mirror has otherwise is dirty. */
int refresh_acknowledge(struct refresh *r, GError **err);

#endif
