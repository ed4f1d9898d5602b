/*
 * Standard input of a process of envd: a request for each piece, one after the
 * other, so that their order stays.
 */
#include "transport/e2b.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "transport/json.h"

enum { PIECE = 64 << 10, TRIES = 5, WAIT_MS = 200 };

struct e2b_input {
	struct e2b *e;
	int64_t pid;
	struct source *in;
	struct cancel *stop, *command;	/* owned, borrowed */
	pthread_t thread;
	uint64_t bytes;		/* the thread's, until it is joined */
	GError *lost;		/* the same */
};

/* Whether there is something to read, or its end; false: to be stopped. */
static bool wait_for_input(struct e2b_input *f)
{
	struct pollfd fds[] = {
		{ .fd = f->in->has_fd ? f->in->fd : -1, .events = POLLIN },
		{ .fd = cancel_fd(f->stop), .events = POLLIN },
	};

	while (f->in->has_fd && !fds[0].revents && !fds[1].revents)
		if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR)
			return false;
	return !cancel_is_raised(f->stop);
}

static char *piece_json(int64_t pid, const void *buf, size_t len)
{
	struct json *j = json_new_object();
	struct json *process = json_new_object();
	char *text;

	json_put_int(process, "pid", pid);
	json_put(j, "process", process);
	if (len) {
		g_autofree char *data = g_base64_encode(buf, len);
		struct json *input = json_new_object();

		json_put_string(input, "stdin", data);
		json_put(j, "input", input);
	}
	text = json_to_text(j, false);
	json_free(j);
	return text;
}

/* The process has ended or closed its input: nobody misses what is left. */
static bool is_over(const GError *why)
{
	return strstr(why->message, "(not_found)") ||
		strstr(why->message, "writing to stdin");
}

/* What was certainly not done is asked again; REPEATABLE: the rest, too. */
static int ask(struct e2b_input *f, const char *method, const char *json,
	bool repeatable, GError **err)
{
	const struct call call = { .cancel = f->stop };
	g_autoptr(GError) why = NULL;

	for (unsigned i = 0; i < TRIES; i++) {
		g_clear_error(&why);
		if (e2b_rpc(f->e, method, json, &call, NULL, &why) == 0)
			return 0;
		if (is_over(why) || cancel_is_raised(f->stop))
			break;
		if (why->code != FAIL_UNAVAILABLE && !repeatable)
			break;
		if (http_wait((int64_t)WAIT_MS << i, 0, f->stop, NULL) < 0)
			break;
	}
	g_propagate_error(err, g_steal_pointer(&why));
	return -EIO;
}

static int feed(struct e2b_input *f, GError **err)
{
	g_autofree char *buf = g_malloc(PIECE);

	while (wait_for_input(f)) {
		ssize_t n = f->in->read(f->in->ctx, buf, PIECE);
		g_autofree char *json = piece_json(f->pid, buf,
			n > 0 ? (size_t)n : 0);

		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n < 0)
			return fail(err, FAIL_UNKNOWN, "%s",
				g_strerror((int)-n));
		if (n == 0)
			return ask(f, "process.Process/CloseStdin", json, true,
				err);
		if (ask(f, "process.Process/SendInput", json, false, err) < 0)
			return -EIO;
		f->bytes += (uint64_t)n;
	}
	return 0;
}

static void *run(void *arg)
{
	struct e2b_input *f = arg;
	GError *why = NULL;

	pthread_setname_np(pthread_self(), "e2b-input");
	if (feed(f, &why) == 0 || is_over(why) || cancel_is_raised(f->stop)) {
		g_clear_error(&why);
		return NULL;
	}
	/* A command must not go on with a hole in its input. */
	f->lost = why;
	cancel_raise(f->command);
	return NULL;
}

struct e2b_input *e2b_input_start(struct e2b *e, int64_t pid,
	struct source *in, struct cancel *command)
{
	struct e2b_input *f = g_new0(struct e2b_input, 1);

	f->e = e;
	f->pid = pid;
	f->in = in;
	f->command = command;
	f->stop = cancel_new();
	if (pthread_create(&f->thread, NULL, run, f) == 0)
		return f;
	cancel_free(f->stop);
	g_free(f);
	return NULL;
}

int e2b_input_stop(struct e2b_input *f, uint64_t *bytes, GError **err)
{
	int r = 0;

	cancel_raise(f->stop);
	pthread_join(f->thread, NULL);
	*bytes += f->bytes;
	if (f->lost)
		r = fail(err, FAIL_UNKNOWN, "its standard input was cut: %s",
			f->lost->message);
	g_clear_error(&f->lost);
	cancel_free(f->stop);
	g_free(f);
	return r;
}
