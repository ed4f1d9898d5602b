#include "transport/docker_engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/json.h"

/* Everything asked is the same in all of these versions. */
enum { VERSION_MAJOR = 1, VERSION_LOWEST = 24, VERSION_HIGHEST = 47 };
enum { ANSWER_LIMIT = 8 << 20, HEADER_LIMIT = 64 << 10 };

struct docker_engine {
	char *socket;
	unsigned minor;		/* of the version spoken */
	struct http *http;
};

/* --- where it is ---------------------------------------------------------- */

static char *from_environment(const char *name, GError **err)
{
	const char *host = g_getenv(name);

	if (!host || !*host)
		return NULL;
	if (g_str_has_prefix(host, "unix://") && host[7] == '/')
		return g_strdup(host + 7);
	g_autofree char *shown = path_display(host);

	fail(err, FAIL_USAGE,
		"%s=%s: only a Unix socket (unix:///PATH) is spoken to; for an "
		"engine elsewhere use provider ssh, or a command like "
		"[\"docker\", \"exec\", \"-i\", \"NAME\"]", name, shown);
	return NULL;
}

static char *find_socket(GError **err)
{
	static const char *const variables[] = { "DOCKER_HOST",
		"CONTAINER_HOST" };
	static const char *const places[] = { "/var/run", "docker.sock", NULL,
		"docker.sock", "/run/podman", "podman.sock", NULL,
		"podman/podman.sock" };
	g_autoptr(GError) why = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
		char *path = from_environment(variables[i], &why);

		if (path)
			return path;
		if (why) {
			g_propagate_error(err, g_steal_pointer(&why));
			return NULL;
		}
	}
	for (size_t i = 0; i < G_N_ELEMENTS(places); i += 2) {
		const char *dir = places[i] ? places[i]
					    : g_get_user_runtime_dir();
		char *path = g_build_filename(dir, places[i + 1], NULL);

		if (access(path, F_OK) == 0)
			return path;
		g_free(path);
	}
	return g_strdup("/var/run/docker.sock");
}

static int unreachable(const struct docker_engine *e, const GError *why,
	GError **err)
{
	if (why->code != FAIL_UNAVAILABLE)
		return fail(err, (enum fail_code)why->code,
			"container engine at %s: %s", e->socket, why->message);
	if (access(e->socket, F_OK) == 0 && access(e->socket, W_OK) < 0)
		return fail(err, FAIL_UNAVAILABLE,
			"container engine at %s: you may not speak to it; join "
			"its group (docker), or use your own engine by "
			"DOCKER_HOST=unix:///PATH", e->socket);
	return fail(err, FAIL_UNAVAILABLE,
		"container engine at %s: nobody answers; start Docker or "
		"`podman system service --time=0`, or set DOCKER_HOST="
		"unix:///PATH", e->socket);
}

/* --- asking ---------------------------------------------------------------- */

void docker_answer_clear(struct docker_answer *a)
{
	json_free(a->json);
	g_free(a->message);
	*a = (struct docker_answer){ 0 };
}

static char *message_of(const struct json *j, const char *text)
{
	const char *words = json_string(json_get(j, "message"));

	return path_display(words ? words : text);
}

static void take_body(struct docker_answer *a, const char *text, size_t len)
{
	a->json = len ? json_parse(text, len, NULL) : NULL;
	if (a->status >= 400) {
		g_autofree char *copy = g_strndup(text, MIN(len, 1000));

		a->message = message_of(a->json, g_strstrip(copy));
	}
}

struct body {
	const char *text;
	size_t left;
};

static ssize_t read_body(void *ctx, void *buf, size_t len)
{
	struct body *b = ctx;
	size_t n = MIN(len, b->left);

	memcpy(buf, b->text, n);
	b->text += n;
	b->left -= n;
	return (ssize_t)n;
}

