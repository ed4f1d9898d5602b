/*
 * Provider "cloudflare": the official bridge of Cloudflare's sandboxes over
 * HTTPS. Its traps, and what is done against each:
 *
 *	- it decodes what commands print as UTF-8: they print base64 here
 *	- commands have no standard input: it comes in the command, or by parts
 *	  of at most 8 MiB that are put beside each other and counted there
 *	- file reads lie about missing and about text: no file is read by them
 *	- a silent command's stream may be cut: it says something every 5 s
 *	- closing a request does not end its command: remote.c ends it (reap.sh)
 *	- a container that slept comes back empty under the same id: a mark in its
 *	  /tmp is the sandbox's identity, and the workspace has one of its own
 */
#include "transport/provider.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/credential.h"
#include "transport/event_stream.h"
#include "transport/http.h"
#include "transport/json.h"
#include "transport/sh_quote.h"

enum {
	INLINE_LIMIT = 32 << 10,	/* one shell word has 128 KiB */
	PART_BYTES = 8 << 20,
	/* The Worker's own sleepAfter unless the spec knows better. */
	LIFETIME_MS = 600000,
	STALL_MS = 20000,
	/* A container may have to start first. */
	FIRST_STALL_MS = 120000,
	REMOTE_SLACK_MS = 10000,
	CLEAN_UP_MS = 10000,
	ERROR_KEPT = 300,
	EXIT_INPUT = 98,
};

struct bridge {
	struct http *http;
	struct spec *spec;	/* owned */
	char *url;		/* …/v1/sandbox, no trailing '/' */
	char *auth;		/* "Authorization: Bearer …" */
	int64_t lifetime_ms;
};

/* $1: where the input is: "-" none, "=TEXT" base64, else a directory of parts
 * that has $2 bytes. Then the script and its arguments. A word every 5 s keeps
 * the stream open; it is no base64, so the decoder drops it. */
static const char wrapper[] =
	"sm_i=$1 sm_b=$2 sm_s=$3; shift 3; "
	"command -v base64 >/dev/null 2>&1 || { "
	"echo 'base64 is missing in the sandbox' >&2; exit 97; }; "
	"( while sleep 5 >/dev/null 2>&1; do echo . || exit; done ) </dev/null 2>&1 & "
	"sm_h=$!; "
	"sm_in() { case $sm_i in -) : ;; "
	"=*) printf %s \"${sm_i#=}\" | base64 -d ;; "
	"*) cat \"$sm_i\"/p*; rm -rf \"$sm_i\" ;; esac; }; "
	"case $sm_i in /*) [ \"$(cat \"$sm_i\"/p* | wc -c)\" -eq \"$sm_b\" ] "
	"|| { kill $sm_h; rm -rf \"$sm_i\"; exit 98; } ;; esac; "
	/* As the leader of a group it can be ended with what it started. */
	"sm_g=; command -v setsid >/dev/null 2>&1 && sm_g=setsid; "
	"sm_in | $sm_g sh -c \"$sm_s\" sh \"$@\" | base64; "
	"kill $sm_h 2>/dev/null; exit 0";

static const char identity_script[] =
	"f=/tmp/.sandmount-generation; "
	"[ -s $f ] || { (set -C; od -An -N16 -tx1 /dev/urandom | tr -d ' \\n' "
	">$f.$$ && mv $f.$$ $f) 2>/dev/null; }; cat $f";

/* --- opening --------------------------------------------------------------- */

static bool is_id(const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz234567");

	return n > 0 && n <= 128 && id[n] == '\0';
}

static struct bridge *bridge_new(const struct spec *spec,
	const struct call *call, GError **err)
{
	const char *env = g_getenv("CLOUDFLARE_SANDBOX_URL");
	const char *base = spec->base_url ? spec->base_url : env;
	struct bridge *b;
	char *key;

	if (!base || !*base) {
		fail(err, FAIL_USAGE,
			"sandbox cloudflare:%s: set CLOUDFLARE_SANDBOX_URL, or "
			"give the spec baseUrl: https://WORKER of the bridge",
			spec->sandbox_id);
		return NULL;
	}
	key = credential_get(spec, "CLOUDFLARE_SANDBOX_API_KEY", call, err);
	if (!key)
		return NULL;
	b = g_new0(struct bridge, 1);
	b->http = http_new(&(struct http_config){ 0 });
	b->spec = spec_copy(spec);
	g_autofree char *own = g_strdup(base);

	while (g_str_has_suffix(own, "/"))
		own[strlen(own) - 1] = '\0';
	b->url = g_strconcat(own, "/v1/sandbox", NULL);
	b->auth = g_strconcat("Authorization: Bearer ", key, NULL);
	b->lifetime_ms = spec->lifetime_ms ? spec->lifetime_ms : LIFETIME_MS;
	credential_free(key);
	return b;
}

