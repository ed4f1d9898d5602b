#ifndef TRANSPORT_CLOUDFLARE_H
#define TRANSPORT_CLOUDFLARE_H
/*
 * The parts of provider "cloudflare". Two HTTP dialects reach the same kind of
 * container, and differ in how a command is asked for and how its output comes:
 *
 *	cloudflare_bridge.c	the official bridge, https://WORKER
 *	cloudflare_lease.c	the older one, https://WORKER/api/NAME/vN, which
 *				has leases and commands, no files
 *
 * provider_cloudflare.c has what is the same: the wrapper around each command,
 * its input by parts, the event stream, and what an answer means.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "merge/lib/mutex.h"
#include "transport/event_stream.h"
#include "transport/http.h"
#include "transport/remote.h"

struct json;

enum {
	/* The Worker's own sleepAfter unless the spec knows better. */
	CF_LIFETIME_MS = 600000,
	/* The bridge ends a command this much after our deadline for it. */
	CF_REMOTE_SLACK_MS = 10000,
	CF_SESSIONS = 8,
};

/* Printed before the base64 where a login shell may print, too. */
#define CF_MARK "~sandmount:"

struct bridge {
	const struct dialect *dialect;
	struct http *http;
	struct spec *spec;	/* owned, as are the strings */
	char *url;		/* what the dialect's paths follow */
	char *auth;		/* "Authorization: Bearer …" */
	int64_t lifetime_ms;
	/* Of a lease only. */
	char *lease, *acquisition;	/* the latter may be NULL */
	struct mutex lock;		/* guards what follows; a leaf */
	unsigned busy;			/* bit N: session[N] has a command */
	unsigned session[CF_SESSIONS];	/* number in its name; 0: none yet */
};

/* One command, from its request to its last event. */
struct run {
	struct event_stream events;
	struct http_answer *a;
	struct call *call;
	struct sink *out, *err_out;
	struct remote_stats *stats;
	int state;		/* of the base64 decoder */
	guint save;
	uint64_t printed;	/* bytes handed to OUT */
	size_t marked;		/* of a dialect's start mark seen so far */
	bool ended;
	int status;
	char *failed;		/* what an error event said, owned */
};

struct dialect {
	const char *path;	/* between the base URL and what is asked */
	size_t inline_bytes;	/* input that goes within the command */
	size_t part_bytes;	/* of input in one request else */
	bool whole_output;	/* an answer holds all output once more, so
				 * that much of it is fetched by parts */
	int (*create)(struct bridge *b, const struct call *call, char **id,
		GError **err);
	/* Checks the id of the spec, then that the sandbox answers. */
	int (*open)(struct bridge *b, const struct call *call, GError **err);
	int (*renew)(struct bridge *b, const struct call *call, GError **err);
	/* Asks for r's command; events go to bridge_event(). NULL-terminated
	 * ARGV; STDIN_TEXT may be NULL. */
	int (*exec)(struct bridge *b, struct run *r, const char *const *argv,
		const char *stdin_text, int64_t deadline_ms, GError **err);
	/* A known event? Negative errno: it is none that makes sense. */
	int (*event)(struct run *r, const char *name, const char *data,
		size_t len);
	/* Puts LEN bytes into file NAME of DIR in the sandbox. May be done
	 * again with the same bytes. */
	int (*put_part)(struct bridge *b, const char *dir, const char *name,
		const char *buf, size_t len, const struct call *call,
		GError **err);
};

extern const struct dialect cloudflare_bridge, cloudflare_lease;

/* Ids of leases have a '-', the bridge's own never. */
bool cloudflare_is_lease(const char *sandbox_id);

/* A request with b's key whose answer is kept; TYPE and TEXT may be NULL. Asked
 * again while that may help. */
int bridge_ask(struct bridge *b, const char *method, const char *path,
	const char *type, const char *text, size_t len,
	const struct call *call, struct http_answer *a, GError **err);
/* Posts BODY to b->url + PATH; the events of the answer go to b's dialect. */
int bridge_post(struct bridge *b, struct run *r, const char *path,
	const struct json *body, GError **err);
/* r's command was asked for within CALL: runs dialect->exec, and says what its
 * answer means. Clears what R holds. */
int bridge_exec(struct bridge *b, struct run *r, const char *const *argv,
	const char *stdin_text, const struct call *call, GError **err);
/* Base64 that the wrapped command printed: its bytes go to OUT. */
int bridge_printed(struct run *r, const char *text, size_t len);

#endif
