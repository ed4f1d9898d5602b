/*
 * The threads behind a mount.
 *
 *	state of a worker	moves to
 *	LEADING			RESTING: another took the lead, once done
 *	RESTING			WATCHING: there is no watch
 *	WATCHING		LEADING: a leader is stuck, or there is none
 *
 * There is at most one watch. It looks every TICK_MS while requests come and
 * sleeps when none came for QUIET_TICKS; the next request wakes it.
 */
#include "fs/fuse/loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <glib.h>

#include "fs/fuse/caller_cpu.h"
#include "fs/fuse/internal.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/mutex.h"
#include "merge/lib/priority.h"

enum {
	TICK_MS = 5,
	QUIET_TICKS = 8,
	BUSY_TICKS = 16,	/* in a row: the leaders are not enough */
	MAX_WORKERS = 64,
};

struct worker {
	struct loop *loop;
	pthread_t thread;
	struct fuse_buf buf;	/* mem owned */
	struct caller_cpu cpu;
	_Atomic bool leads;	/* set and cleared under the loop's lock */
	_Atomic uint64_t serial; /* odd: in a request */
	uint64_t seen;		/* the watch's: serial at the last tick */
};

struct loop {
	struct fuse_session *session;	/* const */
	cpu_set_t cpus;			/* const: where we may run at all */
	unsigned max_leaders;		/* const */
	struct mutex lock;		/* RANK_LOOP; guards all below */
	struct cond changed;
	struct worker *workers[MAX_WORKERS];
	unsigned count, leaders, standing, busy_ticks;
	bool has_watch, ended;
	int error;
	_Atomic bool awake;		/* the watch looks by itself */
};

/* --- the leader ----------------------------------------------------------- */

