#ifndef TRANSPORT_BATCH_SCRIPT_H
#define TRANSPORT_BATCH_SCRIPT_H
/*
 * The control files of a batch (transport/apply.sh says what each is), made
 * from those of its operations that are BATCH_TODO.
 */
#include "transport/batch_place.h"
#include "transport/tree.h"

struct batch_script {
	GString *commands;	/* c/do */
	GString *files, *want_files;
	GString *dirs, *want_dirs;
	GString *below;		/* c/below: what is new because its directory
				 * is, looked at only when something differs */
	GString *parents;	/* c/parents: what must not have become links */
	GString *touched;
};

/* P: made of the same operations before they were packed. */
void batch_script_init(struct batch_script *s, const struct batch *b,
	const struct batch_places *p);
void batch_script_release(struct batch_script *s);

/* Where PATH, as operations after the first LIMIT ones name it, is before the
 * batch's moves are made; g_free it. */
char *batch_before_moves(const struct batch *b, const char *path, guint limit);

#endif
