/*
 * Provider "cloudflare": the bridges of Cloudflare's sandboxes over HTTPS, in
 * two dialects (cloudflare.h). Their traps, and what is done against each:
 *
 *	- what commands print is decoded as UTF-8: they print base64 here
 *	- commands have no standard input of bytes: it comes in the command, or
 *	  by parts that are put beside each other and counted there
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
#include "transport/cloudflare.h"
#include "transport/credential.h"
#include "transport/json.h"
#include "transport/sh_quote.h"

enum {
	STALL_MS = 20000,
	/* A container may have to start first. */
	FIRST_STALL_MS = 120000,
	CLEAN_UP_MS = 10000,
	EXIT_MORE = 96,		/* of the wrapper: output is left in its file */
	EXIT_INPUT = 98,
	/* Of the rest of the output, in one command; what the wrapper lets
	 * through at first is at most that, too. */
	CHUNK_MIB = 4,
};

/* $1: where the input is: "-" none, "=TEXT" base64, else a directory of parts
 * that has $2 bytes. $3: a file for the rest of much output, or "-". Then the
 * script and its arguments. A word every 5 s keeps the stream open; it is no
 * base64, so the decoder drops it. */
static const char wrapper[] =
	"sm_i=$1 sm_b=$2 sm_o=$3 sm_s=$4; shift 4; "
	"command -v base64 >/dev/null 2>&1 || { "
	"echo 'base64 is missing in the sandbox' >&2; exit 97; }; "
	"( while sleep 5 >/dev/null 2>&1; do echo . || exit; done ) </dev/null 2>&1 & "
	"sm_h=$!; "
	"sm_in() { case $sm_i in -) : ;; "
	"=*) printf %s \"${sm_i#=}\" | base64 -d ;; "
	"*) cat \"$sm_i\"/p*; rm -rf \"$sm_i\" ;; esac; }; "
	/* dd takes no byte that it does not pass on. */
	"sm_out() { case $sm_o in -) base64 ;; "
	"*) dd bs=65536 count=64 2>/dev/null | base64; cat >\"$sm_o\" ;; esac; }; "
	"case $sm_i in /*) [ \"$(cat \"$sm_i\"/p* | wc -c)\" -eq \"$sm_b\" ] "
	"|| { kill $sm_h; rm -rf \"$sm_i\"; exit 98; } ;; esac; "
	/* As the leader of a group it can be ended with what it started. */
	"sm_g=; command -v setsid >/dev/null 2>&1 && sm_g=setsid; "
	"sm_in | $sm_g sh -c \"$sm_s\" sh \"$@\" | sm_out; "
	"kill $sm_h 2>/dev/null; [ \"$sm_o\" = - ] && exit 0; "
	"[ -s \"$sm_o\" ] && exit 96; rm -f \"$sm_o\"; exit 0";

static const char marked_wrapper_head[] = "echo '" CF_MARK "'; ";

static const char identity_script[] =
	"f=/tmp/.sandmount-generation; "
	"[ -s $f ] || { (set -C; od -An -N16 -tx1 /dev/urandom | tr -d ' \\n' "
	">$f.$$ && mv $f.$$ $f) 2>/dev/null; }; cat $f";

/* --- opening --------------------------------------------------------------- */

/* The path of a URL; "" when it has none. */
static const char *url_path(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host ? strchr(host + 3, '/') : NULL;

	return path ? path : "";
}

static struct bridge *bridge_new(const struct spec *spec,
	const struct call *call, GError **err)
{
	const char *env = g_getenv("CLOUDFLARE_SANDBOX_URL");
	const char *base = spec->base_url ? spec->base_url : env;
	g_autofree char *own = NULL;
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
	mutex_init(&b->lock, RANK_LOG);
	b->http = http_new(&(struct http_config){ 0 });
	b->spec = spec_copy(spec);
	own = g_strdup(base);
	while (g_str_has_suffix(own, "/"))
		own[strlen(own) - 1] = '\0';
	b->dialect = g_str_has_prefix(url_path(own), "/api/")
		? &cloudflare_lease : &cloudflare_bridge;
	b->url = g_strconcat(own, b->dialect->path, NULL);
	b->auth = g_strconcat("Authorization: Bearer ", key, NULL);
	b->lifetime_ms = spec->lifetime_ms ? spec->lifetime_ms : CF_LIFETIME_MS;
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
	g_free(b->lease);
	g_free(b->acquisition);
	credential_free(b->auth);
	mutex_destroy(&b->lock);
	g_free(b);
}

static void cf_caps(void *state, struct remote_caps *caps)
{
	(void)state;
	*caps = (struct remote_caps){
		.max_parallel = 4, .binary_out = true, .stdin_ok = false,
	};
}

