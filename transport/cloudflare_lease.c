/*
 * The older dialect: leases and commands, nothing else. What it does, and what
 * is done about it:
 *
 *	- a command is one word of a login shell: its size is limited, and what
 *	  profiles print comes before a mark that the wrapper prints
 *	- standard input is UTF-8 text that is put into a file first: base64
 *	- the last event holds all output once more: much output is fetched by
 *	  parts (provider_cloudflare.c)
 *	- commands of one session wait for each other, and one that ran out of
 *	  time blocks its session: each command has a session to itself, of few
 *	  names, since none is ever taken away
 *	- a lease is kept by a file in a directory: of a lease of our own that is
 *	  one in /tmp, of another's it is in the workspace and not ours to touch
 *	- resuming sets whether and when the sandbox sleeps: only our own leases
 *	  are resumed
 */
#include "transport/cloudflare.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/json.h"

enum {
	COMMAND_LIMIT = 110 << 10,	/* of the kernel's 128 KiB */
	NAMES = 64,			/* of sessions in one sandbox */
	ERROR_KEPT = 300,
};

#define OURS "sandmount-"
#define OUR_PLACE "/tmp/.sandmount-lease"
static const char mark[] = CF_MARK;

bool cloudflare_is_lease(const char *id)
{
	return strchr(id, '-') != NULL;
}

static bool is_ours(const struct bridge *b)
{
	return b->lease && strstr(b->lease, OURS);
}

/* --- leases ----------------------------------------------------------------- */

static bool is_word(const char *text)
{
	size_t n = strspn(text, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "._-");

	return n > 0 && n <= 128 && text[n] == '\0';
}

/* LEASE or LEASE@ACQUISITION; "…-acq-ACQUISITION" has it within. */
static int read_id(struct bridge *b, GError **err)
{
	g_auto(GStrv) parts = g_strsplit(b->spec->sandbox_id, "@", 2);
	const char *inside = strstr(parts[0], "-acq-");

	if (!is_word(parts[0]) || (parts[1] && !is_word(parts[1])) ||
		!cloudflare_is_lease(parts[0]))
		return fail(err, FAIL_USAGE,
			"the sandboxId at this baseUrl is that of a lease, "
			"LEASE or LEASE@ACQUISITION: letters, digits and "
			"\"._-\", with a '-' in LEASE");
	b->lease = g_strdup(parts[0]);
	if (parts[1])
		b->acquisition = g_strdup(parts[1]);
	else if (inside)
		b->acquisition = g_strdup(inside + strlen("-acq-"));
	return 0;
}

static struct json *lease_json(const struct bridge *b, const struct call *call)
{
	struct json *j = json_new_object();
	int64_t seconds = (b->spec->lifetime_ms ? b->spec->lifetime_ms
				: SPEC_DEFAULT_LIFETIME_MS) / 1000;
	g_autofree char *sleep = g_strdup_printf(
		"%" G_GINT64_FORMAT "s", MAX(seconds, 1));

	json_put_string(j, "requestedCwd", OUR_PLACE);
	json_put_bool(j, "keepAlive", false);
	json_put_string(j, "sleepAfter", sleep);
	json_put_bool(j, "normalizeId", true);
	json_put_string(j, "sessionStrategy", "named");
	json_put_string(j, "sessionId", OURS "lease");
	json_put_int(j, "timeoutMs", call->deadline_ms);
	return j;
}

static int ask_json(struct bridge *b, const char *path, struct json *j,
	const struct call *call, struct http_answer *a, GError **err)
{
	g_autofree char *text = json_to_text(j, false);

	json_free(j);
	return bridge_ask(b, "POST", path, "application/json", text,
		strlen(text), call, a, err);
}

/* Its own word for what went wrong. */
static bool says(const struct http_answer *a, const char *code)
{
	struct json *j = a->text
		? json_parse(a->text->str, a->text->len, NULL) : NULL;
	bool same = !g_strcmp0(json_string(json_get(j, "error")), code);

	json_free(j);
	return same;
}

/* A sandbox that was made before something failed is not left behind. */
static void clean_up(struct bridge *b, const struct http_answer *a,
	const char *acquisition)
{
	struct call call = { .deadline_ms = CF_REMOTE_SLACK_MS };
	struct json *j = json_parse(a->text->str, a->text->len, NULL);
	const char *lease = json_string(
		json_get(json_get(j, "details"), "providerLeaseId"));
	struct http_answer none = { 0 };
	struct json *q;

	if (lease) {
		q = json_new_object();
		json_put_string(q, "providerLeaseId", lease);
		json_put_string(q, "acquisitionId", acquisition);
		ask_json(b, "/leases/release", q, &call, &none, NULL);
		http_answer_clear(&none);
	}
	json_free(j);
}

