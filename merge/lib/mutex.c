#include "merge/lib/mutex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef SANDMOUNT_DEBUG
/* Mutexes this thread holds, in the order they were taken. */
enum { HELD_LIMIT = 16 };
static __thread const struct mutex *held[HELD_LIMIT];
static __thread int held_count;

static void breach(const char *what, const struct mutex *m)
{
	fprintf(stderr, "mutex: %s (rank %d, %d held)\n", what, (int)m->rank,
		held_count);
	abort();
}

static void note_lock(const struct mutex *m)
{
	for (int i = 0; i < held_count; i++)
		if (held[i]->rank >= m->rank)
			breach("taken against the order of ranks", m);
	if (held_count == HELD_LIMIT)
		breach("too many held", m);
	held[held_count++] = m;
}

static void note_unlock(const struct mutex *m)
{
	int i = held_count - 1;

	while (i >= 0 && held[i] != m)
		i--;
	if (i < 0)
		breach("unlocked by a thread that does not hold it", m);
	for (held_count--; i < held_count; i++)
		held[i] = held[i + 1];
}
#else
static void note_lock(const struct mutex *m)
{
	(void)m;
}

static void note_unlock(const struct mutex *m)
{
	(void)m;
}
#endif

/* Every failure of a pthread mutex here is a bug of the caller. */
static void must(int r)
{
	if (r != 0)
		abort();
}

void mutex_init(struct mutex *m, enum mutex_rank rank)
{
	must(pthread_mutex_init(&m->m, NULL));
	m->rank = rank;
}

void mutex_destroy(struct mutex *m)
{
	must(pthread_mutex_destroy(&m->m));
}

void mutex_lock(struct mutex *m) THREAD_ATTR(no_thread_safety_analysis)
{
	note_lock(m);
	must(pthread_mutex_lock(&m->m));
}

void mutex_unlock(struct mutex *m) THREAD_ATTR(no_thread_safety_analysis)
{
	note_unlock(m);
	must(pthread_mutex_unlock(&m->m));
}

void mutex_assert_held(const struct mutex *m)
{
#ifdef SANDMOUNT_DEBUG
	for (int i = 0; i < held_count; i++)
		if (held[i] == m)
			return;
	breach("not held where it must be", m);
#else
	(void)m;
#endif
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&c->c, &attr));
	must(pthread_condattr_destroy(&attr));
}

void cond_destroy(struct cond *c)
{
	must(pthread_cond_destroy(&c->c));
}

void cond_wait(struct cond *c, struct mutex *m)
{
	must(pthread_cond_wait(&c->c, &m->m));
}

bool cond_wait_until(struct cond *c, struct mutex *m, int64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = deadline_ns / 1000000000,
		.tv_nsec = deadline_ns % 1000000000,
	};
	int r = pthread_cond_timedwait(&c->c, &m->m, &ts);

	if (r != ETIMEDOUT)
		must(r);
	return r == 0;
}

void cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->c));
}
