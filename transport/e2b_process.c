/*
 * Processes in an E2B sandbox: one Start stream each, and what ends them.
 */
#include "transport/e2b.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/log.h"
#include "transport/connect_frames.h"
#include "transport/json.h"

enum {
	PING_S = 5,
	/* A stream is dead when this many pings are missing... */
	STALL_MS = 3 * PING_S * 1000,
	/* ...but not every server pings as it is asked. */
	STALL_WITHOUT_PINGS_MS = 200000,
	KILL_MS = 5000,
	/* The sandbox's own limit comes after ours: it is for the case that we
	 * cannot end the process ourselves. */
	REMOTE_SLACK_MS = 10000,
};

/* --- events ---------------------------------------------------------------- */

static int pass_on(struct sink *to, const char *text)
{
	gsize len;
	g_autofree guchar *raw = connect_bytes(text, &len);

	if (!raw)
		return -EPROTO;
	return to && len ? to->write(to->ctx, raw, len) : 0;
}

static int take_data(struct e2b_run *run, const struct json *data)
{
	const char *out = json_string(json_get(data, "stdout"));
	const char *err_out = json_string(json_get(data, "stderr"));
	int r = 0;

	if (out)
		r = pass_on(run->out, out);
	if (r == 0 && err_out)
		r = pass_on(run->err_out, err_out);
	return r;
}

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "hangup", 1 }, { "interrupt", 2 }, { "quit", 3 }, { "aborted", 6 },
	{ "bus error", 7 }, { "killed", 9 }, { "segmentation fault", 11 },
	{ "broken pipe", 13 }, { "terminated", 15 },
};

/* "signal: killed (core dumped)" */
static int status_of_signal(const char *text)
{
	for (size_t i = 0; text && i < G_N_ELEMENTS(signals); i++)
		if (g_str_has_prefix(text, "signal: ") &&
			g_str_has_prefix(text + 8, signals[i].name))
			return 128 + signals[i].number;
	return 255;
}

/* Values that are zero or false are left out. */
static int take_end(struct e2b_run *run, const struct json *end)
{
	const struct json *code = json_get(end, "exitCode");
	int64_t n = 0;

	if (json_kind_of(end) != JSON_OBJECT ||
		(code && !json_is_integer(code, &n)))
		return -EPROTO;
	run->ended = true;
	run->status = json_flag(json_get(end, "exited"), false) || n > 0
		? (int)(n & 255)
		: status_of_signal(json_string(json_get(end, "status")));
	return 0;
}

static int take_start(struct e2b_run *run, const struct json *start)
{
	int64_t pid;

	if (!json_is_integer(json_get(start, "pid"), &pid) || pid <= 0)
		return -EPROTO;
	run->pid = pid;
	return 0;
}

int e2b_take_event(struct e2b_run *run, const char *text, size_t len,
	bool *keepalive)
{
	struct json *j = json_parse(text, len, NULL);
	const struct json *event = json_get(j, "event");
	const struct json *v;
	int r = 0;

	*keepalive = false;
	if (!j || json_kind_of(event) != JSON_OBJECT)
		r = -EPROTO;
	else if ((v = json_get(event, "data")))
		r = take_data(run, v);
	else if ((v = json_get(event, "start")))
		r = take_start(run, v);
	else if ((v = json_get(event, "end")))
		r = take_end(run, v);
	else
		*keepalive = json_get(event, "keepalive") != NULL;
	json_free(j);
	return r;
}

/* --- the stream ------------------------------------------------------------ */

struct stream {
	struct e2b *e;
	struct e2b_run *run;
	struct e2b_input *input;	/* once the process has started */
	struct connect_frames frames;
	struct http_answer *a;
	struct call *call;	/* whose stall limit follows the pings */
};

static int on_message(void *ctx, const char *text, size_t len)
{
	struct stream *s = ctx;
	bool ping;
	int r = e2b_take_event(s->run, text, len, &ping);

	if (ping)
		s->call->stall_ms = STALL_MS;
	if (r == 0 && s->run->in && s->run->pid && !s->input) {
		s->input = e2b_input_start(s->e, s->run->pid, s->run->in,
			s->call->cancel);
		r = s->input ? 0 : -EAGAIN;
	}
	return r;
}

static int on_bytes(void *ctx, const void *buf, size_t len)
{
	struct stream *s = ctx;

	if (g_strcmp0(s->a->content_type, "application/connect+json"))
		return -EPROTO;
	s->run->stats->bytes_received += len;
	return connect_frames_feed(&s->frames, buf, len);
}

static char *start_json(const struct e2b_run *run)
{
	struct json *j = json_new_object();
	struct json *process = json_new_object();
	struct json *args = json_new_array();
	char *text;

	json_put_string(process, "cmd", run->argv[0]);
	for (const char *const *a = run->argv + 1; *a; a++)
		json_append_string(args, *a);
	json_put(process, "args", args);
	json_put(j, "process", process);
	json_put_bool(j, "stdin", run->in != NULL);
	text = json_to_text(j, false);
	json_free(j);
	return text;
}