/* The id that later commands find it by. */
static char *take_lease(const struct http_answer *a, const char *acquisition)
{
	struct json *j = json_parse(a->text->str, a->text->len, NULL);
	const char *lease = json_string(json_get(j, "providerLeaseId"));
	g_autofree char *inside = g_strconcat("-acq-", acquisition, NULL);
	char *id = NULL;

	if (lease && is_word(lease) && cloudflare_is_lease(lease))
		id = g_str_has_suffix(lease, inside) ? g_strdup(lease)
			: g_strconcat(lease, "@", acquisition, NULL);
	json_free(j);
	return id;
}

/* The same acquisition asked for twice is the same lease. */
static int create(struct bridge *b, const struct call *call, char **id,
	GError **err)
{
	g_autofree char *word = io_random_hex(8);
	g_autofree char *own = g_strconcat(OURS, word, NULL);
	struct json *j = lease_json(b, call);
	struct http_answer a = { 0 };
	int r;

	json_put_string(j, "acquisitionId", own);
	json_put_string(j, "environmentId", "sandmount");
	json_put_string(j, "runId", own);
	json_put_bool(j, "reuseLease", false);
	r = ask_json(b, "/leases/acquire", j, call, &a, err);
	if (r == 0 && a.status != 200) {
		if (a.status == 500 && a.text)
			clean_up(b, &a, own);
		r = http_refused(&a, "acquiring a lease", err);
	}
	if (r == 0) {
		*id = take_lease(&a, own);
		if (!*id)
			r = fail(err, FAIL_PROTOCOL, "acquiring a lease: the "
				"answer has no providerLeaseId");
	}
	http_answer_clear(&a);
	return r;
}

static int resume(struct bridge *b, const struct call *call, GError **err)
{
	struct json *j = lease_json(b, call);
	struct http_answer a = { 0 };
	int r;

	json_put_string(j, "providerLeaseId", b->lease);
	if (b->acquisition)
		json_put_string(j, "acquisitionId", b->acquisition);
	r = ask_json(b, "/leases/resume", j, call, &a, err);
	if (r == 0 && a.status == 409 && says(&a, "sandbox_state_lost"))
		r = fail(err, FAIL_GONE, "the lease's sandbox slept or ended, "
			"and its files are gone");
	else if (r == 0 && a.status != 200)
		r = http_refused(&a, "resuming the lease", err);
	http_answer_clear(&a);
	return r;
}

/* Any command keeps it awake. */
static int touch(struct bridge *b, const struct call *call, GError **err)
{
	static const char *const argv[] = { "true", NULL };
	struct remote_stats stats = { 0 };
	struct run r = { .stats = &stats };

	return bridge_exec(b, &r, argv, NULL, call, err);
}

static int renew(struct bridge *b, const struct call *call, GError **err)
{
	return is_ours(b) ? resume(b, call, err) : touch(b, call, err);
}

static int open_it(struct bridge *b, const struct call *call, GError **err)
{
	if (read_id(b, err) < 0)
		return -EINVAL;
	return renew(b, call, err);
}

/* --- commands ----------------------------------------------------------------- */

/* A session that nobody of this process uses, and the number in its name. */
static unsigned take_session(struct bridge *b, unsigned *number)
{
	unsigned n = 0;

	mutex_lock(&b->lock);
	while (n < CF_SESSIONS - 1 && b->busy & (1u << n))
		n++;
	b->busy |= 1u << n;
	if (!b->session[n])
		b->session[n] = 1 + (unsigned)g_random_int_range(0, NAMES);
	*number = b->session[n];
	mutex_unlock(&b->lock);
	return n;
}

/* One whose command did not end may be blocked for long. */
static void leave_session(struct bridge *b, unsigned n, bool ended)
{
	mutex_lock(&b->lock);
	b->busy &= ~(1u << n);
	if (!ended)
		b->session[n] = 0;
	mutex_unlock(&b->lock);
}

static struct json *exec_json(const struct bridge *b, unsigned session,
	const char *const *argv, const char *stdin_text, int64_t deadline_ms)
{
	struct json *j = json_new_object();
	struct json *args = json_new_array();
	g_autofree char *name = g_strdup_printf(OURS "%u", session);

	json_put_string(j, "providerLeaseId", b->lease);
	if (b->acquisition)
		json_put_string(j, "acquisitionId", b->acquisition);
	json_put_string(j, "command", argv[0]);
	for (size_t i = 1; argv[i]; i++)
		json_append_string(args, argv[i]);
	json_put(j, "args", args);
	json_put_string(j, "cwd", "/");
	if (stdin_text)
		json_put_string(j, "stdin", stdin_text);
	json_put_int(j, "timeoutMs", deadline_ms + CF_REMOTE_SLACK_MS);
	json_put_bool(j, "streamOutput", true);
	json_put_string(j, "sessionStrategy", "named");
	json_put_string(j, "sessionId", name);
	return j;
}