int bridge_ask(struct bridge *b, const char *method, const char *path,
	const char *type, const char *text, size_t len,
	const struct call *call, struct http_answer *a, GError **err)
{
	g_autofree char *url = g_strconcat(b->url, path, NULL);
	g_autofree char *content = type
		? g_strconcat("Content-Type: ", type, NULL) : NULL;
	const char *headers[] = { b->auth, content, NULL };
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
	int r;

	if (!b)
		return -EINVAL;
	r = b->dialect->create(b, call, id, err);
	cf_close(b);
	return r < 0 ? -EIO : 0;
}

static int cf_renew(void *state, const struct call *call, int64_t *expires_ms,
	GError **err)
{
	struct bridge *b = state;
	int r = b->dialect->renew(b, call, err);

	*expires_ms = io_wall_ns() / 1000000 + b->lifetime_ms;
	return r < 0 ? -EIO : 0;
}

static int cf_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	struct bridge *b = bridge_new(spec, call, err);

	if (!b)
		return -EINVAL;
	if (b->dialect->open(b, call, err) < 0) {
		cf_close(b);
		return -EIO;
	}
	*state = b;
	return 0;
}

/* Another's lease keeps a file in the workspace, which is neither ours to delete
 * nor anybody's work. */
static const char *cf_reserved(const struct spec *spec)
{
	return cloudflare_is_lease(spec->sandbox_id) ? "/.*-lease.json" : NULL;
}

/* --- one command ----------------------------------------------------------- */

int bridge_printed(struct run *r, const char *text, size_t len)
{
	g_autofree guchar *raw = g_malloc(len / 4 * 3 + 4);
	gsize n = g_base64_decode_step(
		text, len, raw, &r->state, &r->save);

	r->printed += n;
	return r->out && n ? r->out->write(r->out->ctx, raw, n) : 0;
}

struct listener {
	struct bridge *b;
	struct run *r;
};

static int on_event(void *ctx, const char *name, const char *data, size_t len)
{
	struct listener *l = ctx;

	/* From here on it says something every 5 s. */
	l->r->call->stall_ms = STALL_MS;
	return l->b->dialect->event(l->r, name, data, len);
}

static int on_bytes(void *ctx, const void *buf, size_t len)
{
	struct run *r = ctx;

	if (g_strcmp0(r->a->content_type, "text/event-stream"))
		return -EPROTO;
	r->stats->bytes_received += len;
	return event_stream_feed(&r->events, buf, len);
}

