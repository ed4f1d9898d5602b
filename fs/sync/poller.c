/*
 * The poller thread of a mount: looks for the sandbox's changes by a refresh,
 * when the policy (poll_policy.h) says so. One look that finds nothing is one
 * command with an answer of a few bytes.
 *
 * It also tells whether the sandbox lives. A listing prints something every few
 * seconds while it works, so that silence means silence; where a flow keeps the
 * session busy, or looks are far apart, an empty command asks instead.
 */
#include "fs/sync/internal.h"

#include <errno.h>

#include "fs/sync/poll_policy.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/priority.h"

#define MS INT64_C(1000000)

enum { SILENCE_MS = 10000, TURN_MS = 2000 };

struct poller {
	struct session *s;
	pthread_t thread;
	struct cancel *cancel;
	struct mutex lock;	/* RANK_DIRTY; guards the rest */
	struct cond wake;
	bool stop;
	struct poll_times times;
	int64_t contact;	/* the sandbox last answered or was asked */
};

static int64_t now_ms(void)
{
	return io_now_ns() / MS;
}

void session_note_active(struct session *s)
{
	struct poller *p = __atomic_load_n(&s->poller, __ATOMIC_ACQUIRE);

	if (!p)
		return;
	mutex_lock(&p->lock);
	p->times.active = now_ms();
	cond_broadcast(&p->wake);
	mutex_unlock(&p->lock);
}

/* What is to be done next, once it is due. */
enum todo { TODO_STOP, TODO_LOOK, TODO_PING };

static enum todo wait_for_work(struct poller *p)
{
	enum todo todo = TODO_STOP;

	mutex_lock(&p->lock);
	while (!p->stop) {
		int64_t due = poll_due(&p->times);
		int64_t ping = p->contact + POLL_PING_MS;
		int64_t next = MIN(due, ping);

		if (next <= now_ms()) {
			todo = due <= ping ? TODO_LOOK : TODO_PING;
			break;
		}
		cond_wait_until(&p->wake, &p->lock, next * MS);
	}
	mutex_unlock(&p->lock);
	return todo;
}

/* Whether an error says that the sandbox is not there, rather than that
 * something here or in the workspace stands in the way. */
static bool is_absence(const GError *why)
{
	return why->domain == FAIL &&
		(why->code == FAIL_UNAVAILABLE || why->code == FAIL_UNKNOWN ||
			why->code == FAIL_GONE || why->code == FAIL_DEADLINE ||
			why->code == FAIL_PROTOCOL);
}

static void conclude(struct poller *p, int r, const GError *why)
{
	if (r == 0)
		session_note_success(p->s);
	else if (p->cancel && cancel_is_raised(p->cancel))
		return;
	else if (is_absence(why))
		session_note_failure(p->s, "looking for changes", why);
	else
		log_write(LOG_WARNING, "looking for changes: %s",
			why->message);
}

static int ping(struct poller *p, GError **err)
{
	struct call call = {
		.deadline_ms = SILENCE_MS, .cancel = p->cancel,
	};

	return p->s->tree ? tree_check(p->s->tree, &call, err) : 0;
}

/* One look, or a ping where the session is busy. *CHANGED: something came. */
static int look(struct poller *p, bool *changed, bool *looked, GError **err)
{
	struct call call = session_call(p->s);
	int r;

	*looked = session_try_flow(p->s, TURN_MS);
	if (!*looked)
		return ping(p, err);
	call.stall_ms = SILENCE_MS;
	call.cancel = p->cancel;
	r = refresh_with(p->s, &call, changed, err);
	session_leave_flow(p->s);
	return r;
}

static void note(struct poller *p, int64_t began, bool looked, bool changed,
	bool failed)
{
	mutex_lock(&p->lock);
	p->contact = now_ms();
	/* A busy session is looked at when it has time. */
	p->times.began = looked ? began : now_ms();
	p->times.ended = now_ms();
	p->times.failures = failed ? p->times.failures + 1 : 0;
	if (changed)
		p->times.active = now_ms();
	mutex_unlock(&p->lock);
}

static void *run(void *arg)
{
	struct poller *p = arg;
	enum todo todo;

	pthread_setname_np(pthread_self(), "poller");
	priority_background();
	while ((todo = wait_for_work(p)) != TODO_STOP) {
		g_autoptr(GError) why = NULL;
		bool changed = false, looked = false;
		int64_t began = now_ms();
		int r = todo == TODO_LOOK ? look(p, &changed, &looked, &why)
					  : ping(p, &why);

		conclude(p, r, why);
		if (todo == TODO_LOOK) {
			note(p, began, looked, changed, r < 0);
			continue;
		}
		mutex_lock(&p->lock);
		p->contact = now_ms();
		p->times.failures = r < 0 ? p->times.failures + 1 : 0;
		mutex_unlock(&p->lock);
	}
	return NULL;
}

int session_start_poller(struct session *s, GError **err)
{
	struct poller *p = g_new0(struct poller, 1);
	int r;

	p->s = s;
	p->cancel = cancel_new();
	mutex_init(&p->lock, RANK_DIRTY);
	cond_init(&p->wake);
	p->contact = now_ms();
	p->times = (struct poll_times){
		.active = p->contact, .began = p->contact, .ended = p->contact,
		.longest = (int64_t)(s->options->poll_seconds * 1000),
	};
	r = pthread_create(&p->thread, NULL, run, p);
	if (r == 0) {
		__atomic_store_n(&s->poller, p, __ATOMIC_RELEASE);
		return 0;
	}
	cancel_free(p->cancel);
	g_free(p);
	return fail_errno(err, -r, "start the poller thread");
}

void session_stop_poller(struct session *s)
{
	struct poller *p = s->poller;

	if (!p || p->stop)
		return;
	mutex_lock(&p->lock);
	p->stop = true;
	cond_broadcast(&p->wake);
	mutex_unlock(&p->lock);
	cancel_raise(p->cancel);
	pthread_join(p->thread, NULL);
}

void session_free_poller(struct session *s)
{
	struct poller *p = s->poller;

	if (!p)
		return;
	session_stop_poller(s);
	cancel_free(p->cancel);
	cond_destroy(&p->wake);
	mutex_destroy(&p->lock);
	g_free(p);
	s->poller = NULL;
}
