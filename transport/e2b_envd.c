/*
 * envd, the daemon in each E2B sandbox: one request with its cures, unary
 * calls, files.
 */
#include "transport/e2b.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/credential.h"
#include "transport/json.h"

#define MS INT64_C(1000000)

enum { TRIES = 5, WAIT_MS = 300 };

/* --- one request ---------------------------------------------------------- */

static void copy_access(struct e2b *e, struct e2b_access *to)
{
	mutex_lock(&e->lock);
	*to = e->access;
	to->url = g_strdup(e->access.url);
	to->token = g_strdup(e->access.token);
	mutex_unlock(&e->lock);
}

static bool is_older(const struct e2b_access *a, unsigned major,
	unsigned minor, unsigned patch)
{
	const unsigned than[3] = { major, minor, patch };

	for (int i = 0; i < 3; i++)
		if (a->version[i] != than[i])
			return a->version[i] < than[i];
	return false;
}

bool e2b_has_input(struct e2b *e)
{
	struct e2b_access access;
	bool has;

	copy_access(e, &access);
	has = !is_older(&access, 0, 5, 2);
	e2b_access_clear(&access);
	return has;
}

/* Before 0.4.0 there is no default user. */
static const char *user_of(const struct e2b *e, const struct e2b_access *a)
{
	if (e->spec->user)
		return e->spec->user;
	return is_older(a, 0, 4, 0) ? "user" : NULL;
}

static GPtrArray *make_headers(const struct e2b *e, const struct e2b_access *a,
	const char *const *more)
{
	GPtrArray *list = g_ptr_array_new_with_free_func(
		(GDestroyNotify)credential_free);
	const char *user = user_of(e, a);

	g_ptr_array_add(list, g_strconcat("E2b-Sandbox-Id: ", e->id, NULL));
	g_ptr_array_add(list, g_strdup("E2b-Sandbox-Port: 49983"));
	if (a->token)
		g_ptr_array_add(list,
			g_strconcat("X-Access-Token: ", a->token, NULL));
	if (user) {
		g_autofree char *pair = g_strconcat(user, ":", NULL);
		g_autofree char *text = g_base64_encode(
			(const guchar *)pair, strlen(pair));

		g_ptr_array_add(list,
			g_strconcat("Authorization: Basic ", text, NULL));
	}
	for (; more && *more; more++)
		g_ptr_array_add(list, g_strdup(*more));
	g_ptr_array_add(list, NULL);
	return list;
}

static int ask_once(struct e2b *e, const struct http_request *q,
	const struct call *call, struct http_answer *a, GError **err)
{
	struct e2b_access access;
	struct http_request full = *q;
	g_autofree char *url = NULL;
	GPtrArray *headers;
	int r;

	copy_access(e, &access);
	url = g_strconcat(access.url, q->url, NULL);
	headers = make_headers(e, &access, q->headers);
	full.url = url;
	full.headers = (const char *const *)headers->pdata;
	http_answer_clear(a);
	r = http_ask(e->http, &full, call, a, err);
	g_ptr_array_unref(headers);
	e2b_access_clear(&access);
	return r;
}

enum cure { CURE_NONE, CURE_WAIT, CURE_WAKE };

/* What helps against an answer that says that nothing was done. */
static enum cure cure_of(const struct http_answer *a)
{
	g_autofree char *said = NULL;

	switch (a->status) {
	case 401:
		return CURE_WAKE;	/* the token is of an earlier life */
	case 409:
	case 429:
	case 503:
		return CURE_WAIT;
	case 502:
		/* Any other 502 may come after the request arrived. */
		said = http_message(a);
		return said && strstr(said, "not found") ? CURE_WAKE
							 : CURE_NONE;
	default:
		return CURE_NONE;
	}
}

static int apply_cure(struct e2b *e, enum cure cure,
	const struct http_answer *a, unsigned attempt, int64_t until,
	const struct call *call, GError **err)
{
	int64_t wait = a->retry_after_ms >= 0 ? a->retry_after_ms
		: (int64_t)WAIT_MS << attempt;

	/* A second time the same: give it a moment. */
	if (cure == CURE_WAKE && e2b_wake(e, call, err) < 0)
		return -EIO;
	if (cure == CURE_WAKE && attempt == 0)
		return 0;
	return http_wait(wait, until, call->cancel, err);
}

static int64_t left_ms(int64_t until)
{
	return until ? MAX((until - io_now_ns()) / MS, 1) : 0;
}

int e2b_ask_envd(struct e2b *e, const struct http_request *q,
	const struct call *call, struct http_answer *a, GError **err)
{
	int64_t until = call->deadline_ms
		? io_now_ns() + call->deadline_ms * MS : 0;
	/* The caller's own, so that its sink may change stall_ms. */
	struct call control = *call;

	control.stall_ms = 0;
	for (unsigned attempt = 0;; attempt++) {
		enum cure cure;

		if (ask_once(e, q, call, a, err) < 0)
			return -EIO;
		cure = cure_of(a);
		if (cure == CURE_NONE)
			return 0;
		control.deadline_ms = left_ms(until);
		if (attempt + 1 >= TRIES)
			return http_refused(a, "asking the sandbox", err);
		if (apply_cure(e, cure, a, attempt, until, &control, err) < 0)
			return -EIO;
		if (q->body)
			return fail(err, FAIL_UNAVAILABLE,
				"sandbox e2b:%s was not ready; it is now, try "
				"again", e->id);
	}
}

/* --- unary calls ---------------------------------------------------------- */