static int ask_url(struct docker_engine *e, const char *method,
	const char *url, const char *body, const struct call *call,
	struct docker_answer *a, GError **err)
{
	static const char *const headers[] = {
		"Content-Type: application/json", NULL };
	struct body b = { body, body ? strlen(body) : 0 };
	struct source source = { .read = read_body, .ctx = &b };
	struct http_request q = {
		.method = method,
		.url = url,
		.headers = body ? headers : NULL,
		.body = body ? &source : NULL,
		.body_size = (int64_t)b.left,
		.keep_limit = ANSWER_LIMIT,
	};
	struct http_answer got = { 0 };
	g_autoptr(GError) why = NULL;
	int r = http_ask(e->http, &q, call, &got, &why);

	if (r == 0) {
		a->status = got.status;
		take_body(a, got.text ? got.text->str : "",
			got.text ? got.text->len : 0);
	} else {
		r = unreachable(e, why, err);
	}
	http_answer_clear(&got);
	return r;
}

static char *url_of(const struct docker_engine *e, const char *path)
{
	return g_strdup_printf("http://localhost/v%d.%u%s", VERSION_MAJOR,
		e->minor, path);
}

int docker_engine_ask(struct docker_engine *e, const char *method,
	const char *path, const char *body, const struct call *call,
	struct docker_answer *a, GError **err)
{
	g_autofree char *url = url_of(e, path);

	return ask_url(e, method, url, body, call, a, err);
}

/* --- the version ------------------------------------------------------------ */

/* The MINOR of "1.MINOR"; 0: not that. */
static unsigned minor_of(const char *version)
{
	unsigned major = 0, minor = 0;

	if (!version || sscanf(version, "%3u.%3u", &major, &minor) != 2 ||
		major != VERSION_MAJOR)
		return 0;
	return minor;
}

static int choose_version(struct docker_engine *e, const struct json *j,
	GError **err)
{
	unsigned theirs = minor_of(json_string(json_get(j, "ApiVersion")));
	unsigned lowest = minor_of(json_string(json_get(j, "MinAPIVersion")));
	unsigned asked = minor_of(g_getenv("DOCKER_API_VERSION"));

	if (!theirs)
		return fail(err, FAIL_PROTOCOL,
			"container engine at %s: does not speak the Docker "
			"Engine API; see DOCKER_HOST", e->socket);
	e->minor = MIN(theirs, asked ? asked : VERSION_HIGHEST);
	if (e->minor >= MAX(lowest, VERSION_LOWEST))
		return 0;
	return fail(err, FAIL_REMOTE,
		"container engine at %s: speaks versions 1.%u to 1.%u of its "
		"API, and we 1.%d to 1.%u; update the older one", e->socket,
		lowest, theirs, VERSION_LOWEST,
		asked ? asked : VERSION_HIGHEST);
}

static int negotiate(struct docker_engine *e, const struct call *call,
	GError **err)
{
	struct docker_answer a = { 0 };
	int r = ask_url(e, "GET", "http://localhost/version", NULL, call, &a,
		err);

	if (r == 0)
		r = choose_version(e, a.json, err);
	docker_answer_clear(&a);
	return r;
}

struct docker_engine *docker_engine_open(const struct call *call, GError **err)
{
	struct docker_engine *e = g_new0(struct docker_engine, 1);

	e->socket = find_socket(err);
	if (e->socket) {
		e->http = http_new(&(struct http_config){
			.unix_socket = e->socket,
		});
		if (negotiate(e, call, err) == 0)
			return e;
	}
	docker_engine_free(e);
	return NULL;
}

void docker_engine_free(struct docker_engine *e)
{
	if (!e)
		return;
	if (e->http)
		http_free(e->http);
	g_free(e->socket);
	g_free(e);
}

/* --- streams ------------------------------------------------------------------ */

/* Reads up to the blank line; what came after it goes to EARLY. The status, or
 * negative with *ERR. */
