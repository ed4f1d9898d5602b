#ifndef FS_SYNC_CONFLICTS_H
#define FS_SYNC_CONFLICTS_H
/*
 * What a person has to look at: conflicts, of which both versions lie side by
 * side, in the workspace (a refresh left them) or in the local directory (a
 * restore did), and held paths, which the sandbox changed while the session was
 * mounted and which could run programs on this machine. Of those the mount
 * keeps its version; the sandbox's is in the session's directory, held/PATH.
 * Kept in the state database as one value; a conflict whose copy is no longer
 * there is settled. Inside a flow, all of it.
 */
#include <glib.h>
#include <stdbool.h>

struct session;
struct plan;
struct refresh;

struct conflict {
	char *path;	/* owned, as all */
	char *copy;	/* a conflict: the other version; NULL: held */
	char *kind;	/* "file" "dir" "link" */
	char *why;
	char *base;	/* digest in hex of the ancestor's bytes, or NULL */
	bool home;	/* in the local directory, not in the workspace */
	unsigned mode;	/* held: permission bits of the sandbox's version */
	bool gone;	/* held: the sandbox deleted it */
};

/* Sorted by path; g_ptr_array_unref. */
GPtrArray *conflicts_load(struct session *s);
int conflicts_store(struct session *s, GPtrArray *list, GError **err);

/* Takes note of what the plan of a refresh left beside or held; the sandbox's
 * held versions go from staging to held/. Inside the transaction that
 * acknowledges. */
int conflicts_note(struct refresh *r, GError **err);
/* The same of a restore: PLAN's copies in the local directory. Inside the
 * transaction that stores the new baseline. */
int conflicts_note_home(struct session *s, const struct plan *p, GError **err);
/* Whether the plan held PATH for review. */
bool conflicts_is_held(const struct refresh *r, const char *path);
/* Settles C, which is at home: the sandbox's version, or Q->merged, in place of
 * the local one when Q says so, and the copy to the trash; journalled like a
 * restore. FAIL_PENDING while another restore writes or was killed. */
struct resolve_request;
int conflicts_settle_home(struct session *s, const struct conflict *c,
	const struct resolve_request *q, GError **err);
/* Adds the held paths to what a restore reports. */
void conflicts_report(struct session *s, struct plan *all);

#endif
