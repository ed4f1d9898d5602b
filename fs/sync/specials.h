#ifndef FS_SYNC_SPECIALS_H
#define FS_SYNC_SPECIALS_H
/*
 * Special files in the sandbox (FIFOs, sockets, devices): they never travel, but
 * a restore lists them, and what stands at such a path at home is kept
 * (MERGE.md, row 56). Their paths are one value of the state database. Inside a
 * flow, all of it.
 */
#include <glib.h>

struct manifest;
struct session;
struct tree_listing;

/* Brings the stored paths up to date with what L tells; the same listing again
 * changes nothing. At most 4096 are kept. */
int specials_note(struct session *s, const struct tree_listing *l,
	GError **err);
/* THEIRS (sorted; replaced by a new one) with the special files in it, where it
 * has nothing else. */
void specials_add(struct session *s, struct manifest **theirs);

#endif
