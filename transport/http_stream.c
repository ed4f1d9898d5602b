/*
 * URLs, libcurl's failures, and raw connections.
 */
#include "transport/http_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

#define MS INT64_C(1000000)

/* --- URLs -------------------------------------------------------------- */

static char *url_part(CURLU *u, CURLUPart part)
{
	char *text = NULL, *own;

	if (curl_url_get(u, part, &text, 0) != CURLUE_OK)
		return NULL;
	own = g_strdup(text);
	curl_free(text);
	return own;
}

static bool is_loopback(const char *host)
{
	return !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
		(g_str_has_prefix(host, "127.") &&
			g_hostname_is_ip_address(host));
}

char *http_show(const char *url)
{
	CURLU *u = curl_url();
	char *shown;

	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
		g_autofree char *host = url_part(u, CURLUPART_HOST);
		g_autofree char *port = url_part(u, CURLUPART_PORT);
		g_autofree char *raw = g_strconcat(host ? host : "?",
			port ? ":" : NULL, port, NULL);

		shown = path_display(raw);
	} else {
		shown = g_strdup("server");
	}
	curl_url_cleanup(u);
	return shown;
}

static int judge_url(const struct http *h, CURLU *u, bool *local, GError **err)
{
	g_autofree char *scheme = url_part(u, CURLUPART_SCHEME);
	g_autofree char *host = url_part(u, CURLUPART_HOST);
	g_autofree char *user = url_part(u, CURLUPART_USER);
	g_autofree char *shown = path_display(host ? host : "");

	if (!scheme || !host || user)
		return fail(err, FAIL_USAGE,
			"%s: not a URL that can be asked; give "
			"https://HOST[:PORT]", shown);
	*local = h->unix_socket || is_loopback(host);
	if (!strcmp(scheme, "https") || (!strcmp(scheme, "http") && *local))
		return 0;
	return fail(err, FAIL_USAGE,
		"%s://%s: would carry the key in the clear; give an https:// "
		"URL (http:// is only for this machine)", scheme, shown);
}

int http_check_url(const struct http *h, const char *url, bool *local,
	GError **err)
{
	CURLU *u = curl_url();
	int r;

	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
		r = judge_url(h, u, local, err);
	} else {
		g_autofree char *shown = path_display(url);

		r = fail(err, FAIL_USAGE,
			"%s: not a URL; give https://HOST[:PORT]", shown);
	}
	curl_url_cleanup(u);
	return r;
}

/* --- failures ---------------------------------------------------------- */

static bool is_distrust(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION ||
		code == CURLE_SSL_CACERT_BADFILE ||
		code == CURLE_SSL_ISSUER_ERROR;
}

static bool is_never_sent(CURLcode code)
{
	return code == CURLE_COULDNT_RESOLVE_HOST ||
		code == CURLE_COULDNT_RESOLVE_PROXY ||
		code == CURLE_COULDNT_CONNECT ||
		code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PROXY;
}

int http_curl_failed(CURLcode code, const char *detail, const char *url,
	bool sent, GError **err)
{
	g_autofree char *host = http_show(url);
	g_autofree char *why =
		path_display(*detail ? detail : curl_easy_strerror(code));

	if (is_distrust(code))
		return fail(err, FAIL_UNAVAILABLE,
			"%s: its certificate is not trusted (%s); nothing was "
			"sent; CURL_CA_BUNDLE can name a file of authorities",
			host, why);
	if (is_never_sent(code) || !sent)
		return fail(err, FAIL_UNAVAILABLE,
			"%s: cannot be reached (%s)", host, why);
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
		return fail(err, FAIL_PROTOCOL, "%s: does not speak HTTP (%s)",
			host, why);
	return fail(err, FAIL_UNKNOWN,
		"%s: the connection ended before the answer did (%s)", host,
		why);
}

/* --- raw connections ---------------------------------------------------- */

