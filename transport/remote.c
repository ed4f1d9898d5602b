#include "transport/remote.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/mutex.h"
#include "merge/lib/path.h"
#include "transport/frame.h"
#include "transport/provider.h"
#include "transport/reap.sh.h"

#define MS INT64_C(1000000)

enum {
	STDERR_KEPT = 4096,
	REAP_MS = 4000,		/* to end what a call left running */
	SLOT_CHECK_MS = 50,	/* a waiter looks whether it was cancelled */
	/* "No deadline" for a person's command: as many milliseconds as any
	 * library's int holds. */
	EXEC_DEADLINE_MS = 24 * 24 * 3600 * 1000,
};

static const struct remote_ops *const providers[] = {
	&provider_local,
	&provider_command,
	&provider_ssh,
	&provider_docker,
	&provider_e2b,
	&provider_cloudflare,
};

struct remote {
	const struct remote_ops *ops;
	struct spec *spec;
	void *state;		/* the provider's */
	char *token;		/* NULL: calls end with our end of them */
	unsigned limit;		/* calls at once; 0: any */
	struct mutex lock;	/* guards what follows; a leaf */
	struct cond changed;	/* of running */
	unsigned running;
	struct remote_stats stats;
};

const char *const *remote_providers(void)
{
	static const char *names[G_N_ELEMENTS(providers) + 1];

	for (size_t i = 0; i < G_N_ELEMENTS(providers); i++)
		names[i] = providers[i]->name;
	return names;
}

static const struct remote_ops *find_provider(const char *name, GError **err)
{
	g_autofree char *known = NULL;
	g_autofree char *shown = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(providers); i++)
		if (!strcmp(providers[i]->name, name))
			return providers[i];
	known = g_strjoinv(", ", (char **)remote_providers());
	shown = path_display(name);
	fail(err, FAIL_USAGE,
		"provider %s: is not known; this version has %s", shown,
		known);
	return NULL;
}

/* What is the same for every call. */
static void settle(struct remote *r)
{
	struct remote_caps caps = { 0 };

	r->ops->caps(r->state, &caps);
	r->limit = caps.max_parallel;
	if (r->ops->leaves_running)
		r->token = r->ops->token
			? g_strdup(r->ops->token(r->state))
			: io_random_hex(12);
}

bool remote_can_create(const char *provider)
{
	const struct remote_ops *ops = find_provider(provider, NULL);

	return ops && ops->create;
}

const char *remote_reserved(const struct spec *spec)
{
	const struct remote_ops *ops = find_provider(spec->provider, NULL);

	return ops && ops->reserved ? ops->reserved(spec) : NULL;
}

/* Every call has a deadline: the spec's, unless the caller gives one. */
static struct call with_deadline(const struct spec *spec,
	const struct call *call)
{
	struct call c = *call;

	if (!c.deadline_ms)
		c.deadline_ms = spec->timeout_ms;
	return c;
}

int remote_create(const struct spec *spec, const struct call *call, char **id,
	GError **err)
{
	const struct remote_ops *ops = find_provider(spec->provider, err);
	struct call c = with_deadline(spec, call);

	if (!ops)
		return -EINVAL;
	if (!ops->create)
		return fail(err, FAIL_USAGE,
			"provider %s: cannot make a new sandbox", ops->name);
	return ops->create(spec, &c, id, err);
}

struct remote *remote_open(const struct spec *spec, const struct call *call,
	GError **err)
{
	const struct remote_ops *ops = find_provider(spec->provider, err);
	struct call c = with_deadline(spec, call);
	struct remote *r;
	int code;

	if (!ops)
		return NULL;
	/* A child that stops reading must not end us. */
	signal(SIGPIPE, SIG_IGN);
	r = g_new0(struct remote, 1);
	mutex_init(&r->lock, RANK_LOG);
	cond_init(&r->changed);
	r->ops = ops;
	r->spec = spec_copy(spec);
	r->spec->api_key = g_strdup(spec->api_key);
	if (ops->open(r->spec, &c, &r->state, err) == 0) {
		settle(r);
		if (remote_run(r, ":", NULL, call, NULL, NULL, &code, NULL,
			    err) == 0)
			return r;
	}
	remote_close(r);
	return NULL;
}

void remote_close(struct remote *r)
{
	if (!r)
		return;
	if (r->state)
		r->ops->close(r->state);
	spec_free(r->spec);
	g_free(r->token);
	cond_destroy(&r->changed);
	mutex_destroy(&r->lock);
	g_free(r);
}