int bridge_post(struct bridge *b, struct run *r, const char *path,
	const struct json *body, GError **err)
{
	g_autofree char *url = g_strconcat(b->url, path, NULL);
	g_autofree char *text = json_to_text(body, false);
	const char *headers[] = { b->auth, "Content-Type: application/json",
		"Accept: text/event-stream", NULL };
	struct sink out = { .write = on_bytes, .ctx = r };
	struct http_request q = {
		.method = "POST", .url = url, .headers = headers,
		.text = text, .text_len = strlen(text), .out = &out,
	};

	r->stats->bytes_sent += q.text_len;
	return http_ask(b->http, &q, r->call, r->a, err);
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

int bridge_exec(struct bridge *b, struct run *r, const char *const *argv,
	const char *stdin_text, const struct call *call, GError **err)
{
	struct listener l = { b, r };
	struct call own = *call;
	struct http_answer a = { 0 };
	int ret;

	own.stall_ms = call->stall_ms ? call->stall_ms : FIRST_STALL_MS;
	r->a = &a;
	r->call = &own;
	event_stream_init(&r->events, on_event, &l);
	ret = b->dialect->exec(b, r, argv, stdin_text, call->deadline_ms, err);
	if (ret == 0)
		ret = judge(r, err);
	event_stream_release(&r->events);
	http_answer_clear(&a);
	g_clear_pointer(&r->failed, g_free);
	return ret < 0 ? -EIO : 0;
}

/* What a command is made of. */
struct command {
	const char *input;	/* as the wrapper's first word; NULL: none */
	uint64_t bytes;		/* of input by parts */
	const char *rest;	/* a file for much output; NULL: none */
	const char *script;
	const char *const *args;
};

static int exec(struct bridge *b, struct run *r, const struct command *c,
	const struct call *call, GError **err)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *count = g_strdup_printf(
		"%" G_GUINT64_FORMAT, c->bytes);
	g_autofree char *packed = sh_pack_args(c->args);
	g_autofree char *whole = g_strconcat(
		packed ? sh_unpack_args : "", c->script, NULL);
	g_autofree char *around = g_strconcat(
		b->dialect->whole_output ? marked_wrapper_head : "", wrapper,
		NULL);
	const char *const head[] = { "sh", "-c", around, "sh",
		c->input ? c->input : "-", count, c->rest ? c->rest : "-",
		whole };

	for (size_t i = 0; i < G_N_ELEMENTS(head); i++)
		g_ptr_array_add(argv, (gpointer)head[i]);
	if (packed)
		g_ptr_array_add(argv, packed);
	for (const char *const *w = c->args; !packed && w && *w; w++)
		g_ptr_array_add(argv, (gpointer)*w);
	g_ptr_array_add(argv, NULL);
	return bridge_exec(b, r, (const char *const *)argv->pdata, NULL, call,
		err);
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

/* BUF holds LEN bytes of IN already. Puts all of it into DIR. */
static int put_parts(struct bridge *b, const char *dir, char *buf, size_t len,
	struct source *in, const struct call *call, uint64_t *bytes,
	GError **err)
{
	const size_t limit = b->dialect->part_bytes;

	for (unsigned number = 0; len; number++) {
		g_autofree char *name = g_strdup_printf("p%06u", number);
		ssize_t n;

		n = read_part(in, buf + len, limit - len);
		if (n < 0)
			return fail(err, FAIL_UNAVAILABLE, "%s",
				g_strerror((int)-n));
		len += (size_t)n;
		if (b->dialect->put_part(b, dir, name, buf, len, call, err) < 0)
			return -EIO;
		*bytes += len;
		n = len == limit ? read_part(in, buf, 1) : 0;
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

/* Best effort. */
static void clean_up(struct bridge *b, const char *path)
{
	const char *const args[] = { path, NULL };
	struct call call = { .deadline_ms = CLEAN_UP_MS };
	struct remote_stats stats = { 0 };
	struct run r = { .stats = &stats };

	exec(b, &r, &(struct command){
		.script = "rm -rf \"$1\"", .args = args }, &call, NULL);
}

/* --- much output ------------------------------------------------------------- */

/* The next CHUNK_MIB of FILE, the Nth; *BYTES of it came. */
static int fetch_chunk(struct bridge *b, struct run *r, const char *file,
	unsigned n, const struct call *call, uint64_t *bytes, GError **err)
{
	g_autofree char *skip = g_strdup_printf("%u", n * CHUNK_MIB);
	g_autofree char *count = g_strdup_printf("%d", CHUNK_MIB);
	const char *const args[] = { file, skip, count, NULL };
	struct run part = { .stats = r->stats, .out = r->out };
	int ret = exec(b, &part, &(struct command){
		.script = "dd if=\"$1\" bs=1048576 skip=\"$2\" count=\"$3\" "
			"2>/dev/null",
		.args = args }, call, err);

	*bytes = part.printed;
	r->printed += part.printed;
	return ret;
}

static int fetch_rest(struct bridge *b, struct run *r, const char *file,
	const struct call *call, GError **err)
{
	uint64_t bytes = (uint64_t)CHUNK_MIB << 20;
	int ret = 0;

	for (unsigned n = 0; ret == 0 && bytes == CHUNK_MIB << 20; n++)
		ret = fetch_chunk(b, r, file, n, call, &bytes, err);
	clean_up(b, file);
	if (ret == 0)
		r->status = 0;
	return ret;
}

/* --- run ---------------------------------------------------------------------- */

/* C's input from IN; where it went by parts, *DIR is their directory. */
static int give_input(struct bridge *b, struct source *in,
	const struct call *call, struct command *c, char **text, char **dir,
	GError **err)
{
	g_autofree char *buf = g_try_malloc(b->dialect->part_bytes);
	ssize_t n = buf ? read_part(in, buf, b->dialect->inline_bytes + 1)
			: -ENOMEM;

	if (n < 0)
		return fail(err, FAIL_UNAVAILABLE, "%s", g_strerror((int)-n));
	if ((size_t)n > b->dialect->inline_bytes) {
		c->input = *dir = staging_dir(b);
		return put_parts(b, *dir, buf, (size_t)n, in, call, &c->bytes,
			err);
	}
	if (n > 0) {
		g_autofree char *packed =
			g_base64_encode((guchar *)buf, (size_t)n);

		c->input = *text = g_strconcat("=", packed, NULL);
	}
	return 0;
}

static int cf_run(void *state, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	struct sink *err_out, struct remote_stats *stats, int *status,
	GError **err)
{
	struct bridge *b = state;
	struct run r = { .out = out, .err_out = err_out, .stats = stats };
	struct command c = { .script = script, .args = args };
	g_autofree char *dir = NULL, *text = NULL, *rest = NULL;
	int ret = 0;

	if (b->dialect->whole_output) {
		g_autofree char *word = io_random_hex(12);

		c.rest = rest = g_strconcat("/tmp/.sandmount-out-", word, NULL);
	}
	if (in)
		ret = give_input(b, in, call, &c, &text, &dir, err);
	stats->bytes_sent += c.bytes;
	if (ret == 0)
		ret = exec(b, &r, &c, call, err);
	if (ret < 0 && dir)
		clean_up(b, dir);
	if (ret == 0 && rest && r.status == EXIT_MORE)
		ret = fetch_rest(b, &r, rest, call, err);
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
	.reserved = cf_reserved,
};
