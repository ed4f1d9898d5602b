#include "fs/sync/exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/sync/internal.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "transport/exec.h"

enum { SIGNALS_BEFORE_CANCEL = 3, ASIDE_MS = 30000, HINT_MS = 5000 };

struct run {
	const struct exec_options *o;
	struct session *s;	/* its files only */
	struct exec exec;
	struct cancel *cancel;	/* of the command's connection */
	struct cancel *quiet;	/* of what the tender has under way */
	sigset_t signals;
	pthread_t tender;
	int stop;		/* atomic */
	int last_signal;	/* of the tender until it is joined */
	unsigned got;
	bool hinted;
};

/* --- signals and the lease --------------------------------------------- */

static const struct signal_name {
	int number;
	const char *name;
} signal_names[] = {
	{ SIGINT, "INT" }, { SIGTERM, "TERM" }, { SIGHUP, "HUP" },
	{ SIGQUIT, "QUIT" },
};

static const char *name_of(int number)
{
	for (size_t i = 0; i < G_N_ELEMENTS(signal_names); i++)
		if (signal_names[i].number == number)
			return signal_names[i].name;
	return NULL;
}

static void pass_signal(struct run *r, int number, const struct call *call)
{
	g_autoptr(GError) why = NULL;

	r->last_signal = number;
	if (++r->got < SIGNALS_BEFORE_CANCEL &&
		exec_signal(&r->exec, name_of(number), call, &why) == 0)
		return;
	if (why)
		log_write(LOG_WARNING, "exec: signal %s: %s", name_of(number),
			why->message);
	cancel_raise(r->cancel);
}

static void *tend(void *arg)
{
	struct run *r = arg;
	const struct timespec wait = { .tv_sec = EXEC_RENEW_MS / 1000 };
	const struct call call = {
		.deadline_ms = ASIDE_MS, .cancel = r->quiet,
	};

	pthread_setname_np(pthread_self(), "exec-tender");
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		int number = sigtimedwait(&r->signals, NULL, &wait);

		if (name_of(number)) {
			pass_signal(r, number, &call);
			continue;
		}
		if (number > 0 || errno != EAGAIN)
			continue;
		exec_renew(&r->exec, &call, NULL);
		if (r->o->beat)
			r->o->beat(r->o->ctx);
	}
	return NULL;
}

static int start_tender(struct run *r, GError **err)
{
	int e;

	sigemptyset(&r->signals);
	for (size_t i = 0; i < G_N_ELEMENTS(signal_names); i++)
		sigaddset(&r->signals, signal_names[i].number);
	sigaddset(&r->signals, SIGUSR1);	/* ends the thread */
	pthread_sigmask(SIG_BLOCK, &r->signals, NULL);
	e = pthread_create(&r->tender, NULL, tend, r);
	return e ? fail_errno(err, -e, "exec: start a thread") : 0;
}

static void stop_tender(struct run *r)
{
	__atomic_store_n(&r->stop, 1, __ATOMIC_RELEASE);
	cancel_raise(r->quiet);
	pthread_kill(r->tender, SIGUSR1);
	pthread_join(r->tender, NULL);
}

/* --- streams ------------------------------------------------------------ */

static ssize_t read_input(void *ctx, void *buf, size_t len)
{
	ssize_t n = read(STDIN_FILENO, buf, len);

	(void)ctx;
	/* A terminal that is not ours to read from is an empty one. */
	if (n < 0 && (errno == EIO || errno == EBADF))
		return 0;
	return n < 0 ? -errno : n;
}

/* For a sandbox that takes input only whole, before the command begins: a
 * person would wonder why nothing happens. */
static ssize_t read_whole(void *ctx, void *buf, size_t len)
{
	struct run *r = ctx;
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = cancel_fd(r->cancel), .events = POLLIN },
	};

	while (!fds[0].revents) {
		int n = poll(fds, G_N_ELEMENTS(fds), r->hinted ? -1 : HINT_MS);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ECANCELED;
		if (n == 0) {
			r->hinted = true;
			fputs("sandmount: exec: this sandbox takes standard "
			      "input only whole: waiting for its end; use "
			      "</dev/null for none\n", stderr);
		}
	}
	return read_input(NULL, buf, len);
}

static int write_to(void *ctx, const void *buf, size_t len)
{
	return io_write_full(GPOINTER_TO_INT(ctx), buf, len);
}

/* --- where the caller stands --------------------------------------------- */

/* CWD below ROOT, "" for ROOT itself; NULL when it is elsewhere. */
static char *below(const char *root, const char *cwd)
{
	g_autofree char *real = root ? realpath(root, NULL) : NULL;
	size_t n = real ? strlen(real) : 0;

	if (!n || strncmp(cwd, real, n) || (cwd[n] && cwd[n] != '/'))
		return NULL;
	return g_strdup(cwd[n] ? cwd + n + 1 : "");
}

/* From elsewhere it is the workspace itself. */
static char *remote_dir(const struct session *s, const char *cwd)
{
	char *dir = below(s->mountpoint, cwd);

	if (!dir)
		dir = below(s->options->local, cwd);
	return dir ? dir : g_strdup("");
}

/* --- the whole ------------------------------------------------------------ */

static int run_command(struct run *r, int *code, GError **err)
{
	struct call call = { .cancel = r->cancel };
	struct remote_caps caps = { 0 };
	struct source in = {
		.read = read_input, .has_fd = true, .fd = STDIN_FILENO,
	};
	struct sink out = {
		.write = write_to, .ctx = GINT_TO_POINTER(STDOUT_FILENO),
	};
	struct sink err_out = {
		.write = write_to, .ctx = GINT_TO_POINTER(STDERR_FILENO),
	};
	int ret;

	remote_get_caps(r->exec.remote, &caps);
	if (start_tender(r, err) < 0)
		return -EIO;
	if (!caps.stdin_ok)
		in = (struct source){ .read = read_whole, .ctx = r };
	/* Of a terminal there is no end to wait for. */
	ret = exec_run(&r->exec, &call,
		caps.stdin_ok || !isatty(STDIN_FILENO) ? &in : NULL, &out,
		&err_out, code, err);
	if (ret < 0 && !cancel_is_raised(r->cancel)) {
		/* Our reader is gone, or the connection: ours to end. */
		struct call last = { .deadline_ms = ASIDE_MS };

		exec_signal(&r->exec, "TERM", &last, NULL);
	}
	stop_tender(r);
	return ret;
}

int session_exec(const struct exec_options *o, int *code, GError **err)
{
	struct session *s = session_peek(o->name, err);
	g_autofree char *dir = s ? remote_dir(s, o->cwd) : NULL;
	struct call call = { 0 };
	struct run r = { .o = o, .s = s };
	int ret = -EIO;

	if (!s)
		return -EIO;
	r.cancel = cancel_new();
	r.quiet = cancel_new();
	r.exec = (struct exec){
		.session_id = s->id, .runtime_dir = s->options->runtime_dir,
		.dir = dir, .argv = o->argv,
	};
	exec_start(&r.exec);
	r.exec.remote = remote_open(s->spec, &call, err);
	if (r.exec.remote)
		ret = run_command(&r, code, err);
	if (ret < 0 && r.last_signal && err) {
		/* Ended by the caller's own wish. */
		g_clear_error(err);
		*code = 128 + r.last_signal;
		ret = 0;
	}
	remote_close(r.exec.remote);
	cancel_free(r.cancel);
	cancel_free(r.quiet);
	session_close(s);
	return ret;
}
