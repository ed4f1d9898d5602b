#ifndef FS_SYNC_EXEC_H
#define FS_SYNC_EXEC_H
/*
 * `sandmount exec`: a person's command in the sandbox of a session, by a
 * connection of this process's own beside the session's, which needs no lock.
 * Flushing before and refreshing after are the caller's.
 *
 * Standard input, output and error are this process's. While it runs, INT,
 * TERM, HUP and QUIT that this process gets go to the command's process group;
 * the third, or one that cannot be delivered, ends the connection, and with it
 * (transport/exec.h) the command. Call from the main thread, before others are
 * started.
 */
#include <glib.h>

struct exec_options {
	const char *name;	/* of the session */
	const char *cwd;	/* absolute: where the caller stands */
	const char *const *argv;
	/* Every few seconds while it runs, in another thread; may be NULL. */
	void (*beat)(void *ctx);
	void *ctx;
};

/* *CODE: the command's exit code, 128+N for signal N. -1 with *ERR: it could
 * not be run, or its end is not known. */
int session_exec(const struct exec_options *o, int *code, GError **err);

#endif
