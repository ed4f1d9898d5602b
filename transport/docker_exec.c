#include "transport/docker_exec.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/docker_frames.h"
#include "transport/json.h"

#define MS INT64_C(1000000)

enum {
	BUFFER = 64 * 1024,
	NOISE = 600,		/* of the output, to see why nothing ran */
	INSPECT_MS = 10000,	/* for the exit code to be known */
	INSPECT_STEP_MS = 20,
};

struct run {
	const struct docker_command *c;
	const struct call *call;
	struct remote_stats *stats;
	struct http_stream *stream;
	struct docker_frames frames;
	struct sink peek_out, peek_err;
	char noise[NOISE + 1];	/* the beginning of both outputs */
	size_t noise_len;
	char *buf;		/* to be sent: from AT, LEFT of them */
	size_t at, left;
	bool sent_all, got_all;
};

static int refused(struct docker_engine *e, const struct docker_command *c,
	const char *what, const struct call *call,
	const struct docker_answer *a, GError **err)
{
	g_autofree char *id = docker_engine_find(e, c->id, call, err);

	if (!id)
		return -EIO;
	return fail(err, FAIL_REMOTE, "container: the engine refuses to %s "
		"(%d): %s", what, a->status, a->message ? a->message : "");
}

/* --- create --------------------------------------------------------------- */

static char *create_body(const struct docker_command *c)
{
	struct json *j = json_new_object();
	struct json *argv = json_new_array();
	char *text;

	json_append_string(argv, "sh");
	json_append_string(argv, "-c");
	json_append_string(argv, c->line);
	json_put(j, "Cmd", argv);
	json_put_bool(j, "AttachStdin", c->in != NULL);
	json_put_bool(j, "AttachStdout", true);
	json_put_bool(j, "AttachStderr", true);
	json_put_bool(j, "Tty", false);
	text = json_to_text(j, false);
	json_free(j);
	return text;
}

/* The id of a new exec; g_free it. */
static char *create(struct docker_engine *e, const struct docker_command *c,
	const struct call *call, GError **err)
{
	g_autofree char *path =
		g_strdup_printf("/containers/%s/exec", c->id);
	g_autofree char *body = create_body(c);
	struct docker_answer a = { 0 };
	char *id = NULL;

	if (docker_engine_ask(e, "POST", path, body, call, &a, err) == 0) {
		id = g_strdup(json_string(json_get(a.json, "Id")));
		/* It becomes part of a path. */
		for (const char *p = id; p && *p; p++)
			if (!g_ascii_isalnum(*p))
				g_clear_pointer(&id, g_free);
		if (!id || a.status != 201) {
			g_clear_pointer(&id, g_free);
			refused(e, c, "run a command", call, &a, err);
		}
	}
	docker_answer_clear(&a);
	return id;
}

/* --- the streams ------------------------------------------------------------ */

static void note(struct run *r, const void *buf, size_t len)
{
	size_t n = MIN(len, NOISE - r->noise_len);

	memcpy(r->noise + r->noise_len, buf, n);
	r->noise_len += n;
}

static int peek_out(void *ctx, const void *buf, size_t len)
{
	struct run *r = ctx;
	struct sink *out = r->c->out;

	note(r, buf, len);
	return out ? out->write(out->ctx, buf, len) : 0;
}

static int peek_err(void *ctx, const void *buf, size_t len)
{
	struct run *r = ctx;
	struct sink *out = r->c->err_out;

	note(r, buf, len);
	return out ? out->write(out->ctx, buf, len) : 0;
}

static void end_input(struct run *r)
{
	r->sent_all = true;
	http_stream_end_output(r->stream);
}

static int feed(struct run *r)
{
	struct source *in = r->c->in;
	ssize_t n;

	if (r->left == 0) {
		n = in->read(in->ctx, r->buf, BUFFER);
		if (n < 0)
			return (int)n;
		if (n == 0) {
			end_input(r);
			return 0;
		}
		r->at = 0;
		r->left = (size_t)n;
	}
	n = http_stream_try_send(r->stream, r->buf + r->at, r->left);
	if (n == -EAGAIN)
		return 0;
	if (n < 0) {
		r->sent_all = true;	/* nobody reads it any more */
		return 0;
	}
	r->at += (size_t)n;
	r->left -= (size_t)n;
	r->stats->bytes_sent += (uint64_t)n;
	return 0;
}

static int take(struct run *r)
{
	char buf[BUFFER];
	ssize_t n = http_stream_try_receive(r->stream, buf, sizeof(buf));

	if (n == -EAGAIN)
		return 0;
	if (n <= 0) {
		r->got_all = true;
		return 0;
	}
	r->stats->bytes_received += (uint64_t)n;
	return docker_frames_feed(&r->frames, buf, (size_t)n);
}

