/*
 * Sandboxes that end by themselves: the keeper thread of a mount renews the
 * life long before its end, and says loudly when it cannot. Commands renew it,
 * too; the keeper is for the time when nobody does anything.
 */
#include "fs/sync/internal.h"

#include <errno.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"

#define MS INT64_C(1000000)

enum {
	LONGEST_MS = 60000,	/* between renewals */
	SHORTEST_MS = 200,
	RETRY_FIRST_MS = 1000,	/* after a failure, doubled up to */
	RETRY_LAST_MS = 15000,
	RENEW_MS = 75000,	/* deadline of one renewal: a control plane's own
				 * limit is 70 s */
};

struct keeper {
	struct session *s;
	struct cancel *stop;
	pthread_t thread;
	struct mutex lock;	/* RANK_DIRTY; guards stopping */
	struct cond wake;
	bool stopping;
};

static int renew(struct session *s, struct cancel *cancel, GError **err)
{
	struct call call = { .deadline_ms = RENEW_MS, .cancel = cancel };
	int64_t expires_ms;

	if (remote_renew(s->remote, &call, &expires_ms, err) < 0)
		return -EIO;
	mutex_lock(&s->lock);
	s->expires_ms = expires_ms;
	mutex_unlock(&s->lock);
	return 0;
}

int lifetime_renew(struct session *s, GError **err)
{
	return renew(s, s->cancel, err);
}

static int64_t left_ms(struct session *s)
{
	int64_t left;

	mutex_lock(&s->lock);
	left = s->expires_ms - io_wall_ns() / MS;
	mutex_unlock(&s->lock);
	return left;
}

/* A person must act: in the log, and in the status. */
static void tell(struct session *s, const GError *why)
{
	int64_t left = MAX(left_ms(s), 0) / 1000;
	g_autofree char *text = g_strdup_printf(
		"the sandbox's life cannot be renewed, it has %" G_GINT64_FORMAT
		" s left: %s", left, why->message);
	bool is_gone = why->code == FAIL_GONE;

	log_write(LOG_ERROR, "%s", text);
	if (s->st == SESSION_MOUNTED || s->st == SESSION_OFFLINE)
		session_set_state(s,
			is_gone ? SESSION_OFFLINE : s->st, NULL, text, NULL);
}

static void tell_end_of_trouble(struct session *s)
{
	log_write(LOG_INFO, "the sandbox's life is renewed again");
	if (s->st == SESSION_MOUNTED)
		session_set_state(s, SESSION_MOUNTED, NULL, NULL, NULL);
}

static bool nap(struct keeper *k, int64_t ms)
{
	int64_t until = io_now_ns() + ms * MS;
	bool stopping;

	mutex_lock(&k->lock);
	while (!k->stopping && cond_wait_until(&k->wake, &k->lock, until))
		;
	stopping = k->stopping;
	mutex_unlock(&k->lock);
	return !stopping;
}

static void *run(void *arg)
{
	struct keeper *k = arg;
	int64_t retry_ms = 0;

	pthread_setname_np(pthread_self(), "keeper");
	for (;;) {
		g_autoptr(GError) why = NULL;
		int64_t wait = CLAMP(left_ms(k->s) / 3, (int64_t)SHORTEST_MS,
			(int64_t)LONGEST_MS);

		if (!nap(k, retry_ms ? MIN(retry_ms, wait) : wait))
			return NULL;
		if (renew(k->s, k->stop, &why) == 0) {
			if (retry_ms)
				tell_end_of_trouble(k->s);
			retry_ms = 0;
			continue;
		}
		if (why->code == FAIL_CANCELLED)
			return NULL;
		if (retry_ms == 0 || why->code == FAIL_GONE)
			tell(k->s, why);
		if (why->code == FAIL_GONE)
			return NULL;
		retry_ms = retry_ms ? MIN(retry_ms * 2, RETRY_LAST_MS)
				    : RETRY_FIRST_MS;
	}
}

int session_start_keeper(struct session *s, GError **err)
{
	struct keeper *k;
	int r;

	/* No connection, or a life without an end: nothing to keep. */
	if (!s->remote || s->expires_ms == 0)
		return 0;
	k = g_new0(struct keeper, 1);
	k->s = s;
	k->stop = cancel_new();
	mutex_init(&k->lock, RANK_DIRTY);
	cond_init(&k->wake);
	r = pthread_create(&k->thread, NULL, run, k);
	if (r == 0) {
		s->keeper = k;
		return 0;
	}
	cancel_free(k->stop);
	g_free(k);
	return fail_errno(err, -r, "start the keeper thread");
}

void session_stop_keeper(struct session *s)
{
	struct keeper *k = s->keeper;

	if (!k)
		return;
	cancel_raise(k->stop);
	mutex_lock(&k->lock);
	k->stopping = true;
	cond_broadcast(&k->wake);
	mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	s->keeper = NULL;
	cond_destroy(&k->wake);
	mutex_destroy(&k->lock);
	cancel_free(k->stop);
	g_free(k);
}
