#ifndef TRANSPORT_REMOTE_H
#define TRANSPORT_REMOTE_H
/*
 * A sandbox as one provider reaches it: run a POSIX sh script there with bytes
 * in and bytes out. Everything else (listing, batches, fetching) is written
 * once above it, in transport/tree.h. Providers that have better ways for
 * whole files (later: put, get) fill more of the table; the shell layer
 * synthesises what is NULL.
 *
 * A remote may be used from several threads; each call runs on its own.
 * Errors are GErrors of domain FAIL whose code is the outcome:
 *	FAIL_UNAVAILABLE  not reached, certainly not run: safe to retry
 *	FAIL_UNKNOWN	  started (or may have), no complete answer
 *	FAIL_GONE	  the sandbox ended or was replaced
 *	FAIL_DEADLINE, FAIL_CANCELLED	outcome unknown as well
 *	FAIL_REMOTE	  the sandbox refused, the message says what and why
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>

#include "transport/spec.h"

struct remote;

/* Bytes to send. read: count, 0 at the end, negative errno aborts the call.
 * HAS_FD: read may block unless FD is readable (a terminal, a pipe), so it is
 * called only then; a provider that cannot wait for it may block in read. */
struct source {
	ssize_t (*read)(void *ctx, void *buf, size_t len);
	void *ctx;
	bool has_fd;
	int fd;
};
/* Bytes received. Non-zero (negative errno) aborts the call. */
struct sink {
	int (*write)(void *ctx, const void *buf, size_t len);
	void *ctx;
};

/* A flag that any thread may raise; wakes a waiting call at once. */
struct cancel;
struct cancel *cancel_new(void);
/* One that is raised with PARENT, too (borrowed; NULL: as cancel_new). */
struct cancel *cancel_new_below(struct cancel *parent);
void cancel_free(struct cancel *c);
void cancel_raise(struct cancel *c);	/* async-signal-safe */
bool cancel_is_raised(const struct cancel *c);
int cancel_fd(const struct cancel *c);	/* readable once raised */

struct call {
	int64_t deadline_ms; /* from now, of the whole call; 0: the spec's */
	int64_t stall_ms;    /* no byte either way this long: FAIL_DEADLINE;
			      * 0: off */
	struct cancel *cancel;	/* may be NULL */
};

struct remote_caps {
	uint64_t max_in;	/* bytes of one call's input; 0: no limit */
	unsigned max_parallel;	/* calls at once; more wait. 0: no limit */
	bool binary_out;
	bool stdin_ok;		/* input reaches a command as it comes, not
				 * only whole and before it begins */
};

/* Calls, bytes sent and received. */
struct remote_stats {
	uint64_t calls, bytes_sent, bytes_received;
};

/* What a provider implements. */
struct remote_ops {
	const char *name;
	/* What runs in the sandbox goes on when our end of the call is gone:
	 * a call that was cancelled, too slow or cut is then ended by a second
	 * one (reap.sh). */
	bool leaves_running;
	/* [a-f0-9]{24}, begins the NAME (frame.h) of each call; borrowed until
	 * close. NULL: remote.c makes one. */
	const char *(*token)(void *state);
	/* Makes a sandbox of spec->template; *ID is to be g_freed. NULL: this
	 * provider cannot. */
	int (*create)(const struct spec *spec, const struct call *call,
		char **id, GError **err);
	/* Checks that the sandbox answers; fills *STATE (provider's own). */
	int (*open)(const struct spec *spec, const struct call *call,
		void **state, GError **err);
	void (*close)(void *state);
	/* Constant after open. */
	void (*caps)(void *state, struct remote_caps *caps);
	/* A text that changes when the sandbox is replaced or restarted with
	 * an empty disk (container id, pod uid), or NULL if it has none. */
	char *(*identity)(void *state, const struct call *call, GError **err);
	/* Runs `sh -c SCRIPT sh ARGS…`. Bytes of its standard output go to OUT,
	 * of its standard error to ERR_OUT, as they come, and are added up in
	 * STATS. *STATUS is the exit code as the provider tells it, 128+N for
	 * signal N. */
	int (*run)(void *state, const char *script, const char *const *args,
		const struct call *call, struct source *in, struct sink *out,
		struct sink *err_out, struct remote_stats *stats, int *status,
		GError **err);
	/* A pattern (merge/exclude.h) of files in the workspace of a sandbox
	 * like SPEC that belong to the service, not to the work; borrowed for
	 * ever. NULL, and what it may return: none. */
	const char *(*reserved)(const struct spec *spec);
	/* Extends the sandbox's life; *EXPIRES_MS wall clock, 0: never ends. */
	int (*renew)(void *state, const struct call *call, int64_t *expires_ms,
		GError **err);
};

/* Whether PROVIDER makes sandboxes: then the id "new" asks for one. */
bool remote_can_create(const char *provider);
/* A new sandbox of spec->template, at spec->provider: its id, to be g_freed.
 * FAIL_USAGE where that cannot be. */
int remote_create(const struct spec *spec, const struct call *call, char **id,
	GError **err);

/* What the service keeps in SPEC's workspace (remote_ops.reserved); no request
 * is made. */
const char *remote_reserved(const struct spec *spec);

/* The provider by spec->provider; FAIL_USAGE for an unknown one, naming those
 * there are. Runs one trivial command. The spec is copied. */
struct remote *remote_open(const struct spec *spec, const struct call *call,
	GError **err);
void remote_close(struct remote *r);	/* NULL is fine */
const struct spec *remote_spec(const struct remote *r);
void remote_get_caps(const struct remote *r, struct remote_caps *caps);
char *remote_identity(struct remote *r, const struct call *call, GError **err);
int remote_renew(struct remote *r, const struct call *call,
	int64_t *expires_ms, GError **err);

/*
 * Runs SCRIPT framed: a start marker and an end marker with the script's own
 * exit code travel in its standard output (random per call), so that login
 * noise before it is skipped, "not started" differs from "no answer", and a
 * truncated answer is noticed. OUT gets exactly what the script printed.
 * Standard error is drained; its last 4 KiB come back in *STDERR_TEXT (may be
 * NULL; g_free it). 0 when the end marker arrived: *CODE is the script's exit
 * code. IN may be NULL (empty input).
 */
int remote_run(struct remote *r, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	int *code, char **stderr_text, GError **err);

/*
 * Runs SCRIPT with both of its output streams framed, so that OUT and ERR_OUT
 * get exactly what it printed on each: for a person's command. No locale is
 * set. Without call->deadline_ms it may take as long as it wants. It has ended
 * when the end markers have come, also while something it left behind holds
 * the streams open.
 */
struct remote_streams {
	struct source *in;	/* may be NULL */
	struct sink *out, *err_out;
};
int remote_exec(struct remote *r, const char *script, const char *const *args,
	const struct call *call, const struct remote_streams *streams,
	int *code, GError **err);

/* A snapshot of the totals since open. */
void remote_get_stats(const struct remote *r, struct remote_stats *s);

/* NULL-terminated names of the providers of this build. */
const char *const *remote_providers(void);

#endif
