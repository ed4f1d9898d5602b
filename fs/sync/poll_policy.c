#include "fs/sync/poll_policy.h"

#include <glib.h>

enum { IDLE_PARTS = 10, WORK_PARTS = 2, DOUBLINGS = 10 };

int64_t poll_due(const struct poll_times *t)
{
	int64_t longest = t->longest > 0 ? t->longest : POLL_LONGEST_MS;
	int64_t quick = MIN(POLL_QUICK_MS, longest);
	int64_t wait, took = MAX(t->ended - t->began, 0);

	if (t->failures) {
		unsigned n = MIN(t->failures - 1, (unsigned)DOUBLINGS);

		return t->ended +
			MIN((int64_t)POLL_RETRY_MS << n, POLL_RETRY_LAST_MS);
	}
	/* A tenth of the time that nothing has happened. */
	wait = CLAMP((t->ended - t->active) / IDLE_PARTS, quick, longest);
	return t->ended + MAX(wait, took * WORK_PARTS);
}
