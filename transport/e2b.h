#ifndef TRANSPORT_E2B_H
#define TRANSPORT_E2B_H
/*
 * What the files of provider "e2b" share: the control plane (e2b_control.c),
 * envd inside the sandbox (e2b_envd.c: requests, files; e2b_process.c:
 * processes; e2b_input.c: what those read), and the provider itself
 * (provider_e2b.c).
 *
 * The account's key goes only to the control plane; envd gets the token that
 * the control plane gave for this one sandbox.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "merge/lib/mutex.h"
#include "transport/http.h"
#include "transport/spec.h"

struct json;
struct e2b_input;

/* What the control plane says about reaching the sandbox; a value that is
 * copied out under the lock. All strings owned. */
struct e2b_access {
	char *url;	/* of envd, no trailing '/' */
	char *token;	/* or NULL: envd asks for none */
	unsigned version[3];	/* of envd */
};
void e2b_access_clear(struct e2b_access *a);

struct e2b {
	struct http *http;	/* const after open, as all but what LOCK */
	struct spec *spec;	/* guards; owned */
	char *api_url;
	char *key_header;	/* "X-API-Key: …" */
	char *domain;
	char *id;		/* of the sandbox */
	int lifetime_s;
	bool resume;		/* wake a paused sandbox */
	struct mutex lock;	/* a leaf */
	struct e2b_access access;	/* lock */
	bool use_v2;		/* lock: which generation of routes answers */
	int64_t expires_ms;	/* lock: wall clock; 0: not known */
	int64_t renewed_ns;	/* lock: io_now_ns of the last renewal */
};

/* A control plane client for SPEC; no request is made. FAIL_USAGE. */
struct e2b *e2b_new(const struct spec *spec, const struct call *call,
	GError **err);
void e2b_free(struct e2b *e);	/* NULL is fine */

/* --- control plane ------------------------------------------------------ */

enum e2b_state { E2B_RUNNING, E2B_PAUSED, E2B_ENDED };

/* Makes a sandbox of spec->template; *ID is to be g_freed. When the answer is
 * lost, the sandbox is looked up by a mark in its metadata. FAIL_UNKNOWN says
 * that one may have been made. */
int e2b_create(struct e2b *e, const struct call *call, char **id,
	GError **err);
/* Attaches: learns URL and token, wakes a paused sandbox, makes sure that it
 * lives lifetime_s from now. FAIL_GONE when there is no such sandbox. */
int e2b_connect(struct e2b *e, const struct call *call, GError **err);
/* *END_MS: wall clock, 0 when not told. */
int e2b_ask_state(struct e2b *e, const struct call *call,
	enum e2b_state *state, int64_t *end_ms, GError **err);
/* After signs that the sandbox does not run: attaches again. A paused one is
 * woken if the spec lets us, else FAIL_UNAVAILABLE; FAIL_GONE. */
int e2b_wake(struct e2b *e, const struct call *call, GError **err);
/* The sandbox lives lifetime_s from now, or longer if it did already; wakes as
 * e2b_wake. */
int e2b_renew(struct e2b *e, const struct call *call, GError **err);

/* --- envd --------------------------------------------------------------- */

/*
 * One request to envd; Q->url is the path ("/files?…") and Q->headers those
 * besides routing and token. An answer that says that the sandbox is paused,
 * that the token is stale, or that it is busy leads to the cure and, when Q can
 * be sent again (no body, no bytes taken by OUT), to another try; else
 * FAIL_UNAVAILABLE after the cure. FAIL_GONE when the sandbox ended. 0: an
 * answer of any other status.
 */
int e2b_ask_envd(struct e2b *e, const struct http_request *q,
	const struct call *call, struct http_answer *a, GError **err);
/* What an error of the Connect protocol means; returns its code. SEEN: the
 * process is known to have begun. */
int e2b_rpc_failed(const char *what, const char *code, const char *why,
	bool seen, GError **err);
/* A unary call: METHOD "process.Process/SendSignal". ANSWER may be NULL. */
int e2b_rpc(struct e2b *e, const char *method, const char *json,
	const struct call *call, struct json **answer, GError **err);

/* BODY to an absolute PATH, in place. Not done, or not wholly, on failure. */
int e2b_upload(struct e2b *e, const char *path, struct source *body,
	const struct call *call, struct remote_stats *stats, GError **err);
/* rm -rf; absent is fine. */
int e2b_remove(struct e2b *e, const char *path, const struct call *call,
	GError **err);

/* --- processes ---------------------------------------------------------- */

struct e2b_run {
	const char *const *argv;
	/* Read as it comes, on a thread of its own; NULL: /dev/null. */
	struct source *in;
	struct sink *out, *err_out;	/* may be NULL */
	struct remote_stats *stats;
	/* Results. */
	int64_t pid;	/* 0: no start was seen */
	bool ended;	/* STATUS is known */
	int status;	/* exit code, 128+N for signal N */
};
/*
 * Runs to the end. On deadline and cancel the process and all its group are
 * ended, as far as the sandbox answers. Errors as remote_ops.run.
 */
int e2b_run(struct e2b *e, struct e2b_run *run, const struct call *call,
	GError **err);

/* Ends the process and the group that it leads, as far as the sandbox answers
 * (within 10 s). */
void e2b_end_process(struct e2b *e, int64_t pid);

/* Whether a process's input can be sent, and its end told: envd >= 0.5.2. */
bool e2b_has_input(struct e2b *e);
/* Feeds process PID with what IN gives, IN borrowed until the stop; a piece
 * that may have been lost raises COMMAND. NULL: no thread could be had. */
struct e2b_input *e2b_input_start(struct e2b *e, int64_t pid,
	struct source *in, struct cancel *command);
/* No more input; the thread is joined, unless it blocks in IN's read. Adds what
 * was sent to *BYTES. FAIL_UNKNOWN when some was lost. */
int e2b_input_stop(struct e2b_input *f, uint64_t *bytes, GError **err);

/* One event of a process stream (for tests and fuzzing): 0, -EPROTO, or what a
 * sink returned. Sets *KEEPALIVE when it was only that. */
int e2b_take_event(struct e2b_run *run, const char *text, size_t len,
	bool *keepalive);

#endif