static int read_head(struct http_stream *s, const struct call *call,
	GByteArray *early, GString *head, GError **err)
{
	char buf[4096];
	const char *end;
	int status = 0;

	while (!(end = strstr(head->str, "\r\n\r\n"))) {
		ssize_t n = http_stream_receive(s, buf, sizeof(buf), call, err);

		if (n < 0)
			return -EIO;
		if (n == 0 || head->len > HEADER_LIMIT ||
			memchr(buf, '\0', (size_t)n))
			return fail(err, FAIL_UNKNOWN,
				"the container engine broke off");
		g_string_append_len(head, buf, n);
	}
	if (sscanf(head->str, "HTTP/1.%*1d %3d", &status) != 1)
		return fail(err, FAIL_PROTOCOL,
			"the container engine does not speak HTTP");
	end += 4;
	g_byte_array_append(early, (const guint8 *)end,
		(guint)(head->str + head->len - end));
	return status;
}

/* The body of a refusal, which ends with the connection. */
static void read_refusal(struct http_stream *s, const struct call *call,
	GByteArray *early, struct docker_answer *a)
{
	char buf[4096];
	ssize_t n = 0;

	while (early->len < HEADER_LIMIT &&
		(n = http_stream_receive(s, buf, sizeof(buf), call, NULL)) > 0)
		g_byte_array_append(early, (guint8 *)buf, (guint)n);
	take_body(a, (const char *)early->data, early->len);
}

struct http_stream *docker_engine_hijack(struct docker_engine *e,
	const char *path, const char *body, const struct call *call,
	GByteArray *early, struct docker_answer *a, GError **err)
{
	g_autofree char *url = url_of(e, path);
	g_autofree char *text = g_strdup_printf(
		"POST /v%d.%u%s HTTP/1.1\r\nHost: localhost\r\n"
		"Content-Type: application/json\r\nConnection: Upgrade\r\n"
		"Upgrade: tcp\r\nContent-Length: %zu\r\n\r\n%s",
		VERSION_MAJOR, e->minor, path, strlen(body), body);
	g_autoptr(GError) why = NULL;
	struct http_stream *s = http_stream_open(e->http, url, call, &why);
	GString *head = g_string_new(NULL);
	int status = -1;

	if (!s)
		unreachable(e, why, err);
	else if (http_stream_send(s, text, strlen(text), call, err) == 0)
		status = read_head(s, call, early, head, err);
	g_string_free(head, TRUE);
	if (status == 101 || status == 200)
		return s;
	if (status > 0) {
		/* Keep-alive would hold the connection open. */
		http_stream_end_output(s);
		a->status = status;
		read_refusal(s, call, early, a);
	}
	http_stream_free(s);
	return NULL;
}

/* --- containers ------------------------------------------------------------------ */

static char *judge_state(const char *shown, const struct docker_answer *a,
	GError **err)
{
	const struct json *state = json_get(a->json, "State");
	const char *id = json_string(json_get(a->json, "Id"));

	if (a->status == 404) {
		fail(err, FAIL_GONE,
			"container %s: there is none (any more); `docker ps "
			"-a` shows which there are", shown);
	} else if (a->status != 200 || !id) {
		fail(err, FAIL_REMOTE, "container %s: the engine says %d: %s",
			shown, a->status, a->message ? a->message : "");
	} else if (json_flag(json_get(state, "Paused"), false)) {
		fail(err, FAIL_UNAVAILABLE,
			"container %s: is paused; `docker unpause %s`", shown,
			shown);
	} else if (!json_flag(json_get(state, "Running"), false)) {
		fail(err, FAIL_UNAVAILABLE,
			"container %s: does not run; `docker start %s`", shown,
			shown);
	} else {
		return g_strdup(id);
	}
	return NULL;
}

char *docker_engine_find(struct docker_engine *e, const char *name,
	const struct call *call, GError **err)
{
	g_autofree char *escaped = http_escape(name);
	g_autofree char *path =
		g_strdup_printf("/containers/%s/json", escaped);
	g_autofree char *shown = path_display(name);
	struct docker_answer a = { 0 };
	char *id = NULL;

	if (docker_engine_ask(e, "GET", path, NULL, call, &a, err) == 0)
		id = judge_state(shown, &a, err);
	docker_answer_clear(&a);
	return id;
}
