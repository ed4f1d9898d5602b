#ifndef FS_MIRROR_EVICT_H
#define FS_MIRROR_EVICT_H
/*
 * Complete files that become stubs again, so that the mirror stays below a
 * limit. Only bytes that the sandbox confirmed and that it still has, as far as
 * the rows say: the caller has just seen that they are right (a complete
 * refresh). Never what is dirty, in flight, open or special.
 *
 * The mark is on the disk before the bytes go: a kill or a power cut leaves a
 * complete file or a stub. Whoever opens one meanwhile waits and then has it
 * fetched.
 */
#include <stdint.h>

struct mirror;

/* If complete files take more than LIMIT_BYTES of disk: turns the least
 * recently opened into stubs until they take nine tenths of it, at most some
 * hundred of them. Their number (0: nothing to do, or none may go), or a
 * negative errno. Blocks on the local disk. */
int mirror_evict(struct mirror *m, uint64_t limit_bytes);

#endif
