#include "transport/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/priority.h"

#define MS INT64_C(1000000)

enum { BUFFER = 128 * 1024, LADDER_MS = 1000, STEP_MS = 5 };

/* In the child, between fork and exec: system calls only. It serves other
 * threads, too: no less than they. */
static void set_up_lasting(gpointer data)
{
	sigset_t none;

	(void)data;
	setpgid(0, 0);
	/* What our threads block must still end a child. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* The signal comes when the thread that forked ends, too. */
static void set_up_child(gpointer data)
{
	set_up_lasting(data);
	priority_child();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static int start(struct child *c, const char *const *argv,
	GSpawnChildSetupFunc set_up, GError **err)
{
	g_autoptr(GError) why = NULL;

	if (!g_spawn_async_with_pipes(NULL, (char **)argv, NULL,
		    G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
		    set_up, NULL, &c->pid, &c->in, &c->out, &c->err,
		    &why))
		return fail(err, FAIL_UNAVAILABLE, "start %s: %s", argv[0],
			why->message);
	fcntl(c->in, F_SETFL, O_NONBLOCK);
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	fcntl(c->err, F_SETFL, O_NONBLOCK);
	return 0;
}

int child_start(struct child *c, const char *const *argv, GError **err)
{
	return start(c, argv, set_up_child, err);
}

int child_start_lasting(struct child *c, const char *const *argv,
	GError **err)
{
	return start(c, argv, set_up_lasting, err);
}

static void close_stream(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

struct pump {
	struct child *c;
	struct source *in;
	struct remote_stats *stats;
	char *buf;	/* bytes for the child: from AT, LEFT of them */
	size_t at, left;
	char *got;
};

/* Writes to the child what it takes. */
static int feed(struct pump *p)
{
	ssize_t n;

	if (p->left == 0) {
		n = p->in ? p->in->read(p->in->ctx, p->buf, BUFFER) : 0;
		if (n < 0)
			return (int)n;
		if (n == 0) {
			close_stream(&p->c->in);
			return 0;
		}
		p->at = 0;
		p->left = (size_t)n;
	}
	failpoint("send-part");
	n = write(p->c->in, p->buf + p->at, failpoint_part(p->left));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0) {
		close_stream(&p->c->in);	/* it stopped reading */
		return 0;
	}
	p->at += (size_t)n;
	p->left -= (size_t)n;
	p->stats->bytes_sent += (uint64_t)n;
	return 0;
}

static int take(struct pump *p, int *fd, struct sink *out)
{
	ssize_t n = read(*fd, p->got, BUFFER);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close_stream(fd);
		return 0;
	}
	p->stats->bytes_received += (uint64_t)n;
	return out ? out->write(out->ctx, p->got, (size_t)n) : 0;
}

/* What has to be ready before feed() may be called. */
static struct pollfd input_of(const struct pump *p)
{
	if (p->left == 0 && p->in && p->in->has_fd && p->c->in >= 0)
		return (struct pollfd){ .fd = p->in->fd, .events = POLLIN };
	return (struct pollfd){ .fd = p->c->in, .events = POLLOUT };
}

/* How long to wait for the streams; 0: a limit was reached, *ERR says which. */
static int wait_time(const struct call *call, int64_t until, int64_t moved,
	GError **err)
{
	int64_t now = io_now_ns(), wait_ms = 60000;

	if (until && until <= now) {
		fail(err, FAIL_DEADLINE, "no whole answer within %"
			G_GINT64_FORMAT " ms", call->deadline_ms);
		return 0;
	}
	if (until)
		wait_ms = MIN(wait_ms, (until - now) / MS + 1);
	if (call->stall_ms && moved + call->stall_ms * MS <= now) {
		fail(err, FAIL_DEADLINE, "no byte for %" G_GINT64_FORMAT " ms",
			call->stall_ms);
		return 0;
	}
	if (call->stall_ms)
		wait_ms = MIN(wait_ms,
			(moved + call->stall_ms * MS - now) / MS + 1);
	return (int)wait_ms;
}

static int pump_loop(struct pump *p, const struct call *call,
	struct sink *out, struct sink *err_out, GError **err)
{
	int64_t moved = io_now_ns();
	int64_t until = call->deadline_ms ? moved + call->deadline_ms * MS : 0;
	struct child *c = p->c;

	while (c->out >= 0 || c->err >= 0) {
		struct pollfd fds[] = {
			{ .fd = c->out, .events = POLLIN },
			{ .fd = c->err, .events = POLLIN },
			input_of(p),
			{ .fd = cancel_fd(call->cancel), .events = POLLIN },
		};
		int wait_ms = wait_time(call, until, moved, err);
		int r;

		if (wait_ms == 0)
			return -EIO;
		r = poll(fds, G_N_ELEMENTS(fds), wait_ms);
		if (r <= 0)
			continue;
		if (fds[3].revents)
			return fail(err, FAIL_CANCELLED, "interrupted");
		moved = io_now_ns();
		r = fds[0].revents ? take(p, &c->out, out) : 0;
		if (r == 0 && fds[1].revents)
			r = take(p, &c->err, err_out);
		if (r == 0 && fds[2].revents && c->in >= 0)
			r = feed(p);
		if (r != 0)
			return fail(err, FAIL_UNKNOWN, "%s",
				g_strerror(r < 0 ? -r : EIO));
	}
	return 0;
}

int child_pump(struct child *c, const struct call *call, struct source *in,
	struct sink *out, struct sink *err_out, struct remote_stats *stats,
	GError **err)
{
	struct pump p = {
		.c = c, .in = in, .stats = stats,
		.buf = g_malloc(BUFFER), .got = g_malloc(BUFFER),
	};
	int r = pump_loop(&p, call, out, err_out, err);

	g_free(p.buf);
	g_free(p.got);
	return r;
}

static bool wait_for(pid_t pid, int64_t ms, int *status)
{
	int64_t until = io_now_ns() + ms * MS;

	for (;;) {
		pid_t r = waitpid(pid, status, WNOHANG);

		if (r == pid || (r < 0 && errno != EINTR))
			return true;
		if (io_now_ns() > until)
			return false;
		g_usleep(STEP_MS * 1000);
	}
}

int child_finish(struct child *c, bool hurry)
{
	int status = 0;

	close_stream(&c->in);
	close_stream(&c->out);
	close_stream(&c->err);
	if (hurry || !wait_for(c->pid, LADDER_MS, &status)) {
		kill(-c->pid, SIGTERM);
		if (!wait_for(c->pid, LADDER_MS, &status)) {
			kill(-c->pid, SIGKILL);
			waitpid(c->pid, &status, 0);
		}
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}
