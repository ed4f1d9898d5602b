#ifndef TRANSPORT_BATCH_PLACE_H
#define TRANSPORT_BATCH_PLACE_H
/*
 * Where what a batch carries waits in the sandbox until it is put into place,
 * and how it gets there.
 *
 * Everything for one directory waits in one of ours, "t/<number>". A directory
 * that the sandbox does not have is unpacked there with all that is below it
 * and put into place by one rename: then what a batch costs there is in
 * proportion to the directories that exist, not to the files that are new.
 *
 * Made before the batch is packed, from its operations that are BATCH_TODO.
 */
#include "transport/tree.h"

enum place_kind {
	PLACE_NONE,	/* nothing is unpacked for it */
	PLACE_FILE,	/* a file or link for a directory that is there */
	PLACE_TREE,	/* a new directory with all below it */
	PLACE_INSIDE,	/* something below a PLACE_TREE */
};

struct place {
	enum place_kind kind;
	guint slot;	/* which of batch_places.dirs it waits for */
	char *staged;	/* path in the archive; owned; NULL for PLACE_NONE */
};

struct batch_places {
	GArray *places;		/* struct place, one an operation */
	GPtrArray *dirs;	/* char *, the directories; by slot */
	GHashTable *slots;	/* of dirs: path -> slot + 1 */
};

void batch_places_init(struct batch_places *p, const struct batch *b);
void batch_places_release(struct batch_places *p);

const struct place *batch_place(const struct batch_places *p, guint op);

#endif