static void cf_close(void *state)
{
	struct bridge *b = state;

	if (!b)
		return;
	http_free(b->http);
	spec_free(b->spec);
	g_free(b->url);
	credential_free(b->auth);
	g_free(b);
}

static void cf_caps(void *state, struct remote_caps *caps)
{
	(void)state;
	*caps = (struct remote_caps){
		.max_parallel = 4, .binary_out = true, .stdin_ok = false,
	};
}

/* A question whose answer is kept; may be asked again. */
static int ask(struct bridge *b, const char *method, const char *path,
	const char *text, size_t len, const struct call *call,
	struct http_answer *a, GError **err)
{
	g_autofree char *url = g_strconcat(b->url, path, NULL);
	const char *headers[] = { b->auth,
		text ? "Content-Type: application/octet-stream" : NULL, NULL };
	struct http_request q = {
		.method = method, .url = url, .headers = headers,
		.text = text, .text_len = len,
	};

	return http_ask_again(b->http, &q, true, call, a, err);
}

static int cf_create(const struct spec *spec, const struct call *call,
	char **id, GError **err)
{
	struct bridge *b = bridge_new(spec, call, err);
	struct http_answer a = { 0 };
	struct json *j;
	const char *told;
	int r;

	if (!b)
		return -EINVAL;
	r = ask(b, "POST", "", NULL, 0, call, &a, err);
	if (r == 0 && a.status != 200)
		r = http_refused(&a, "making a sandbox", err);
	if (r == 0) {
		j = json_parse(a.text->str, a.text->len, NULL);
		told = json_string(json_get(j, "id"));
		if (told && is_id(told))
			*id = g_strdup(told);
		else
			r = fail(err, FAIL_PROTOCOL,
				"making a sandbox: the answer has no id");
		json_free(j);
	}
	http_answer_clear(&a);
	cf_close(b);
	return r < 0 ? -EIO : 0;
}

static int cf_renew(void *state, const struct call *call, int64_t *expires_ms,
	GError **err)
{
	struct bridge *b = state;
	g_autofree char *path =
		g_strdup_printf("/%s/running", b->spec->sandbox_id);
	struct http_answer a = { 0 };
	int r = ask(b, "GET", path, NULL, 0, call, &a, err);

	if (r == 0 && a.status != 200)
		r = http_refused(&a, "asking whether the sandbox runs", err);
	*expires_ms = io_wall_ns() / 1000000 + b->lifetime_ms;
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}

static int cf_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	struct bridge *b;
	int64_t expires_ms;

	if (!is_id(spec->sandbox_id))
		return fail(err, FAIL_USAGE,
			"the sandboxId of a cloudflare sandbox has letters a-z "
			"and digits 2-7 only, at most 128");
	b = bridge_new(spec, call, err);
	if (!b)
		return -EINVAL;
	if (cf_renew(b, call, &expires_ms, err) < 0) {
		cf_close(b);
		return -EIO;
	}
	*state = b;
	return 0;
}

/* --- one command ----------------------------------------------------------- */

struct run {
	struct event_stream events;
	struct http_answer *a;
	struct call *call;
	struct sink *out, *err_out;
	struct remote_stats *stats;
	int state;		/* of the base64 decoder */
	guint save;
	bool ended;
	int status;
	char *failed;		/* what an error event said, owned */
};

static int write_out(struct run *r, const char *text, size_t len)
{
	g_autofree guchar *raw = g_malloc(len / 4 * 3 + 4);
	gsize n = g_base64_decode_step(
		text, len, raw, &r->state, &r->save);

	return r->out && n ? r->out->write(r->out->ctx, raw, n) : 0;
}

/* The bridge's own base64 around what was printed. */
static int take_text(struct run *r, bool is_out, const char *data)
{
	gsize n;
	g_autofree guchar *text = g_base64_decode(data, &n);

	if (n == 0)
		return 0;
	if (is_out)
		return write_out(r, (char *)text, n);
	return r->err_out ? r->err_out->write(r->err_out->ctx, text, n) : 0;
}

static int take_exit(struct run *r, const char *data, size_t len)
{
	struct json *j = json_parse(data, len, NULL);
	int64_t code;
	int ret = -EPROTO;

	if (json_is_integer(json_get(j, "exit_code"), &code)) {
		r->ended = true;
		r->status = (int)(code & 255);
		ret = 0;
	}
	json_free(j);
	return ret;
}

