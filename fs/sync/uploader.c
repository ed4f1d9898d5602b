/*
 * The uploader thread of a mount: waits until something is dirty, lets a short
 * quiet time pass so that a save or an unpacked archive becomes one batch, and
 * runs rounds. When the sandbox does not answer it tries again with growing
 * pauses and the session is "offline"; nothing is ever dropped. Where it answers
 * but refuses paths, these are tried with every new batch and after growing
 * pauses, and status says so.
 */
#include "fs/sync/internal.h"

#include <errno.h>

#include "fs/mirror/mirror.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/priority.h"

#define MS INT64_C(1000000)

enum {
	QUIET_MS = 200,		/* nothing changed for this long: send */
	AGE_MS = 2000,		/* the oldest change waits at most this long */
	PAUSE_FIRST_MS = 500,	/* after a failure, doubled up to */
	PAUSE_LAST_MS = 15000,
	REFUSED_LAST_MS = 300000,	/* the same, where it refuses paths */
};

enum sent { SENT_ALL, SENT_NOT, SENT_REFUSED };

struct uploader {
	struct session *s;
	pthread_t thread;
	struct mutex lock;	/* RANK_DIRTY; guards the rest */
	struct cond wake;
	bool stop, dirty;
	int waiters;		/* flushes: do not wait for quiet */
};

void session_wake(struct session *s)
{
	struct uploader *u = __atomic_load_n(&s->uploader, __ATOMIC_ACQUIRE);

	if (!u)
		return;
	mutex_lock(&u->lock);
	if (!u->dirty) {
		u->dirty = true;
		cond_broadcast(&u->wake);
	}
	mutex_unlock(&u->lock);
}

/* Waits until there is something to send; false when told to stop. */
static bool wait_for_work(struct uploader *u)
{
	bool stop;

	mutex_lock(&u->lock);
	while (!u->dirty && !u->stop)
		cond_wait(&u->wake, &u->lock);
	u->dirty = false;
	stop = u->stop;
	mutex_unlock(&u->lock);
	return !stop;
}

/* What ends a nap early, besides being told to stop. */
enum waker { WAKE_NONE, WAKE_WAITER, WAKE_DIRTY };

static bool is_woken(const struct uploader *u, enum waker by)
{
	return u->stop || (by == WAKE_WAITER && u->waiters) ||
		(by == WAKE_DIRTY && u->dirty);
}

/* Sleeps MS milliseconds; false when woken before. */
static bool nap(struct uploader *u, int64_t ms, enum waker by)
{
	int64_t until = io_now_ns() + ms * MS;
	bool whole;

	mutex_lock(&u->lock);
	while (!is_woken(u, by) && cond_wait_until(&u->wake, &u->lock, until))
		;
	whole = !is_woken(u, by);
	mutex_unlock(&u->lock);
	return whole;
}

/* Lets changes gather: until nothing is new for a while, or they are old. */
static void gather(struct uploader *u)
{
	for (;;) {
		struct mirror_pending p;
		uint64_t seq = mirror_sequence(u->s->mirror);
		bool stop;

		nap(u, QUIET_MS, WAKE_WAITER);
		mutex_lock(&u->lock);
		stop = u->stop || u->waiters;
		mutex_unlock(&u->lock);
		mirror_pending(u->s->mirror, &p);
		if (stop || mirror_sequence(u->s->mirror) == seq ||
			(p.oldest_ns && io_now_ns() - p.oldest_ns > AGE_MS * MS))
			return;
	}
}

/* Rounds until all is sent. RETRY: large files that were refused, too. */
static enum sent send_all(struct uploader *u, bool retry)
{
	g_autoptr(GError) why = NULL;
	bool refused;
	int r;

	session_enter_flow(u->s);
	if (retry)
		refusals_retry(u->s);
	r = upload_until(u->s, mirror_sequence(u->s->mirror),
		io_now_ns() + 30000 * MS, NULL, &why);
	refused = r < 0 && why->code == FAIL_PENDING && refusals_any(u->s);
	session_leave_flow(u->s);
	if (r < 0 && why->code != FAIL_PENDING) {
		session_note_failure(u->s, "sending", why);
		return SENT_NOT;
	}
	session_note_success(u->s);
	session_note_active(u->s);
	session_note_refused(u->s, refused ? why : NULL);
	if (refused)
		return SENT_REFUSED;
	if (r < 0)
		session_wake(u->s);
	return SENT_ALL;
}

static void *run(void *arg)
{
	struct uploader *u = arg;
	int64_t pause_ms = PAUSE_FIRST_MS;
	bool retry = true;

	pthread_setname_np(pthread_self(), "uploader");
	priority_background();
	while (wait_for_work(u)) {
		enum sent sent;

		gather(u);
		sent = send_all(u, retry);
		retry = true;
		if (sent == SENT_ALL) {
			pause_ms = PAUSE_FIRST_MS;
			continue;
		}
		if (sent == SENT_NOT)
			nap(u, pause_ms, WAKE_NONE);
		else
			retry = nap(u, pause_ms, WAKE_DIRTY);
		pause_ms = MIN(pause_ms * 2, sent == SENT_NOT ? PAUSE_LAST_MS
							      : REFUSED_LAST_MS);
		session_wake(u->s);
	}
	return NULL;
}

int session_start_uploader(struct session *s, GError **err)
{
	struct uploader *u = g_new0(struct uploader, 1);
	int r;

	u->s = s;
	u->dirty = true;	/* whatever an earlier run left */
	mutex_init(&u->lock, RANK_DIRTY);
	cond_init(&u->wake);
	__atomic_store_n(&s->uploader, u, __ATOMIC_RELEASE);
	r = pthread_create(&u->thread, NULL, run, u);
	if (r == 0)
		return 0;
	u->stop = true;	/* nobody to join */
	return fail_errno(err, -r, "start the uploader thread");
}

void session_stop_uploader(struct session *s)
{
	struct uploader *u = s->uploader;

	/* Only who stops it writes it. */
	if (!u || u->stop)
		return;
	mutex_lock(&u->lock);
	u->stop = true;
	cond_broadcast(&u->wake);
	mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
}

void session_free_uploader(struct session *s)
{
	struct uploader *u = s->uploader;

	if (!u)
		return;
	session_stop_uploader(s);
	s->uploader = NULL;
	cond_destroy(&u->wake);
	mutex_destroy(&u->lock);
	g_free(u);
}

/* Tells the uploader that somebody waits (ADD 1) or no longer does (-1). */
static void add_waiter(struct session *s, int add)
{
	struct uploader *u = __atomic_load_n(&s->uploader, __ATOMIC_ACQUIRE);

	if (!u)
		return;
	mutex_lock(&u->lock);
	u->waiters += add;
	cond_broadcast(&u->wake);
	mutex_unlock(&u->lock);
}

int session_flush(struct session *s, int64_t deadline_ms, GError **err)
{
	int64_t until = deadline_ms ? io_now_ns() + deadline_ms * MS : 0;
	g_autoptr(GError) why = NULL;
	int r;

	if (session_load(s, err) < 0)
		return -EIO;
	add_waiter(s, 1);
	session_enter_flow(s);
	refusals_retry(s);
	r = upload_until(
		s, mirror_sequence(s->mirror), until, NULL, &why);
	session_leave_flow(s);
	add_waiter(s, -1);
	session_note_active(s);
	if (r == 0) {
		session_note_refused(s, NULL);
		return 0;
	}
	return fail(err, FAIL_PENDING,
		"flush: %s; what is unsent is kept in %s/mirror", why->message,
		s->dir);
}
