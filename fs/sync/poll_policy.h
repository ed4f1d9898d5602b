#ifndef FS_SYNC_POLL_POLICY_H
#define FS_SYNC_POLL_POLICY_H
/*
 * When to look next for the sandbox's changes: a pure function of times. Often
 * while somebody works, ever more rarely as nothing happens, never more than a
 * third of the time where one look takes long.
 */
#include <stdint.h>

enum {
	POLL_QUICK_MS = 1000,
	POLL_LONGEST_MS = 8000,	/* without --poll */
	POLL_RETRY_MS = 500,	/* after a failure, doubled up to the next */
	POLL_RETRY_LAST_MS = 8000,
	POLL_PING_MS = 8000,	/* silence of ours, after which an empty
				 * command asks whether the sandbox lives */
};

struct poll_times {	/* all of one clock, in milliseconds */
	int64_t active;	/* somebody worked here or there */
	int64_t began;	/* the last look */
	int64_t ended;
	int64_t longest; /* between two looks; 0: POLL_LONGEST_MS */
	unsigned failures;	/* looks in a row that failed */
};

/* When the next look is due. */
int64_t poll_due(const struct poll_times *t);

#endif
