#ifndef TRANSPORT_HTTP_H
#define TRANSPORT_HTTP_H
/*
 * HTTP and HTTPS for the providers; with http_stream.c the home of libcurl.
 *
 *	struct http *h = http_new(&(struct http_config){ 0 });
 *	struct http_request q = { .method = "GET", .url = url };
 *	struct http_answer a = { 0 };
 *	if (http_ask(h, &q, &call, &a, err) == 0 && a.status == 200) ...
 *	http_answer_clear(&a);
 *
 * What holds for every request: certificates are verified; redirects are not
 * followed, so that a key never travels to another host; http:// is refused but
 * for this machine itself and Unix sockets; a body is never sent a second time
 * behind the caller's back; headers and kept bodies have limits. Certificates
 * are the system's, or those of the file that CURL_CA_BUNDLE names. Nothing of
 * a request's headers or bodies is ever logged.
 *
 * A struct http may be used from several threads; each request has a
 * connection of its own, kept for the next one. A request blocks its caller,
 * and calls source and sink on that thread; a sink that blocks holds the sender
 * back.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>

#include "transport/remote.h"

struct http;

struct http_config {
	const char *unix_socket;	/* path of a socket, or NULL */
	int64_t connect_ms;		/* 0: 15 s */
};

struct http *http_new(const struct http_config *c);
void http_free(struct http *h);	/* NULL is fine; no request may be running */

enum {
	HTTP_HEADER_LIMIT = 64 << 10,	/* all headers of an answer */
	HTTP_KEEP_LIMIT = 8 << 20,	/* a kept body, unless told */
	HTTP_ERROR_LIMIT = 16 << 10,	/* kept of the body of a refusal */
};

struct http_request {
	const char *method;
	const char *url;
	const char *const *headers;	/* "Name: value", NULL-terminated; may be
					 * NULL; may hold secrets */
	struct source *body;		/* NULL: none */
	int64_t body_size;		/* -1: not known, sent in chunks */
	const char *text;		/* instead of BODY: bytes that can be
					 * sent again; borrowed */
	size_t text_len;
	struct sink *out;		/* takes the body of a 2xx answer as it
					 * comes; NULL: it is kept */
	size_t keep_limit;		/* of a kept body; 0: HTTP_KEEP_LIMIT */
};

struct http_answer {
	int status;
	char *content_type;	/* lower case, no parameters; or NULL; owned */
	GHashTable *headers;	/* lower-case name -> value (the last); owned */
	int64_t retry_after_ms;	/* -1: not told */
	GString *text;		/* the kept body, of a refusal too; owned */
	uint64_t sent, received;	/* bytes of bodies */
};
void http_answer_clear(struct http_answer *a);
const char *http_header(const struct http_answer *a, const char *lower_name);

/*
 * One request and its whole answer, of whatever status. status, content_type
 * and headers are set before the first byte reaches OUT, which may also change
 * CALL's stall_ms. Fills *A also when it fails (clear it always). Errors:
 *	FAIL_USAGE	  the URL is none, or not safe for a key
 *	FAIL_UNAVAILABLE  no connection, no trust: certainly not done
 *	FAIL_UNKNOWN	  sent, and no answer or only a part of it; or the
 *			  source or the sink failed
 *	FAIL_PROTOCOL	  the answer is no HTTP or over a limit
 *	FAIL_DEADLINE, FAIL_CANCELLED	as in struct call
 */
int http_ask(struct http *h, const struct http_request *q,
	const struct call *call, struct http_answer *a, GError **err);

/*
 * http_ask, again while the answer is that nothing was done (no connection,
 * 429, 503) and, with REPEATABLE, also when it is not known (a lost answer, 500,
 * 502, 504): at most 5 times, waiting as long as Retry-After says, else longer
 * each time, all within CALL's deadline. Only for requests without BODY and
 * OUT. The last answer or failure comes back.
 */
int http_ask_again(struct http *h, const struct http_request *q,
	bool repeatable, const struct call *call, struct http_answer *a,
	GError **err);
/* Sleeps, unless cancelled or the deadline (io_now_ns; 0: none) comes first:
 * FAIL_CANCELLED, FAIL_DEADLINE. */
int http_wait(int64_t wait_ms, int64_t until_ns, struct cancel *cancel,
	GError **err);

/*
 * What an answer that is not 2xx means: sets *ERR and returns its code.
 * WHAT says what was asked ("create the sandbox"). Says what the server said
 * ("message" or "error" of a JSON body, else the first line of text), made safe
 * to show.
 *	401, 403		FAIL_REMOTE (the key)
 *	404, 410		FAIL_GONE
 *	408, 425, 429, 503	FAIL_UNAVAILABLE: not done, may be asked again
 *	3xx			FAIL_PROTOCOL
 *	other 4xx, 501, 507	FAIL_REMOTE
 *	other 5xx		FAIL_UNKNOWN
 */
int http_refused(const struct http_answer *a, const char *what, GError **err);
/* The server's own words out of a body; NULL if there are none. */
char *http_message(const struct http_answer *a);

/* A path segment or query value: all but letters, digits and -._~ as %XX. */
char *http_escape(const char *text);

/*
 * A raw connection (http_stream.c), for what HTTP only begins: an exec stream
 * that is "hijacked". The caller writes the request and parses the answer.
 * One thread at a time. Waits honour deadline and cancel of CALL.
 */
struct http_stream;
/* URL gives host, port and scheme only. */
struct http_stream *http_stream_open(struct http *h, const char *url,
	const struct call *call, GError **err);
/* 0 when all was sent. FAIL_UNKNOWN when the connection broke. */
int http_stream_send(struct http_stream *s, const void *buf, size_t len,
	const struct call *call, GError **err);
/* Bytes read, 0 at the end; negative with *ERR. */
ssize_t http_stream_receive(struct http_stream *s, void *buf, size_t len,
	const struct call *call, GError **err);
/* Neither waits: -EAGAIN when it would. For a caller that polls the socket. */
ssize_t http_stream_try_send(struct http_stream *s, const void *buf,
	size_t len);
ssize_t http_stream_try_receive(struct http_stream *s, void *buf, size_t len);
int http_stream_fd(const struct http_stream *s);
/* No more will be sent; plain sockets only (a Unix socket is one). */
void http_stream_end_output(struct http_stream *s);
void http_stream_free(struct http_stream *s);	/* NULL is fine */

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *http_library(void);

#endif