const struct spec *remote_spec(const struct remote *r)
{
	return r->spec;
}

void remote_get_caps(const struct remote *r, struct remote_caps *caps)
{
	r->ops->caps(r->state, caps);
}

char *remote_identity(struct remote *r, const struct call *call, GError **err)
{
	struct call c = with_deadline(r->spec, call);

	return r->ops->identity ? r->ops->identity(r->state, &c, err) : NULL;
}

int remote_renew(struct remote *r, const struct call *call,
	int64_t *expires_ms, GError **err)
{
	struct call c = with_deadline(r->spec, call);

	*expires_ms = 0;
	return r->ops->renew ? r->ops->renew(r->state, &c, expires_ms, err)
			     : 0;
}

void remote_get_stats(const struct remote *r, struct remote_stats *s)
{
	struct mutex *lock = (struct mutex *)(uintptr_t)&r->lock;

	mutex_lock(lock);
	*s = r->stats;
	mutex_unlock(lock);
}

/* --- running ---------------------------------------------------------- */

static int feed_frame(void *ctx, const void *buf, size_t len)
{
	return frame_feed(ctx, buf, len);
}

/* Keeps the last STDERR_KEPT bytes. */
static int keep_tail(void *ctx, const void *buf, size_t len)
{
	GString *tail = ctx;

	g_string_append_len(tail, buf, (gssize)len);
	if (tail->len > STDERR_KEPT)
		g_string_erase(tail, 0, (gssize)(tail->len - STDERR_KEPT));
	return 0;
}

/* The last line of standard error, for a message. */
static char *last_line(const GString *tail)
{
	g_autofree char *copy = g_strdup(tail->str);
	const char *line = strrchr(g_strchomp(copy), '\n');

	return path_display(line ? line + 1 : copy);
}

static char *where(const struct remote *r)
{
	return g_strdup_printf(
		"sandbox %s:%s", r->spec->provider, r->spec->sandbox_id);
}

/* What a call that did not end well means. */
static int explain(const struct remote *r, const struct frame *f, int ran,
	int status, const GString *tail, GError *why, GError **err)
{
	g_autofree char *host = where(r);
	g_autofree char *line = last_line(tail);

	if (ran < 0)
		return fail(err, (enum fail_code)why->code, "%s: %s", host,
			why->message);
	if (!f->started)
		return fail(err, FAIL_UNAVAILABLE,
			"%s: cannot be reached (exit %d)%s%s; see that it runs "
			"and has a shell", host, status, *line ? ": " : "",
			line);
	return fail(err, FAIL_UNKNOWN,
		"%s: the connection ended before the answer did (exit %d)%s%s",
		host, status, *line ? ": " : "", line);
}

/* Waits for its turn where the provider bears only so many calls at once. */
static int take_slot(struct remote *r, const struct call *call, GError **err)
{
	int64_t until = io_now_ns() + call->deadline_ms * MS;
	bool late = false, stop = false;

	mutex_lock(&r->lock);
	while (r->limit && r->running >= r->limit && !late && !stop) {
		int64_t now = io_now_ns();

		stop = cancel_is_raised(call->cancel);
		late = now >= until;
		cond_wait_until(&r->changed, &r->lock,
			MIN(until, now + SLOT_CHECK_MS * MS));
	}
	if (!late && !stop)
		r->running++;
	mutex_unlock(&r->lock);
	if (stop)
		return fail(err, FAIL_CANCELLED, "interrupted");
	if (late)
		return fail(err, FAIL_DEADLINE,
			"%u commands run there and none ended within %"
			G_GINT64_FORMAT " ms", r->limit, call->deadline_ms);
	return 0;
}

static void leave_slot(struct remote *r, const struct remote_stats *stats)
{
	mutex_lock(&r->lock);
	r->running--;
	r->stats.calls += stats->calls;
	r->stats.bytes_sent += stats->bytes_sent;
	r->stats.bytes_received += stats->bytes_received;
	cond_broadcast(&r->changed);
	mutex_unlock(&r->lock);
}

