/*
 * The control plane of E2B: plain REST with JSON. Two generations of routes are
 * in use; the first is asked first, and the one that answers is remembered.
 */
#include "transport/e2b.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "transport/credential.h"
#include "transport/json.h"

enum { LOOK_UPS = 5, LOOK_UP_MS = 1000, LOOK_UP_DEADLINE_MS = 20000,
	SLACK_MS = 1000 };

static const char default_domain[] = "e2b.app";

/* Those of the vendor route by header; elsewhere the host name does. */
static const char *const routed_domains[] = {
	"e2b.app", "e2b.dev", "e2b.pro", "e2b-staging.dev", NULL,
};

void e2b_access_clear(struct e2b_access *a)
{
	g_free(a->url);
	credential_free(a->token);
	*a = (struct e2b_access){ 0 };
}

static const char *env_or(const char *own, const char *name,
	const char *fallback)
{
	const char *value = g_getenv(name);

	if (own)
		return own;
	return value && *value ? value : fallback;
}

static char *without_slash(const char *url)
{
	char *own = g_strdup(url);
	size_t n = strlen(own);

	while (n && own[n - 1] == '/')
		own[--n] = '\0';
	return own;
}

/* Goes into host names and paths. */
static bool is_plain_id(const char *id)
{
	size_t n = strlen(id);

	for (const char *p = id; *p; p++)
		if (!g_ascii_isalnum(*p) && *p != '-')
			return false;
	return n > 0 && n <= 128;
}

struct e2b *e2b_new(const struct spec *spec, const struct call *call,
	GError **err)
{
	struct e2b *e;
	char *key;

	if (!is_plain_id(spec->sandbox_id)) {
		fail(err, FAIL_USAGE,
			"the sandboxId of an e2b sandbox has letters, digits "
			"and '-' only");
		return NULL;
	}
	key = credential_get(spec, "E2B_API_KEY", call, err);
	if (!key)
		return NULL;
	e = g_new0(struct e2b, 1);
	mutex_init(&e->lock, RANK_LOG);
	e->http = http_new(&(struct http_config){ 0 });
	e->spec = spec_copy(spec);
	e->key_header = g_strconcat("X-API-Key: ", key, NULL);
	credential_free(key);
	e->domain = g_strdup(env_or(spec->domain, "E2B_DOMAIN",
		default_domain));
	g_autofree char *api = g_strconcat("https://api.", e->domain, NULL);

	e->api_url = without_slash(
		env_or(spec->base_url, "E2B_API_URL", api));
	e->id = g_strdup(spec->sandbox_id);
	e->lifetime_s = (int)((spec->lifetime_ms ? spec->lifetime_ms
		: SPEC_DEFAULT_LIFETIME_MS) / 1000);
	e->resume = spec->resume != SPEC_NO;
	return e;
}

void e2b_free(struct e2b *e)
{
	if (!e)
		return;
	http_free(e->http);
	spec_free(e->spec);
	g_free(e->api_url);
	credential_free(e->key_header);
	g_free(e->domain);
	g_free(e->id);
	e2b_access_clear(&e->access);
	mutex_destroy(&e->lock);
	g_free(e);
}

/* --- asking ------------------------------------------------------------- */

struct question {
	const char *method, *path;
	const char *body;	/* JSON, or NULL */
	bool repeatable;	/* does no harm when done twice */
};

static int ask(struct e2b *e, const struct question *k, const struct call *call,
	struct http_answer *a, GError **err)
{
	g_autofree char *url = g_strconcat(e->api_url, k->path, NULL);
	const char *headers[] = {
		e->key_header,
		"Accept: application/json",
		k->body ? "Content-Type: application/json" : NULL,
		NULL,
	};
	struct http_request q = {
		.method = k->method, .url = url, .headers = headers,
		.text = k->body, .text_len = k->body ? strlen(k->body) : 0,
	};

	return http_ask_again(e->http, &q, k->repeatable, call, a, err);
}

static bool use_v2(struct e2b *e)
{
	bool v2;

	mutex_lock(&e->lock);
	v2 = e->use_v2;
	mutex_unlock(&e->lock);
	return v2;
}