static void wake_watch(struct loop *l)
{
	if (atomic_load(&l->awake))
		return;
	mutex_lock(&l->lock);
	atomic_store(&l->awake, true);
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

static void end_loop(struct loop *l, int error)
{
	mutex_lock(&l->lock);
	l->ended = true;
	if (error < 0 && l->error == 0)
		l->error = error;
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

/* libfuse 3.14 does not know FUSE_TMPFILE, which differs from FUSE_CREATE only
 * in that it comes with the name "/": as such it reaches op_create(). */
static void translate(struct fuse_in_header *in)
{
	if (in->opcode == FUSE_TMPFILE)
		in->opcode = FUSE_CREATE;
}

static void serve(struct worker *w)
{
	struct loop *l = w->loop;
	struct fuse_in_header *in = w->buf.mem;

	atomic_fetch_add(&w->serial, 1);
	wake_watch(l);
	translate(in);
	caller_cpu_follow(&w->cpu, (int)in->pid);
	fuse_session_process_buf(l->session, &w->buf);
	atomic_fetch_add(&w->serial, 1);
}

static void lead(struct worker *w)
{
	while (atomic_load(&w->leads)) {
		int n = fuse_session_receive_buf(w->loop->session, &w->buf);

		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0) {
			end_loop(w->loop, n);
			return;
		}
		serve(w);
	}
}

/* --- the watch ------------------------------------------------------------- */

static void *run_worker(void *arg);

static void set_leading(struct loop *l, struct worker *w, bool leads)
	REQUIRES(l->lock)
{
	l->leaders = leads ? l->leaders + 1 : l->leaders - 1;
	atomic_store(&w->leads, leads);
}

/* What a look at the leaders says. */
struct look {
	struct worker *stuck;	/* in the same request as at the last look */
	bool moved, busy;
};

static struct look look_at_leaders(struct loop *l) REQUIRES(l->lock)
{
	struct look k = { .busy = true };

	for (unsigned i = 0; i < l->count; i++) {
		struct worker *w = l->workers[i];
		uint64_t serial = atomic_load(&w->serial);

		if (!atomic_load(&w->leads))
			continue;
		k.busy &= serial & 1;
		if (serial != w->seen)
			k.moved = true;
		else if (serial & 1)
			k.stuck = w;
		w->seen = serial;
	}
	return k;
}

/* Lets the watch sleep unless a request has come just now. */
static void sleep_if_quiet(struct loop *l, int quiet) REQUIRES(l->lock)
{
	if (quiet < QUIET_TICKS)
		return;
	atomic_store(&l->awake, false);
	if (look_at_leaders(l).moved)
		atomic_store(&l->awake, true);
}

/* Returns when the caller has the lead or the loop has ended. */
static void watch(struct loop *l, struct worker *w) REQUIRES(l->lock)
{
	int quiet = 0;

	while (!l->ended && l->leaders > 0) {
		struct look k;

		if (atomic_load(&l->awake)) {
			cond_wait_until(&l->changed, &l->lock,
				io_now_ns() + TICK_MS * INT64_C(1000000));
		} else {
			cond_wait(&l->changed, &l->lock);
			quiet = 0;
		}
		k = look_at_leaders(l);
		if (k.stuck) {
			set_leading(l, k.stuck, false);
			break;
		}
		l->busy_ticks = k.busy ? l->busy_ticks + 1 : 0;
		if (l->busy_ticks >= BUSY_TICKS &&
			l->leaders < l->max_leaders) {
			l->busy_ticks = 0;
			break;
		}
		quiet = k.moved ? 0 : quiet + 1;
		sleep_if_quiet(l, quiet);
	}
	if (!l->ended)
		set_leading(l, w, true);
}

/* A worker that does not lead: rests until there is no watch, then is it. */
static void stand_by(struct worker *w)
{
	struct loop *l = w->loop;

	mutex_lock(&l->lock);
	l->standing++;
	while (!l->ended && l->has_watch)
		cond_wait(&l->changed, &l->lock);
	l->has_watch = true;
	if (!l->ended)
		watch(l, w);
	l->has_watch = false;
	l->standing--;
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

/* --- the workers ------------------------------------------------------------ */

static struct worker *new_worker(struct loop *l) REQUIRES(l->lock)
{
	struct worker *w = g_new0(struct worker, 1);

	w->loop = l;
	caller_cpu_init(&w->cpu, &l->cpus);
	l->workers[l->count++] = w;
	return w;
}

/* A new leader leaves a watch behind. */
static void ensure_watch(struct loop *l)
{
	mutex_lock(&l->lock);
	if (!l->ended && l->standing == 0 && l->count < MAX_WORKERS) {
		struct worker *w = new_worker(l);
		int r = pthread_create(&w->thread, NULL, run_worker, w);

		if (r != 0) {
			log_write(LOG_WARNING, "a thread for the mount: %s",
				g_strerror(r));
			g_free(w);
			l->count--;
		}
	}
	mutex_unlock(&l->lock);
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	struct loop *l = w->loop;
	bool ended = false;

	pthread_setname_np(pthread_self(), "fuse");
	priority_answer();
	caller_cpu_release(&w->cpu);
	while (!ended) {
		if (atomic_load(&w->leads)) {
			ensure_watch(l);
			lead(w);
		} else {
			stand_by(w);
		}
		mutex_lock(&l->lock);
		ended = l->ended;
		mutex_unlock(&l->lock);
	}
	return NULL;
}

static unsigned leaders_for(const cpu_set_t *cpus)
{
	return (unsigned)CLAMP(CPU_COUNT(cpus) / 2, 1, 8);
}

int loop_run(struct fuse_session *session)
{
	struct loop l = { .session = session };
	struct worker *first;

	if (sched_getaffinity(0, sizeof(l.cpus), &l.cpus) < 0)
		CPU_ZERO(&l.cpus);
	l.max_leaders = leaders_for(&l.cpus);
	mutex_init(&l.lock, RANK_LOOP);
	cond_init(&l.changed);
	mutex_lock(&l.lock);
	first = new_worker(&l);
	set_leading(&l, first, true);
	mutex_unlock(&l.lock);
	run_worker(first);
	for (unsigned i = 1; i < l.count; i++)
		pthread_join(l.workers[i]->thread, NULL);
	for (unsigned i = 0; i < l.count; i++) {
		free(l.workers[i]->buf.mem);
		g_free(l.workers[i]);
	}
	/* This thread goes on with other work. */
	if (CPU_COUNT(&l.cpus))
		sched_setaffinity(0, sizeof(l.cpus), &l.cpus);
	cond_destroy(&l.changed);
	mutex_destroy(&l.lock);
	return l.error;
}