/* The provider's run of a script (HEAD[0]) with the rest of HEAD and ARGS. */
static int run_counted(struct remote *r, const char *const *head,
	const char *const *args, const struct call *call,
	const struct remote_streams *streams, int *status, GError **err)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	struct remote_stats stats = { .calls = 1 };
	int ran;

	for (const char *const *w = head + 1; *w; w++)
		g_ptr_array_add(words, (gpointer)*w);
	for (; args && *args; args++)
		g_ptr_array_add(words, (gpointer)*args);
	g_ptr_array_add(words, NULL);
	if (take_slot(r, call, err) < 0)
		return -1;
	failpoint("send");
	ran = r->ops->run(r->state, head[0], (const char *const *)words->pdata,
		call, streams->in, streams->out, streams->err_out, &stats,
		status, err);
	failpoint("answer");
	leave_slot(r, &stats);
	return ran;
}

/* Ends what call NAME may have left running in the sandbox. Best effort: with
 * the sandbox out of reach there is nothing to be done, and nothing that runs
 * there late can harm (batches are numbered and checked). */
static void reap(struct remote *r, const char *name)
{
	const char *const head[] = { script_reap, name, NULL };
	const struct remote_streams none = { NULL, NULL, NULL };
	struct call call = { .deadline_ms = REAP_MS };
	int status;

	run_counted(r, head, NULL, &call, &none, &status, NULL);
}

int remote_run(struct remote *r, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	int *code, char **stderr_text, GError **err)
{
	g_autofree char *nonce = io_random_hex(12);
	g_autofree char *name = r->token
		? g_strdup_printf("%s-%s", r->token, nonce) : g_strdup("");
	const char *const head[] = { frame_script, nonce, name, script, NULL };
	g_autoptr(GError) why = NULL;
	GString *tail = g_string_new(NULL);
	struct call c = *call;
	struct frame f;
	struct sink framed = { .write = feed_frame, .ctx = &f };
	struct sink errors = { .write = keep_tail, .ctx = tail };
	const struct remote_streams streams = { in, &framed, &errors };
	int status = 0, ran;

	if (!c.deadline_ms)
		c.deadline_ms = r->spec->timeout_ms;
	frame_init(&f, nonce, out);
	ran = run_counted(r, head, args, &c, &streams, &status, &why);
	if (*name && !f.ended && (f.started || ran < 0))
		reap(r, name);
	if (f.ended && ran == 0)
		*code = f.code;
	else
		ran = explain(r, &f, ran, status, tail, why, err);
	if (stderr_text)
		*stderr_text = g_string_free(tail, FALSE);
	else
		g_string_free(tail, TRUE);
	frame_release(&f);
	return ran < 0 ? -1 : 0;
}

/* --- a person's command ------------------------------------------------ */

/* One of its two streams. */
struct passing {
	struct frame frame;
	const struct passing *other;
	GString *tail;	/* NULL for standard output */
};

/* Once both have ended there is nothing to wait for. */
static int pass(void *ctx, const void *buf, size_t len)
{
	struct passing *p = ctx;
	int r;

	if (p->tail && !p->frame.started)
		keep_tail(p->tail, buf, len);
	r = frame_feed(&p->frame, buf, len);
	if (r == 0 && p->frame.ended && p->other->frame.ended)
		r = -ECANCELED;
	return r;
}

int remote_exec(struct remote *r, const char *script, const char *const *args,
	const struct call *call, const struct remote_streams *streams,
	int *code, GError **err)
{
	g_autofree char *nonce = io_random_hex(12);
	const char *const head[] = { frame_script_both, nonce, script, NULL };
	g_autoptr(GError) why = NULL;
	GString *tail = g_string_new(NULL);
	struct call c = *call;
	struct passing out, errors = { .other = &out, .tail = tail };
	struct sink to_out = { .write = pass, .ctx = &out };
	struct sink to_errors = { .write = pass, .ctx = &errors };
	const struct remote_streams framed = {
		streams->in, &to_out, &to_errors,
	};
	int status = 0, ran;

	out = (struct passing){ .other = &errors };
	if (!c.deadline_ms)
		c.deadline_ms = EXEC_DEADLINE_MS;
	frame_init(&out.frame, nonce, streams->out);
	frame_init(&errors.frame, nonce, streams->err_out);
	ran = run_counted(r, head, args, &c, &framed, &status, &why);
	if (out.frame.ended && errors.frame.ended) {
		*code = out.frame.code;
		ran = 0;
	} else {
		ran = explain(r, &out.frame, ran, status, tail, why, err);
	}
	frame_release(&out.frame);
	frame_release(&errors.frame);
	g_string_free(tail, TRUE);
	return ran < 0 ? -1 : 0;
}