static int on_event(void *ctx, const char *name, const char *data, size_t len)
{
	struct run *r = ctx;

	/* From here on it says something every 5 s. */
	r->call->stall_ms = STALL_MS;
	if (!strcmp(name, "stdout") || !strcmp(name, "stderr"))
		return take_text(r, name[3] == 'o', data);
	if (!strcmp(name, "exit"))
		return take_exit(r, data, len);
	if (!strcmp(name, "error") && !r->failed)
		r->failed = g_strndup(data, ERROR_KEPT);
	return 0;
}

static int on_bytes(void *ctx, const void *buf, size_t len)
{
	struct run *r = ctx;

	if (g_strcmp0(r->a->content_type, "text/event-stream"))
		return -EPROTO;
	r->stats->bytes_received += len;
	return event_stream_feed(&r->events, buf, len);
}

static char *exec_json(const char *input, uint64_t bytes, const char *script,
	const char *const *args, int64_t deadline_ms)
{
	struct json *j = json_new_object();
	struct json *argv = json_new_array();
	g_autofree char *count = g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
	g_autofree char *packed = sh_pack_args(args);
	g_autofree char *whole = g_strconcat(
		packed ? sh_unpack_args : "", script, NULL);
	const char *const head[] = { "sh", "-c", wrapper, "sh", input, count,
		whole };
	char *text;

	for (size_t i = 0; i < G_N_ELEMENTS(head); i++)
		json_append_string(argv, head[i]);
	if (packed)
		json_append_string(argv, packed);
	for (; !packed && args && *args; args++)
		json_append_string(argv, *args);
	json_put(j, "argv", argv);
	if (deadline_ms)
		json_put_int(j, "timeout_ms", deadline_ms + REMOTE_SLACK_MS);
	text = json_to_text(j, false);
	json_free(j);
	return text;
}

static int judge(struct run *r, GError **err)
{
	g_autofree char *said = NULL;

	if (r->a->status == 502) {
		/* Only this one says that nothing was begun. */
		said = http_message(r->a);
		if (strstr(r->a->text->str, "pool_error"))
			return fail(err, FAIL_UNAVAILABLE,
				"the bridge has no container: %s",
				said ? said : "pool_error");
	}
	if (r->a->status != 200)
		return http_refused(r->a, "a command in the sandbox", err);
	if (event_stream_finish(&r->events) < 0 || r->failed)
		return fail(err, FAIL_UNKNOWN, "a command in the sandbox: %s",
			r->failed ? "the bridge lost it" : "a garbled answer");
	if (!r->ended)
		return fail(err, FAIL_UNKNOWN,
			"a command in the sandbox: the stream ended without "
			"its exit code");
	if (r->status == EXIT_INPUT)
		return fail(err, FAIL_UNAVAILABLE,
			"what was sent did not arrive whole; nothing was done");
	return 0;
}

/* Busy is "not done": asked again, while the deadline lasts. */
static int exec_once(struct bridge *b, struct run *r, const char *json,
	GError **err)
{
	g_autofree char *url = g_strdup_printf("%s/%s/exec", b->url,
		b->spec->sandbox_id);
	const char *headers[] = { b->auth, "Content-Type: application/json",
		"Accept: text/event-stream", NULL };
	struct sink out = { .write = on_bytes, .ctx = r };
	struct http_request q = {
		.method = "POST", .url = url, .headers = headers,
		.text = json, .text_len = strlen(json), .out = &out,
	};
	int ret = http_ask(b->http, &q, r->call, r->a, err);

	r->stats->bytes_sent += q.text_len;
	if (ret == 0)
		ret = judge(r, err);
	return ret < 0 ? -EIO : 0;
}

static int exec(struct bridge *b, struct run *r, const char *json,
	const struct call *call, GError **err)
{
	struct call own = *call;
	struct http_answer a = { 0 };
	int ret;

	own.stall_ms = call->stall_ms ? call->stall_ms : FIRST_STALL_MS;
	r->a = &a;
	r->call = &own;
	event_stream_init(&r->events, on_event, r);
	ret = exec_once(b, r, json, err);
	event_stream_release(&r->events);
	http_answer_clear(&a);
	g_free(r->failed);
	return ret;
}

/* --- input ------------------------------------------------------------------ */

