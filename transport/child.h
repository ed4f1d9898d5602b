#ifndef TRANSPORT_CHILD_H
#define TRANSPORT_CHILD_H
/*
 * The one place that starts child processes. A child is the leader of a process
 * group of its own, dies with us, inherits only its three standard streams, and
 * is always waited for.
 */
#include <sys/types.h>
#include <glib.h>

#include "transport/remote.h"

struct child {
	pid_t pid;
	int in, out, err;	/* our ends, non-blocking; -1 once closed */
};

/* FAIL_UNAVAILABLE when the program cannot be started, naming it. */
int child_start(struct child *c, const char *const *argv, GError **err);

/* The same for a child that is to outlive the calling thread (not the process:
 * it must end when its input does). */
int child_start_lasting(struct child *c, const char *const *argv,
	GError **err);

/*
 * Moves bytes until the child has closed its output: IN (may be NULL) to it,
 * from it to OUT and ERR_OUT (either may be NULL: dropped). Broken input is no
 * error: a child may stop reading. FAIL_DEADLINE, FAIL_CANCELLED, FAIL_UNKNOWN
 * (a source or sink failed).
 */
int child_pump(struct child *c, const struct call *call, struct source *in,
	struct sink *out, struct sink *err_out, struct remote_stats *stats,
	GError **err);

/* Closes the streams and waits: 1 s, then SIGTERM to the group, 1 s, then
 * SIGKILL. Returns the exit status, 128+N for signal N. HURRY: no first wait. */
int child_finish(struct child *c, bool hurry);

#endif