/* The server does not have this route, as opposed to this sandbox. */
static bool is_no_route(const struct http_answer *a)
{
	g_autofree char *said = http_message(a);

	if (a->status == 405 || a->status == 410)
		return true;
	if (!said)
		return false;
	return (a->status == 404 && strstr(said, "no matching operation")) ||
		(a->status == 400 && strcasestr(said, "method not allowed"));
}

/* Asks by the routes of the generation that answered last, then by the other.
 * MAKE fills path and body for one of them. */
static int ask_either(struct e2b *e, struct question *k,
	void (*make)(struct e2b *e, bool v2, char **path, char **body),
	const struct call *call, struct http_answer *a, GError **err)
{
	bool v2 = use_v2(e);
	int r = 0;

	for (int i = 0; i < 2; i++, v2 = !v2) {
		g_autofree char *path = NULL, *body = NULL;

		make(e, v2, &path, &body);
		k->path = path;
		k->body = body;
		http_answer_clear(a);
		r = ask(e, k, call, a, err);
		if (r < 0 || !is_no_route(a))
			break;
	}
	if (r == 0 && a->status < 300) {
		mutex_lock(&e->lock);
		e->use_v2 = v2;
		mutex_unlock(&e->lock);
	}
	return r;
}

static int gone(const struct e2b *e, GError **err)
{
	return fail(err, FAIL_GONE,
		"sandbox e2b:%s has ended or never was; `sandmount restore` "
		"brings home what the mirror holds, a new sandbox comes with "
		"--template", e->id);
}

static int refused(const struct e2b *e, const struct http_answer *a,
	const char *what, GError **err)
{
	if (a->status == 404 && !is_no_route(a))
		return gone(e, err);
	if (a->status == 409)
		return fail(err, FAIL_UNAVAILABLE,
			"%s: sandbox e2b:%s is just changing its state; try "
			"again", what, e->id);
	http_refused(a, what, err);
	/* "No such route" is not "no such sandbox". */
	if (err && *err && (*err)->code == FAIL_GONE)
		(*err)->code = FAIL_REMOTE;
	return -EIO;
}

/* --- what it answers ------------------------------------------------------ */

static bool is_header_safe(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	return true;
}

static char *envd_url(const struct e2b *e, const char *id, const char *domain)
{
	const char *own = env_or(e->spec->sandbox_url, "E2B_SANDBOX_URL", NULL);

	if (own)
		return without_slash(own);
	if (!domain || !*domain)
		domain = e->domain;
	if (g_strv_contains(routed_domains, domain))
		return g_strconcat("https://sandbox.", domain, NULL);
	return g_strdup_printf("https://49983-%s.%s", id, domain);
}

/* A sandbox object into our access. */
static int take_access(struct e2b *e, const struct http_answer *a, GError **err)
{
	struct json *j = json_parse(a->text->str, a->text->len, NULL);
	const char *id = json_string(json_get(j, "sandboxID"));
	const char *token = json_string(json_get(j, "envdAccessToken"));
	const char *version = json_string(json_get(j, "envdVersion"));
	const char *domain = json_string(json_get(j, "domain"));
	struct e2b_access fresh = { 0 };

	if (!id || !is_plain_id(id) || (token && !is_header_safe(token))) {
		json_free(j);
		return fail(err, FAIL_PROTOCOL,
			"%s: its answer is not about a sandbox; see that it is "
			"the URL of an E2B control plane", e->api_url);
	}
	fresh.url = envd_url(e, id, domain);
	fresh.token = token && *token ? g_strdup(token) : NULL;
	if (version)
		sscanf(version, "%u.%u.%u", &fresh.version[0],
			&fresh.version[1], &fresh.version[2]);
	mutex_lock(&e->lock);
	e2b_access_clear(&e->access);
	e->access = fresh;
	mutex_unlock(&e->lock);
	json_free(j);
	return 0;
}

static void note_renewed(struct e2b *e, int64_t end_ms)
{
	mutex_lock(&e->lock);
	e->renewed_ns = io_now_ns();
	e->expires_ms = end_ms ? end_ms
		: io_wall_ns() / 1000000 + (int64_t)e->lifetime_s * 1000;
	mutex_unlock(&e->lock);
}

/* --- attach, state, life -------------------------------------------------- */

static void make_connect(struct e2b *e, bool v2, char **path, char **body)
{
	*path = g_strdup_printf("%s/sandboxes/%s/connect", v2 ? "/v2" : "",
		e->id);
	*body = g_strdup_printf("{\"timeout\":%d}", e->lifetime_s);
}