static const struct meaning {
	const char *code;
	enum fail_code kind;	/* when nothing was seen to begin */
} meanings[] = {
	{ "not_found", FAIL_REMOTE },
	{ "invalid_argument", FAIL_REMOTE },
	{ "failed_precondition", FAIL_REMOTE },
	{ "permission_denied", FAIL_REMOTE },
	{ "unauthenticated", FAIL_REMOTE },
	{ "already_exists", FAIL_REMOTE },
	{ "unimplemented", FAIL_REMOTE },
	{ "resource_exhausted", FAIL_UNAVAILABLE },
	{ "unavailable", FAIL_UNAVAILABLE },
	{ "deadline_exceeded", FAIL_DEADLINE },
};

int e2b_rpc_failed(const char *what, const char *code, const char *why,
	bool seen, GError **err)
{
	g_autofree char *shown_code = path_display(code);
	g_autofree char *shown = path_display(why ? why : "no reason given");
	enum fail_code kind = FAIL_UNKNOWN;

	for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
		if (!strcmp(meanings[i].code, code))
			kind = meanings[i].kind;
	if (seen && kind != FAIL_DEADLINE)
		kind = FAIL_UNKNOWN;
	return fail(err, kind, "%s: %s (%s)", what, shown, shown_code);
}

/* A refusal whose body may be a Connect error. */
static int refused_rpc(const struct http_answer *a, const char *what,
	GError **err)
{
	struct json *j = json_parse(a->text->str, a->text->len, NULL);
	const char *code = json_string(json_get(j, "code"));
	int r;

	if (code)
		r = e2b_rpc_failed(what, code,
			json_string(json_get(j, "message")), false, err);
	else
		r = http_refused(a, what, err);
	json_free(j);
	return r;
}

int e2b_rpc(struct e2b *e, const char *method, const char *json,
	const struct call *call, struct json **answer, GError **err)
{
	static const char *const headers[] = {
		"Content-Type: application/json",
		"Connect-Protocol-Version: 1", NULL,
	};
	g_autofree char *path = g_strconcat("/", method, NULL);
	struct http_request q = {
		.method = "POST", .url = path, .headers = headers,
		.text = json, .text_len = strlen(json),
	};
	struct http_answer a = { 0 };
	int r = e2b_ask_envd(e, &q, call, &a, err);

	if (r == 0 && a.status != 200)
		r = refused_rpc(&a, method, err);
	if (r == 0 && answer) {
		*answer = json_parse(a.text->str, a.text->len, NULL);
		if (!*answer)
			r = fail(err, FAIL_PROTOCOL,
				"%s: the answer is not JSON", method);
	}
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}

/* --- files ----------------------------------------------------------------- */

/* BODY between a head and a tail, for daemons that know forms only. */
struct form {
	const char *parts[2];	/* head, tail */
	size_t at;
	int part;		/* 0 head, 1 body, 2 tail */
	struct source *body;
};

static ssize_t read_form(void *ctx, void *buf, size_t len)
{
	struct form *f = ctx;
	const char *text;
	size_t n;

	if (f->part == 1) {
		ssize_t got = f->body->read(f->body->ctx, buf, len);

		if (got != 0)
			return got;
		f->part = 2;
		f->at = 0;
	}
	text = f->parts[f->part / 2];
	n = MIN(len, strlen(text) - f->at);
	memcpy(buf, text + f->at, n);
	f->at += n;
	if (f->part == 0 && text[f->at] == '\0')
		f->part = 1;
	return (ssize_t)n;
}

#define BOUNDARY "sandmount-3fb1c6a2d94e7058"

static int upload(struct e2b *e, const char *url, struct source *body,
	bool as_form, const struct call *call, struct http_answer *a,
	GError **err)
{
	static const char *const raw[] = {
		"Content-Type: application/octet-stream", NULL,
	};
	static const char *const multi[] = {
		"Content-Type: multipart/form-data; boundary=" BOUNDARY, NULL,
	};
	struct form form = {
		.parts = { "--" BOUNDARY "\r\nContent-Disposition: form-data; "
			   "name=\"file\"; filename=\"f\"\r\nContent-Type: "
			   "application/octet-stream\r\n\r\n",
			"\r\n--" BOUNDARY "--\r\n" },
		.body = body,
	};
	struct source wrapped = { .read = read_form, .ctx = &form };
	struct http_request q = {
		.method = "POST", .url = url, .body_size = -1,
		.headers = as_form ? multi : raw,
		.body = as_form ? &wrapped : body,
	};

	return e2b_ask_envd(e, &q, call, a, err);
}

int e2b_upload(struct e2b *e, const char *path, struct source *body,
	const struct call *call, struct remote_stats *stats, GError **err)
{
	struct e2b_access access;
	struct http_answer a = { 0 };
	g_autofree char *where = http_escape(path);
	g_autofree char *url = NULL;
	const char *user;
	bool as_form;
	int r;

	copy_access(e, &access);
	user = user_of(e, &access);
	as_form = is_older(&access, 0, 5, 7);
	e2b_access_clear(&access);
	g_autofree char *who = user ? http_escape(user) : NULL;

	url = g_strconcat("/files?path=", where, who ? "&username=" : NULL,
		who, NULL);
	r = upload(e, url, body, as_form, call, &a, err);
	if (r == 0 && a.status != 200)
		r = http_refused(&a, "sending a file to the sandbox", err);
	stats->bytes_sent += a.sent;
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}

int e2b_remove(struct e2b *e, const char *path, const struct call *call,
	GError **err)
{
	struct json *j = json_new_object();
	g_autofree char *text = NULL;

	json_put_string(j, "path", path);
	text = json_to_text(j, false);
	json_free(j);
	return e2b_rpc(e, "filesystem.Filesystem/Remove", text, call, NULL,
		err);
}
