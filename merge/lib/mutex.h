#ifndef MERGE_LIB_MUTEX_H
#define MERGE_LIB_MUTEX_H
/*
 * A pthread mutex with a rank. A thread may take a mutex only while all it
 * holds have lower ranks; debug builds (SANDMOUNT_DEBUG) abort on a breach and
 * on unlocking what is not held. clang checks the annotations. TSan sees plain
 * pthread calls.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __clang__
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif
#define CAPABILITY THREAD_ATTR(capability("mutex"))
#define ACQUIRES(m) THREAD_ATTR(acquire_capability(m))
#define RELEASES(m) THREAD_ATTR(release_capability(m))
#define REQUIRES(m) THREAD_ATTR(requires_capability(m))
#define EXCLUDES(m) THREAD_ATTR(locks_excluded(m))

enum mutex_rank {
	RANK_SESSION = 1,
	RANK_TREE,
	RANK_NODE,
	RANK_DIRTY,
	RANK_STATE,
	RANK_LOOP,	/* never held with another */
	RANK_LOG,
};

struct CAPABILITY mutex {
	pthread_mutex_t m;
	enum mutex_rank rank;
};

void mutex_init(struct mutex *m, enum mutex_rank rank);
void mutex_destroy(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(*m);
void mutex_unlock(struct mutex *m) RELEASES(*m);
/* In debug builds aborts unless the calling thread holds M. */
void mutex_assert_held(const struct mutex *m);

/* A condition on the monotonic clock; wait in a while loop on a predicate. */
struct cond {
	pthread_cond_t c;
};
void cond_init(struct cond *c);
void cond_destroy(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(*m);
/* False when DEADLINE_NS (io_now_ns clock) passed. */
bool cond_wait_until(struct cond *c, struct mutex *m, int64_t deadline_ns)
	REQUIRES(*m);
void cond_broadcast(struct cond *c);

#endif
