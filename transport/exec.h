#ifndef TRANSPORT_EXEC_H
#define TRANSPORT_EXEC_H
/*
 * A person's command in the sandbox, beside whatever else runs there:
 *
 *	exec_start	names it
 *	exec_run	runs it to its end (blocks)
 *	exec_signal, exec_renew		meanwhile, from another thread
 *	exec_release
 *
 * The command leads a process group of its own. It is ended when exec_renew()
 * has not been called for a minute, or when the shell that started it dies: so
 * it does not outlive whoever asked for it. What it leaves running in its group
 * is ended with it; what made itself a session of its own (setsid) stays.
 */
#include "transport/remote.h"

struct exec {
	struct remote *remote;	/* borrowed, as all strings */
	const char *session_id, *runtime_dir;
	const char *dir;	/* below the workspace; "" for itself */
	const char *const *argv;
	char key[17];		/* exec_start() */
	unsigned beats;
};

enum { EXEC_RENEW_MS = 15000, EXEC_NOT_RUN = 255 };

/* Draws the key; the other fields are the caller's. */
void exec_start(struct exec *x);

/* Standard output and error go apart and unchanged to OUT and ERR_OUT. *CODE is
 * the command's exit code, 128+N for signal N, EXEC_NOT_RUN (and a reason on
 * ERR_OUT) when it could not be started. Errors as remote_run(). */
int exec_run(struct exec *x, const struct call *call, struct source *in,
	struct sink *out, struct sink *err_out, int *code, GError **err);

/* NAME without SIG. FAIL_REMOTE when the command has not begun within 10 s. */
int exec_signal(struct exec *x, const char *name, const struct call *call,
	GError **err);
int exec_renew(struct exec *x, const struct call *call, GError **err);

#endif