/* Up to LIMIT bytes of IN. */
static ssize_t read_part(struct source *in, char *buf, size_t limit)
{
	size_t have = 0;

	while (have < limit) {
		ssize_t n = in->read(in->ctx, buf + have, limit - have);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int put_part(struct bridge *b, const char *dir, unsigned number,
	const char *buf, size_t len, const struct call *call, GError **err)
{
	g_autofree char *path = g_strdup_printf("/%s/file%s/p%06u",
		b->spec->sandbox_id, dir, number);
	struct http_answer a = { 0 };
	int r = ask(b, "PUT", path, buf, len, call, &a, err);

	if (r == 0 && a.status != 200)
		r = http_refused(&a, "sending to the sandbox", err);
	http_answer_clear(&a);
	return r;
}

/* BUF holds LEN bytes of IN already. Puts all of it into DIR. */
static int put_parts(struct bridge *b, const char *dir, char *buf, size_t len,
	struct source *in, const struct call *call, uint64_t *bytes,
	GError **err)
{
	for (unsigned number = 0; len; number++) {
		ssize_t n;

		n = read_part(in, buf + len, PART_BYTES - len);
		if (n < 0)
			return fail(err, FAIL_UNAVAILABLE, "%s",
				g_strerror((int)-n));
		len += (size_t)n;
		if (put_part(b, dir, number, buf, len, call, err) < 0)
			return -EIO;
		*bytes += len;
		n = len == PART_BYTES ? read_part(in, buf, 1) : 0;
		if (n < 0)
			return fail(err, FAIL_UNAVAILABLE, "%s",
				g_strerror((int)-n));
		len = (size_t)n;
	}
	return 0;
}

/* In the runtime directory, which is never content. */
static char *staging_dir(const struct bridge *b)
{
	const char *cwd = b->spec->remote_cwd;
	g_autofree char *word = io_random_hex(12);
	bool inside = g_str_has_prefix(cwd, "/workspace/") ||
		!strcmp(cwd, "/workspace");

	/* Names that the bridge's URLs cannot carry go elsewhere. */
	for (const char *p = cwd; *p; p++)
		inside &= g_ascii_isalnum(*p) || strchr("/-._", *p);
	return g_strdup_printf("%s/.sandmount/.in-%s",
		inside ? cwd : "/workspace", word);
}

static void clean_up(struct bridge *b, const char *dir)
{
	const char *const args[] = { dir, NULL };
	struct call call = { .deadline_ms = CLEAN_UP_MS };
	struct remote_stats stats = { 0 };
	struct run r = { .stats = &stats };
	g_autofree char *json = exec_json(
		"-", 0, "rm -rf \"$1\"", args, CLEAN_UP_MS);

	exec(b, &r, json, &call, NULL);
}

static int cf_run(void *state, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	struct sink *err_out, struct remote_stats *stats, int *status,
	GError **err)
{
	struct bridge *b = state;
	struct run r = { .out = out, .err_out = err_out, .stats = stats };
	g_autofree char *buf = in ? g_try_malloc(PART_BYTES) : NULL;
	g_autofree char *dir = NULL, *input = NULL, *json = NULL;
	uint64_t bytes = 0;
	ssize_t n = 0;
	int ret = 0;

	if (in && !buf)
		return fail(err, FAIL_UNAVAILABLE, "out of memory");
	if (in)
		n = read_part(in, buf, INLINE_LIMIT + 1);
	if (n < 0)
		return fail(err, FAIL_UNAVAILABLE, "%s", g_strerror((int)-n));
	if (n > INLINE_LIMIT) {
		dir = staging_dir(b);
		ret = put_parts(b, dir, buf, (size_t)n, in, call, &bytes, err);
		input = g_strdup(dir);
		stats->bytes_sent += bytes;
	} else if (n > 0) {
		g_autofree char *text =
			g_base64_encode((guchar *)buf, (size_t)n);

		input = g_strconcat("=", text, NULL);
	}
	if (ret == 0) {
		json = exec_json(input ? input : "-", bytes, script, args,
			call->deadline_ms);
		ret = exec(b, &r, json, call, err);
	}
	if (ret < 0 && dir)
		clean_up(b, dir);
	*status = r.status;
	return ret < 0 ? -EIO : 0;
}

static int collect(void *ctx, const void *buf, size_t len)
{
	GString *s = ctx;

	if (s->len + len > 256)
		return -EFBIG;
	g_string_append_len(s, buf, (gssize)len);
	return 0;
}

static char *cf_identity(void *state, const struct call *call, GError **err)
{
	GString *text = g_string_new(NULL);
	struct sink out = { .write = collect, .ctx = text };
	struct remote_stats stats = { 0 };
	int status, r;

	r = cf_run(state, identity_script, NULL, call, NULL, &out, NULL,
		&stats, &status, err);
	if (r == 0 && text->len < 32)
		r = fail(err, FAIL_REMOTE,
			"sandbox cloudflare: its /tmp cannot be written; see "
			"its disk");
	return g_string_free(text, r < 0);
}

const struct remote_ops provider_cloudflare = {
	.name = "cloudflare",
	.leaves_running = true,
	.create = cf_create,
	.open = cf_open,
	.close = cf_close,
	.caps = cf_caps,
	.identity = cf_identity,
	.run = cf_run,
	.renew = cf_renew,
};
