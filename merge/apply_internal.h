#ifndef MERGE_APPLY_INTERNAL_H
#define MERGE_APPLY_INTERNAL_H
/* What the files of apply share. Not for others. */
#include <sys/stat.h>

#include "merge/apply.h"

/* --- apply_state.c: what is there ---------------------------------------- */

/* Whether PATH below ROOT is E: by stat identity where E has one, else by
 * digest or target. Permission bits count only for directories and when
 * WITH_MODE. */
bool is_entry(int root, const char *path, const struct entry *e,
	bool with_mode);
/* E as PATH is now (path NULL, target owned); type ABSENT if nothing is. */
int read_entry(int root, const char *path, struct entry *e);

/* --- trash.c -------------------------------------------------------------- */

/* Moves ROOT/NAME (a file, link or directory) to the trash under PATH or the
 * first free PATH.N; *WHERE is that name (g_free). By rename, else by a durable
 * copy and unlink. */
int trash_move(const struct apply_options *o, const char *name,
	const char *path, char **where);
/* As trash_move() of PATH, but PATH stays: a second link, else a copy. */
int trash_keep(const struct apply_options *o, const char *path, char **where);
/* Where E, moved as PATH by an earlier run of this merge that could not say so
 * any more, lies in the trash (g_free), or NULL. */
char *trash_find(const struct apply_options *o, const char *path,
	const struct entry *e);
/* Brings trash entry WHERE back as ROOT/TO, which must not exist. */
int trash_restore(const struct apply_options *o, const char *where,
	const char *to);

/* --- apply_op.c ------------------------------------------------------------ */

/* One operation; fills outcome, trash, now, error. -1 with *ERR when the whole
 * apply must stop. */
int apply_op(struct plan_op *op, size_t index, const struct apply_options *o,
	GError **err);
/* "<dir of path>/.sandmount-<id>-<index>.tmp"; g_free. */
char *temp_path(const struct apply_options *o, const char *path, size_t index);
/* fsync of the directory that holds PATH, unless no_sync. */
int sync_parent(const struct apply_options *o, const char *path);

/* --- resolve_copy.c, git_unit.c --------------------------------------------- */

/* Names every conflict copy so that nothing is overwritten, and drops those
 * whose bytes are there already. */
void resolve_copies(struct plan *p, const struct apply_options *o);
/* Expands PLAN_GIT operation I; new ones go to the end. */
int resolve_git(struct plan *p, size_t i, const struct apply_options *o,
	GError **err);

#endif