static int ask_start(struct e2b *e, struct stream *s, GError **err)
{
	g_autofree char *json = start_json(s->run);
	GByteArray *frame = g_byte_array_new();
	g_autofree char *ping = g_strdup_printf(
		"Keepalive-Ping-Interval: %d", PING_S);
	g_autofree char *limit = s->call->deadline_ms ? g_strdup_printf(
		"Connect-Timeout-Ms: %" G_GINT64_FORMAT,
		MIN(s->call->deadline_ms + REMOTE_SLACK_MS,
			INT64_C(9999999999))) : NULL;
	const char *headers[] = {
		"Content-Type: application/connect+json",
		"Connect-Protocol-Version: 1",
		"Accept-Encoding: identity",
		ping, limit, NULL,
	};
	struct sink out = { .write = on_bytes, .ctx = s };
	struct http_request q = {
		.method = "POST", .url = "/process.Process/Start",
		.headers = headers, .out = &out,
	};
	int r;

	connect_frames_put(frame, json, strlen(json));
	q.text = (const char *)frame->data;
	q.text_len = frame->len;
	r = e2b_ask_envd(e, &q, s->call, s->a, err);
	s->run->stats->bytes_sent += frame->len;
	g_byte_array_free(frame, TRUE);
	return r;
}

/* It leads a group if there is setsid. */
void e2b_end_process(struct e2b *e, int64_t pid)
{
	g_autofree char *group = g_strdup_printf("-%" G_GINT64_FORMAT, pid);
	g_autofree char *json = g_strdup_printf(
		"{\"process\":{\"pid\":%" G_GINT64_FORMAT
		"},\"signal\":\"SIGNAL_SIGKILL\"}", pid);
	const char *argv[] = { "/bin/sh", "-c",
		"kill -s TERM -- \"$1\" 2>/dev/null && sleep 1; "
		"kill -s KILL -- \"$1\" 2>/dev/null; :", "sh", group, NULL };
	struct remote_stats stats = { 0 };
	struct e2b_run run = { .argv = argv, .stats = &stats };
	struct call call = { .deadline_ms = KILL_MS };
	struct call once = call;
	struct http_answer a = { 0 };
	struct stream s = { .e = e, .run = &run, .a = &a, .call = &once };

	connect_frames_init(&s.frames, on_message, &s);
	ask_start(e, &s, NULL);
	connect_frames_release(&s.frames);
	http_answer_clear(&a);
	e2b_rpc(e, "process.Process/SendSignal", json, &call, NULL, NULL);
}

/* The stream is over: did it say how the process ended? */
static int judge(struct stream *s, GError **err)
{
	struct e2b_run *run = s->run;
	const struct connect_frames *f = &s->frames;

	if (s->a->status != 200) {
		http_refused(s->a, "starting a command in the sandbox", err);
		return -EIO;
	}
	if (f->code)
		return e2b_rpc_failed("a command in the sandbox", f->code,
			f->why, run->pid != 0, err);
	if (run->ended)
		return 0;
	return fail(err, FAIL_UNKNOWN,
		"a command in the sandbox: the stream ended without its exit "
		"code");
}

/* What came of the stream (R, *WHY) is of no account when input was lost. */
static int end_input(struct stream *s, int r, GError **why)
{
	g_autoptr(GError) lost = NULL;

	if (e2b_input_stop(s->input, &s->run->stats->bytes_sent, &lost) == 0)
		return r;
	g_clear_error(why);
	g_propagate_error(why, g_steal_pointer(&lost));
	return -EIO;
}

static bool is_ours_to_end(const GError *why)
{
	return why->code == FAIL_DEADLINE || why->code == FAIL_CANCELLED ||
		why->code == FAIL_UNKNOWN;
}

int e2b_run(struct e2b *e, struct e2b_run *run, const struct call *call,
	GError **err)
{
	struct call own = *call;
	struct http_answer a = { 0 };
	struct stream s = { .e = e, .run = run, .a = &a, .call = &own };
	struct cancel *cancel = cancel_new_below(call->cancel);
	g_autoptr(GError) why = NULL;
	int r;

	own.cancel = cancel;
	if (!own.stall_ms)
		own.stall_ms = STALL_WITHOUT_PINGS_MS;
	connect_frames_init(&s.frames, on_message, &s);
	r = ask_start(e, &s, &why);
	if (s.input)
		r = end_input(&s, r, &why);
	if (r == 0)
		r = judge(&s, &why);
	/* The exit code came: that the connection broke after it is nothing to
	 * the command. */
	if (r < 0 && run->ended && !s.frames.code && why->code == FAIL_UNKNOWN)
		r = 0;
	if (r < 0 && run->pid && !run->ended && is_ours_to_end(why))
		e2b_end_process(e, run->pid);
	if (r < 0)
		g_propagate_error(err, g_steal_pointer(&why));
	connect_frames_release(&s.frames);
	http_answer_clear(&a);
	cancel_free(cancel);
	return r < 0 ? -EIO : 0;
}