/* As the bridge quotes it: five characters for each quote. */
static size_t quoted_len(const char *const *argv)
{
	size_t len = 0;

	for (; *argv; argv++) {
		len += strlen(*argv) + 3;
		for (const char *p = *argv; *p; p++)
			len += *p == '\'' ? 4 : 0;
	}
	return len;
}

static int exec(struct bridge *b, struct run *r, const char *const *argv,
	const char *stdin_text, int64_t deadline_ms, GError **err)
{
	unsigned session, number;
	struct json *j;
	int ret;

	if (quoted_len(argv) > COMMAND_LIMIT)
		return fail(err, FAIL_REMOTE,
			"a command of %zu bytes: a lease's has at most %d; "
			"give it less by arguments", quoted_len(argv),
			COMMAND_LIMIT);
	session = take_session(b, &number);
	j = exec_json(b, number, argv, stdin_text, deadline_ms);
	ret = bridge_post(b, r, "/exec", j, err);
	json_free(j);
	leave_session(b, session, ret == 0 && r->ended);
	return ret;
}

/* What profiles print comes before the mark. */
static int take_out(struct run *r, const char *text)
{
	for (; *text && r->marked < strlen(mark); text++) {
		if (*text == mark[r->marked])
			r->marked++;
		else
			r->marked = *text == mark[0];
	}
	return *text ? bridge_printed(r, text, strlen(text)) : 0;
}

static int take_text(struct run *r, bool is_out, const struct json *j)
{
	const char *text = json_string(json_get(j, "data"));

	if (!text)
		return -EPROTO;
	if (is_out)
		return take_out(r, text);
	return r->err_out && *text
		? r->err_out->write(r->err_out->ctx, text, strlen(text)) : 0;
}

static int take_end(struct run *r, const struct json *j)
{
	int64_t code;

	if (json_flag(json_get(j, "timedOut"), false)) {
		r->failed = g_strdup("the bridge ended it after its time");
		return 0;
	}
	if (!json_is_integer(json_get(j, "exitCode"), &code))
		return -EPROTO;
	r->ended = true;
	r->status = (int)(code & 255);
	return 0;
}

static int event(struct run *r, const char *name, const char *data, size_t len)
{
	bool is_out = !strcmp(name, "stdout");
	struct json *j;
	int ret = 0;

	if (!strcmp(name, "error")) {
		if (!r->failed)
			r->failed = g_strndup(data, ERROR_KEPT);
		return 0;
	}
	j = json_parse(data, len, NULL);
	if (is_out || !strcmp(name, "stderr"))
		ret = take_text(r, is_out, j);
	else if (!strcmp(name, "complete"))
		ret = take_end(r, j);
	json_free(j);
	return ret;
}

/* A part that arrived in part leaves no file of its name. */
static int put_part(struct bridge *b, const char *dir, const char *name,
	const char *buf, size_t len, const struct call *call, GError **err)
{
	static const char script[] =
		"mkdir -p \"$1\" && base64 -d >\"$1/.$2.$$\" && "
		"[ \"$(wc -c <\"$1/.$2.$$\")\" -eq \"$3\" ] && "
		"mv \"$1/.$2.$$\" \"$1/$2\" || { rm -f \"$1/.$2.$$\"; exit 1; }";
	g_autofree char *count = g_strdup_printf("%zu", len);
	g_autofree char *text = g_base64_encode((const guchar *)buf, len);
	const char *const argv[] = { "sh", "-c", script, "sh", dir, name,
		count, NULL };
	struct remote_stats stats = { 0 };
	struct run r = { .stats = &stats };

	if (bridge_exec(b, &r, argv, text, call, err) < 0)
		return -EIO;
	if (r.status != 0)
		return fail(err, FAIL_REMOTE,
			"sending to the sandbox: %zu bytes cannot be written "
			"to %s; see its disk", len, dir);
	return 0;
}

const struct dialect cloudflare_lease = {
	.path = "",
	.inline_bytes = 16 << 10,
	.part_bytes = 6 << 20,
	.whole_output = true,
	.create = create,
	.open = open_it,
	.renew = renew,
	.exec = exec,
	.event = event,
	.put_part = put_part,
};