int e2b_connect(struct e2b *e, const struct call *call, GError **err)
{
	struct question k = { .method = "POST", .repeatable = true };
	struct http_answer a = { 0 };
	int r = ask_either(e, &k, make_connect, call, &a, err);

	if (r == 0 && a.status != 200 && a.status != 201)
		r = refused(e, &a, "attaching to the sandbox", err);
	if (r == 0)
		r = take_access(e, &a, err);
	if (r == 0 && a.status == 201)
		log_write(LOG_INFO, "e2b: sandbox %s was paused and is awake "
			"again", e->id);
	if (r == 0)
		note_renewed(e, 0);
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}

int e2b_ask_state(struct e2b *e, const struct call *call,
	enum e2b_state *state, int64_t *end_ms, GError **err)
{
	g_autofree char *path = g_strconcat("/sandboxes/", e->id, NULL);
	struct question k = {
		.method = "GET", .path = path, .repeatable = true,
	};
	struct http_answer a = { 0 };
	struct json *j;
	int r = ask(e, &k, call, &a, err);

	*end_ms = 0;
	*state = E2B_ENDED;
	if (r == 0 && a.status != 404 && a.status != 200)
		r = refused(e, &a, "asking for the sandbox", err);
	if (r == 0 && a.status == 200) {
		j = json_parse(a.text->str, a.text->len, NULL);
		const char *word = json_string(json_get(j, "state"));
		const char *end = json_string(json_get(j, "endAt"));
		g_autoptr(GDateTime) t = end
			? g_date_time_new_from_iso8601(end, NULL) : NULL;

		*state = word && !strcmp(word, "paused") ? E2B_PAUSED
							 : E2B_RUNNING;
		if (t)
			*end_ms = g_date_time_to_unix(t) * 1000 +
				g_date_time_get_microsecond(t) / 1000;
		json_free(j);
	}
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}

int e2b_wake(struct e2b *e, const struct call *call, GError **err)
{
	enum e2b_state state;
	int64_t end_ms;

	if (e2b_ask_state(e, call, &state, &end_ms, err) < 0)
		return -EIO;
	if (state == E2B_ENDED)
		return gone(e, err);
	if (state == E2B_PAUSED && !e->resume)
		return fail(err, FAIL_UNAVAILABLE,
			"sandbox e2b:%s is paused, and its spec says \"resume\":"
			" false; wake it, what is unsent waits", e->id);
	return e2b_connect(e, call, err);
}

static int set_timeout(struct e2b *e, const struct call *call, GError **err)
{
	g_autofree char *path =
		g_strdup_printf("/sandboxes/%s/timeout", e->id);
	g_autofree char *body =
		g_strdup_printf("{\"timeout\":%d}", e->lifetime_s);
	struct question k = {
		.method = "POST", .path = path, .body = body,
		.repeatable = true,
	};
	struct http_answer a = { 0 };
	int r = ask(e, &k, call, &a, err);

	if (r == 0 && a.status == 404 && !is_no_route(&a))
		r = e2b_wake(e, call, err);
	else if (r == 0 && a.status >= 300)
		r = refused(e, &a, "renewing the sandbox's life", err);
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}

/* The request sets the end, so it may also shorten a life that somebody made
 * longer; and the plan's limit caps it without a word. So the end is asked for
 * before and after. */
int e2b_renew(struct e2b *e, const struct call *call, GError **err)
{
	int64_t want = io_wall_ns() / 1000000 + (int64_t)e->lifetime_s * 1000;
	enum e2b_state state;
	int64_t end_ms;

	if (e2b_ask_state(e, call, &state, &end_ms, err) < 0)
		return -EIO;
	if (state != E2B_RUNNING)
		return e2b_wake(e, call, err);
	if (end_ms < want - SLACK_MS) {
		if (set_timeout(e, call, err) < 0)
			return -EIO;
		if (e2b_ask_state(e, call, &state, &end_ms, NULL) < 0)
			end_ms = 0;
	}
	note_renewed(e, end_ms);
	return 0;
}

/* --- create -------------------------------------------------------------- */

/* When its life ends it is paused, not killed: work that was done in it since
 * the last refresh is not lost. */
