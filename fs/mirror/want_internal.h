#ifndef FS_MIRROR_WANT_INTERNAL_H
#define FS_MIRROR_WANT_INTERNAL_H
/* What want.c, pick.c and fill.c share. Guarded by the tree's lock. */
#include "fs/mirror/node.h"
#include "fs/mirror/want.h"

struct wants {
	GHashTable *waits;	/* &id -> struct wait */
	GQueue over;		/* struct wait whose DONE is to be called */
	GQueue queue;		/* node ids asked for, uint64_t on the heap */
	GQueue ranges;		/* struct want_file of parts, on the heap */
	struct cond work;	/* queue, stop */
	struct cond tick;	/* waits, over, stop */
	struct cond filled;	/* a fetch or fill has ended */
	uint64_t next_id;
	bool served, stop;
	/* How much to bring unasked. */
	unsigned streak;	/* doublings */
	uint64_t brought, used;	/* neighbours since the last job */
};

/* Fetches N once more, if somebody waits for it. */
void wants_again(struct mirror *m, const struct node *n);
/* After news of P, N's part: the waits for its ranges that are here end; those
 * for missing ones end with R or, if that is 0, ask again. P NULL: all end with
 * R. */
void wants_range(struct mirror *m, const struct node *n, struct part *p, int r);
/* Adds neighbours of N to the job. */
void pick_neighbours(struct mirror *m, struct node *n, GArray *job);
/* N becomes part of the job. */
void job_add(GArray *job, struct node *n, bool asked);

#endif