struct http_stream {
	CURL *easy;
	curl_socket_t fd;	/* libcurl's */
	char *url;
};

struct http_stream *http_stream_open(struct http *h, const char *url,
	const struct call *call, GError **err)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct http_stream *s;
	CURLcode code;
	bool local;

	if (http_check_url(h, url, &local, err) < 0)
		return NULL;
	s = g_new0(struct http_stream, 1);
	s->easy = curl_easy_init();
	if (!s->easy)
		g_error("libcurl: out of memory");
	s->url = g_strdup(url);
	http_set_common(h, s->easy, url, local);
	curl_easy_setopt(s->easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, detail);
	if (call->deadline_ms)
		curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS,
			(long)MIN(call->deadline_ms, INT64_C(1) << 30));
	code = curl_easy_perform(s->easy);
	/* The buffer is this function's. */
	curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, NULL);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(
			s->easy, CURLINFO_ACTIVESOCKET, &s->fd);
	if (code == CURLE_OK)
		return s;
	http_curl_failed(code, detail, url, false, err);
	http_stream_free(s);
	return NULL;
}

void http_stream_free(struct http_stream *s)
{
	if (!s)
		return;
	curl_easy_cleanup(s->easy);
	g_free(s->url);
	g_free(s);
}

int http_stream_fd(const struct http_stream *s)
{
	return (int)s->fd;
}

void http_stream_end_output(struct http_stream *s)
{
	shutdown(s->fd, SHUT_WR);
}

static ssize_t result(CURLcode code, size_t n)
{
	if (code == CURLE_OK)
		return (ssize_t)n;
	return code == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
}

ssize_t http_stream_try_send(struct http_stream *s, const void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code = curl_easy_send(s->easy, buf, len, &n);

	return result(code, n);
}

ssize_t http_stream_try_receive(struct http_stream *s, void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code = curl_easy_recv(s->easy, buf, len, &n);

	return result(code, n);
}

/* Waits for EVENTS on the socket. */
static int wait_socket(struct http_stream *s, short events, int64_t until,
	const struct call *call, GError **err)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = (int)s->fd, .events = events },
			{ .fd = cancel_fd(call->cancel), .events = POLLIN },
		};
		int64_t left = until ? (until - io_now_ns()) / MS : 1000;

		if (until && left <= 0)
			return fail(err, FAIL_DEADLINE,
				"no whole answer within %" G_GINT64_FORMAT
				" ms", call->deadline_ms);
		poll(fds, G_N_ELEMENTS(fds), (int)MIN(left + 1, 1000));
		if (fds[1].revents)
			return fail(err, FAIL_CANCELLED, "interrupted");
		if (fds[0].revents)
			return 0;
	}
}

static int64_t until_of(const struct call *call)
{
	return call->deadline_ms ? io_now_ns() + call->deadline_ms * MS : 0;
}

static int broken(const struct http_stream *s, GError **err)
{
	g_autofree char *host = http_show(s->url);

	return fail(err, FAIL_UNKNOWN, "%s: the connection broke", host);
}

int http_stream_send(struct http_stream *s, const void *buf, size_t len,
	const struct call *call, GError **err)
{
	int64_t until = until_of(call);
	const char *at = buf;

	while (len) {
		ssize_t n = http_stream_try_send(s, at, len);

		if (n == -EAGAIN) {
			if (wait_socket(s, POLLOUT, until, call, err) < 0)
				return -EIO;
			continue;
		}
		if (n < 0)
			return broken(s, err);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t http_stream_receive(struct http_stream *s, void *buf, size_t len,
	const struct call *call, GError **err)
{
	int64_t until = until_of(call);

	for (;;) {
		ssize_t n = http_stream_try_receive(s, buf, len);

		if (n >= 0)
			return n;
		if (n != -EAGAIN)
			return broken(s, err);
		if (wait_socket(s, POLLIN, until, call, err) < 0)
			return -EIO;
	}
}