static char *create_body(const struct e2b *e, const char *mark, bool v2)
{
	struct json *j = json_new_object();
	struct json *meta = json_new_object();
	char *text;

	json_put_string(j, "templateID", e->spec->template);
	json_put_int(j, "timeout", e->lifetime_s);
	if (!v2)
		json_put_bool(j, "secure", true);
	json_put_bool(j, "autoPause", true);
	json_put_string(meta, "sandmount", mark);
	json_put(j, "metadata", meta);
	text = json_to_text(j, false);
	json_free(j);
	return text;
}

static int ask_create(struct e2b *e, const char *mark, const struct call *call,
	struct http_answer *a, GError **err)
{
	bool v2 = use_v2(e);
	int r = 0;

	for (int i = 0; i < 2; i++, v2 = !v2) {
		g_autofree char *body = create_body(e, mark, v2);
		struct question k = {
			.method = "POST", .body = body,
			.path = v2 ? "/v2/sandboxes" : "/sandboxes",
		};

		http_answer_clear(a);
		r = ask(e, &k, call, a, err);
		if (r < 0 || !is_no_route(a))
			break;
	}
	return r;
}

/* The id of the sandbox that carries MARK; NULL without *ERR: none does. */
static char *look_up(struct e2b *e, const char *mark, const struct call *call,
	GError **err)
{
	g_autofree char *path = g_strdup_printf(
		"/v2/sandboxes?metadata=sandmount%%3D%s&limit=1", mark);
	struct question k = {
		.method = "GET", .path = path, .repeatable = true,
	};
	struct http_answer a = { 0 };
	struct json *j = NULL;
	const char *id = NULL;
	char *found = NULL;

	if (ask(e, &k, call, &a, err) == 0 && a.status == 200) {
		j = json_parse(a.text->str, a.text->len, NULL);
		id = json_string(json_get(json_at(j, 0), "sandboxID"));
		if (id && is_plain_id(id))
			found = g_strdup(id);
	}
	json_free(j);
	http_answer_clear(&a);
	return found;
}

/* The answer was lost: was the sandbox made? */
static char *find_lost(struct e2b *e, const char *mark, const struct call *own)
{
	const struct call short_call = {
		.deadline_ms = LOOK_UP_DEADLINE_MS, .cancel = own->cancel,
	};
	const struct call *call = &short_call;

	for (int i = 0; i < LOOK_UPS; i++) {
		char *id = look_up(e, mark, call, NULL);

		if (id)
			return id;
		if (http_wait(LOOK_UP_MS, 0, call->cancel, NULL) < 0)
			break;
	}
	return NULL;
}

static bool is_lost(const GError *why, const struct http_answer *a)
{
	if (why)
		return why->code == FAIL_UNKNOWN ||
			why->code == FAIL_DEADLINE;
	return a->status == 500 || a->status == 502 || a->status == 504;
}

static int no_sandbox(const struct e2b *e, const struct http_answer *a,
	GError **err)
{
	g_autofree char *said = http_message(a);

	if (a->status != 404)
		return http_refused(a, "making a sandbox", err);
	return fail(err, FAIL_REMOTE, "making a sandbox of template %s: %s",
		e->spec->template, said ? said : "there is no such template");
}

int e2b_create(struct e2b *e, const struct call *call, char **id, GError **err)
{
	struct http_answer a = { 0 };
	g_autoptr(GError) why = NULL;
	g_autofree char *mark = io_random_hex(16);
	char *found = NULL;
	int r;

	r = ask_create(e, mark, call, &a, &why);
	if (is_lost(why, &a)) {
		found = find_lost(e, mark, call);
		r = found ? 0 : r;
	} else if (r == 0 && a.status == 201) {
		struct json *j = json_parse(a.text->str, a.text->len, NULL);
		const char *told = json_string(json_get(j, "sandboxID"));

		found = told && is_plain_id(told) ? g_strdup(told) : NULL;
		json_free(j);
	}
	if (found)
		*id = found;
	else if (r < 0)
		g_propagate_prefixed_error(err, g_steal_pointer(&why),
			"making a sandbox of template %s: ", e->spec->template);
	else if (a.status == 201)
		r = fail(err, FAIL_PROTOCOL,
			"making a sandbox: the answer has no usable id");
	else
		r = no_sandbox(e, &a, err);
	http_answer_clear(&a);
	return r < 0 ? -EIO : 0;
}
