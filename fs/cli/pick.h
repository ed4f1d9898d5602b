#ifndef FS_CLI_PICK_H
#define FS_CLI_PICK_H
/*
 * restore -p: asks the session what there is to be picked, asks the person, and
 * tells the session, in its own process or here. The session is not held while
 * the person thinks: what changes meanwhile is left.
 */
#include "fs/sync/session.h"

/* Returns the exit code. */
int pick_restore(const char *name, bool allow_deletes,
	const struct session_progress *progress);

/* The request between the processes. NULL: it makes no sense; json_free it. */
struct json *cli_pick_parse(const char *text);
/* What REQUEST (which must outlive them) asks for; an offer, if it is NULL. */
struct restore_options cli_pick_options(const struct json *request);

#endif
