/*
 * Operations that wait for a file's bytes without holding a thread.
 *
 * A wait that is interrupted by a signal which does not end the process goes
 * on: programs do not expect EINTR from open(2) because a child exited. The
 * kernel tells of the first signal only, so the process is looked at until it
 * is really to stop.
 */
#include "fs/fuse/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fs/mirror/want.h"

struct waiting {
	fuse_req_t req;
	pid_t tid;
	struct operation op;
};

/* Signals after which whoever waits wants its process back. */
static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGKILL,
	SIGABRT, SIGSEGV, SIGBUS, SIGALRM };

/* The mask after NAME ("SigPnd:") in /proc/TID/status. */
static unsigned long long mask_of(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, 16) : 0;
}

static bool is_ending(void *ctx)
{
	const struct waiting *w = ctx;
	g_autofree char *path = g_strdup_printf(
		"/proc/%ld/status", (long)w->tid);
	g_autofree char *status = NULL;
	unsigned long long pending;

	/* Not to be seen from here, or gone. */
	if (!g_file_get_contents(path, &status, NULL, NULL))
		return true;
	pending = mask_of(status, "\nSigPnd:") | mask_of(status, "\nShdPnd:");
	for (size_t i = 0; i < G_N_ELEMENTS(ending); i++)
		if (pending & (1ULL << (ending[i] - 1)))
			return true;
	return false;
}

static void on_done(void *ctx, int result)
{
	struct waiting *w = ctx;

	/* The next wait of this request, if there is one, is another. */
	fuse_req_interrupt_func(w->req, NULL, NULL);
	if (result < 0)
		fuse_reply_err(w->req, -result);
	else
		w->op.again(w->req, &w->op);
	g_free(w);
}

/* DATA is only a number: the wait may be over by the time it is looked at. */
static void on_interrupt(fuse_req_t req, void *data)
{
	mirror_want_interrupt(mirror_of(req), (uint64_t)(uintptr_t)data);
}

void wait_for_content(fuse_req_t req, const struct operation *op)
{
	struct mirror *m = mirror_of(req);
	struct waiting *w = g_new0(struct waiting, 1);
	struct want want = {
		.node = op->node, .off = op->need_off, .len = op->need_len,
		.done = on_done, .give_up = is_ending, .ctx = w,
	};
	uint64_t id;
	int r;

	*w = (struct waiting){
		.req = req, .tid = fuse_req_ctx(req)->pid,
		.op = *op,
	};
	id = mirror_want_new(m, &want);
	fuse_req_interrupt_func(req, on_interrupt, (void *)(uintptr_t)id);
	r = mirror_want_start(m, id);
	if (r == 0)
		return;
	g_free(w);
	fuse_reply_err(req, -r);
}