/* One wait and what it brings. */
static int step(struct run *r, int64_t until, GError **err)
{
	struct source *in = r->c->in;
	bool wants_source = !r->sent_all && r->left == 0 && in->has_fd;
	struct pollfd fds[] = {
		{ .fd = http_stream_fd(r->stream), .events = POLLIN },
		{ .fd = wants_source ? in->fd : -1, .events = POLLIN },
		{ .fd = cancel_fd(r->call->cancel), .events = POLLIN },
	};
	int64_t left = until ? (until - io_now_ns()) / MS : 60000;
	int ret = 0;

	if (until && left <= 0)
		return fail(err, FAIL_DEADLINE,
			"no whole answer within %" G_GINT64_FORMAT " ms",
			r->call->deadline_ms);
	if (!r->sent_all && !wants_source)
		fds[0].events |= POLLOUT;
	if (poll(fds, G_N_ELEMENTS(fds), (int)MIN(left + 1, 60000)) <= 0)
		return 0;
	if (fds[2].revents)
		return fail(err, FAIL_CANCELLED, "interrupted");
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
		ret = take(r);
	if (ret == 0 && !r->sent_all &&
		((fds[0].revents & POLLOUT) || fds[1].revents))
		ret = feed(r);
	if (ret < 0)
		return fail(err, FAIL_UNKNOWN, "%s", g_strerror(-ret));
	return 0;
}

static int pump(struct run *r, const GByteArray *early, GError **err)
{
	int64_t until = r->call->deadline_ms
		? io_now_ns() + r->call->deadline_ms * MS : 0;
	int ret = docker_frames_feed(&r->frames, early->data, early->len);

	if (ret < 0)
		return fail(err, FAIL_UNKNOWN, "%s", g_strerror(-ret));
	if (!r->c->in)
		r->sent_all = true;
	while (!r->got_all)
		if (step(r, until, err) < 0)
			return -EIO;
	return 0;
}

/* --- the end ------------------------------------------------------------------ */

/* The engine may tell the exit code a little after the streams' end. */
static int wait_exit(struct docker_engine *e, const char *exec,
	const struct call *call, int *status, GError **err)
{
	g_autofree char *path = g_strdup_printf("/exec/%s/json", exec);
	int64_t until = io_now_ns() + INSPECT_MS * MS;

	for (;;) {
		struct docker_answer a = { 0 };
		int64_t code = -1;
		bool running = true;

		if (docker_engine_ask(e, "GET", path, NULL, call, &a, err) < 0)
			return -EIO;
		running = a.status == 200 &&
			json_flag(json_get(a.json, "Running"), true);
		if (!json_is_integer(json_get(a.json, "ExitCode"), &code))
			code = -1;
		docker_answer_clear(&a);
		if (!running && code >= 0) {
			*status = (int)code;
			return 0;
		}
		/* Forgotten with its container, or its end never told. */
		if ((!running && code < 0) || io_now_ns() > until ||
			cancel_is_raised(call->cancel)) {
			*status = 255;
			return 0;
		}
		g_usleep(INSPECT_STEP_MS * 1000);
	}
}

/* Engines tell a command that cannot be started in its output and by these
 * codes. */
static bool lacks_sh(const struct run *r, int status)
{
	return (status == 126 || status == 127) &&
		!strstr(r->noise, "sandmount:") &&
		(strstr(r->noise, "executable file") ||
			strstr(r->noise, "no such file") ||
			strstr(r->noise, "exec failed"));
}

static int no_sh(GError **err)
{
	return fail(err, FAIL_REMOTE,
		"the container has no sh; a workspace needs sh and tar in the "
		"image (most have them, `scratch` and distroless have not)");
}

static int start(struct docker_engine *e, struct run *r, const char *exec,
	GByteArray *early, GError **err)
{
	g_autofree char *path = g_strdup_printf("/exec/%s/start", exec);
	struct docker_answer a = { 0 };
	int ret = 0;

	r->stream = docker_engine_hijack(e, path,
		"{\"Detach\":false,\"Tty\":false}", r->call, early, &a, err);
	if (!r->stream && a.status) {
		if (a.message && strstr(a.message, "executable file"))
			ret = no_sh(err);
		else
			ret = refused(e, r->c, "start a command", r->call, &a,
				err);
	} else if (!r->stream) {
		ret = -EIO;
	}
	docker_answer_clear(&a);
	return ret;
}

int docker_exec(struct docker_engine *e, const struct docker_command *c,
	const struct call *call, struct remote_stats *stats, int *status,
	GError **err)
{
	g_autofree char *exec = create(e, c, call, err);
	g_autoptr(GByteArray) early = g_byte_array_new();
	struct run r = {
		.c = c, .call = call, .stats = stats, .buf = g_malloc(BUFFER),
	};
	int ret = exec ? start(e, &r, exec, early, err) : -EIO;

	r.peek_out = (struct sink){ .write = peek_out, .ctx = &r };
	r.peek_err = (struct sink){ .write = peek_err, .ctx = &r };
	r.frames.out = &r.peek_out;
	r.frames.err_out = &r.peek_err;
	if (ret == 0)
		ret = pump(&r, early, err);
	http_stream_free(r.stream);
	g_free(r.buf);
	if (ret == 0)
		ret = wait_exit(e, exec, call, status, err);
	if (ret == 0 && lacks_sh(&r, *status))
		ret = no_sh(err);
	return ret;
}
