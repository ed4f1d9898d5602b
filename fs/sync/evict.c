/* The cache limit of a mount without a local directory. */
#include "fs/sync/internal.h"

#include "fs/mirror/evict.h"
#include "fs/mirror/state.h"
#include "merge/lib/log.h"

void evict_over_limit(struct session *s)
{
	uint64_t limit = (uint64_t)s->options->cache_limit;
	int n = 0;

	/* With a local directory the mirror brings everything home, also when
	 * the sandbox is gone. */
	if (!limit || s->options->local || !s->mirror ||
		state_index_inodes(s->state, NULL) < 0)
		return;
	do {
		n = mirror_evict(s->mirror, limit);
		if (n > 0)
			log_write(LOG_DEBUG, "%d files are stubs again", n);
	} while (n > 0 && !cancel_is_raised(s->cancel));
	if (n < 0)
		log_write(LOG_WARNING, "the cache cannot be made smaller: %s",
			g_strerror(-n));
}
