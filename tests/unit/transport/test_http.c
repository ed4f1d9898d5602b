/* HTTP against a server of a page that answers well, badly and not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "transport/http.h"

/* After ours: it has a macro named fail. */
#include <cmocka.h>

/* --- the server: one thread, one connection after the other -------------- */

struct server {
	int fd, stop[2];
	char url[64];
	pthread_t thread;
	int requests;		/* atomic */
	char *last;		/* the last request, head and body */
	char socket_path[64];
};

static const char *const answers[][2] = {
	{ "/ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
		 "X-Next: \t a b \r\nContent-Type: Text/Plain; charset=x\r\n"
		 "\r\nhello" },
	{ "/created", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" },
	{ "/continue", "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n"
		       "HTTP/1.1 204 No Content\r\nX-B: 2\r\n\r\n" },
	{ "/moved", "HTTP/1.1 302 Found\r\nLocation: /ok\r\n"
		    "Content-Length: 0\r\n\r\n" },
	{ "/busy", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\n"
		   "Content-Length: 47\r\n\r\n"
		   "{\"code\":429,\"message\":\"Rate limit exceeded\\n!\"}" },
	{ "/key", "HTTP/1.1 401 No\r\nContent-Length: 24\r\n\r\n"
		  "{\"error\":\"Unauthorized\"}" },
	{ "/none", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n" },
	{ "/html", "HTTP/1.1 502 Bad\r\nContent-Length: 15\r\n\r\n"
		   "<html>no</html>" },
	{ "/later", "HTTP/1.1 503 No\r\nContent-Length: 7\r\n\r\nbu\033[1m" },
	{ "/no-cut", "HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\nbecause" },
	{ "/full", "HTTP/1.1 507 No\r\nContent-Length: 0\r\n\r\n" },
	{ "/cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello" },
	{ "/chunk-cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"5\r\nhel" },
	{ "/noise", "\001\002\003 no http at all\r\n\r\n" },
	{ "/nothing", "" },
	{ "/big", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
		  "01234567890123456789" },
};

static size_t body_length(const char *head, const char *end)
{
	const char *at = strcasestr(head, "content-length:");

	return at && at < end ? (size_t)strtoul(at + 15, NULL, 10) : 0;
}

/* A request, whole or until the peer ends. */
static bool read_request(int fd, GString *in)
{
	char buf[4096];

	g_string_truncate(in, 0);
	for (;;) {
		const char *end = strstr(in->str, "\r\n\r\n");
		ssize_t n;

		if (end && strcasestr(in->str, "transfer-encoding: chunked")) {
			if (g_str_has_suffix(in->str, "\r\n0\r\n\r\n"))
				return true;
		} else if (end && in->len >= (size_t)(end + 4 - in->str) +
				body_length(in->str, end)) {
			return true;
		}
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return false;
		g_string_append_len(in, buf, n);
	}
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

/* Waits until the peer closes or the test is over. */
static void hang(struct server *s, int fd)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = s->stop[0], .events = POLLIN },
	};
	char c;

	while (poll(fds, 2, -1) > 0 && !fds[1].revents)
		if (read(fd, &c, 1) <= 0)
			return;
}

static void answer_many_headers(int fd)
{
	g_autofree char *line = g_strnfill(1000, 'x');

	write_all(fd, "HTTP/1.1 200 OK\r\n", 17);
	for (int i = 0; i < 100; i++) {
		g_autofree char *h = g_strdup_printf("X-%d: %s\r\n", i, line);

		write_all(fd, h, strlen(h));
	}
	write_all(fd, "\r\n", 2);
}

/* False: the connection ends. */
static bool answer(struct server *s, int fd, const GString *in)
{
	g_auto(GStrv) words = g_strsplit(in->str, " ", 3);
	const char *path = words[0] && words[1] ? words[1] : "";

	if (!strcmp(path, "/hang")) {
		hang(s, fd);
		return false;
	}
	if (!strcmp(path, "/headers")) {
		answer_many_headers(fd);
		return false;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++)
		if (!strcmp(path, answers[i][0])) {
			const char *text = answers[i][1];

			write_all(fd, text, strlen(text));
			return strstr(text, "Content-Length: 5\r") != NULL;
		}
	write_all(fd, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 38);
	return true;
}

static void echo(int fd, GString *in)
{
	char buf[4096];
	ssize_t n;

	write_all(fd, "raw:", 4);
	write_all(fd, in->str, in->len);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		write_all(fd, buf, (size_t)n);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	GString *in = g_string_new(NULL);

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = s->fd, .events = POLLIN },
			{ .fd = s->stop[0], .events = POLLIN },
		};
		int fd;

		poll(fds, 2, -1);
		if (fds[1].revents)
			break;
		fd = accept(s->fd, NULL, NULL);
		while (fd >= 0 && read_request(fd, in)) {
			__atomic_add_fetch(&s->requests, 1, __ATOMIC_SEQ_CST);
			g_free(s->last);
			s->last = g_strdup(in->str);
			if (g_str_has_prefix(in->str, "RAW")) {
				echo(fd, in);
				break;
			}
			if (!answer(s, fd, in))
				break;
		}
		close(fd);
	}
	g_string_free(in, TRUE);
	return NULL;
}

static void start(struct server *s)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001),
	};
	socklen_t len = sizeof(in);

	*s = (struct server){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
	assert_int_equal(bind(s->fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(pipe(s->stop), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d",
		ntohs(in.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void start_unix(struct server *s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	*s = (struct server){ .fd = socket(AF_UNIX, SOCK_STREAM, 0) };
	snprintf(s->socket_path, sizeof(s->socket_path),
		"/tmp/sandmount-test-%d.sock", getpid());
	unlink(s->socket_path);
	strcpy(un.sun_path, s->socket_path);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(pipe(s->stop), 0);
	strcpy(s->url, "http://localhost");
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
	write_all(s->stop[1], "x", 1);
	assert_int_equal(write(s->stop[1], "x", 1), 1);
	pthread_join(s->thread, NULL);
	close(s->fd);
	close(s->stop[0]);
	close(s->stop[1]);
	g_free(s->last);
	if (*s->socket_path)
		unlink(s->socket_path);
}

/* --- tests -------------------------------------------------------------- */

static const struct row {
	const char *path;
	size_t limit;
	int code;	/* of the failure; 0: an answer */
	int status;
	int refused;	/* what http_refused says; 0: not asked */
	const char *text, *says;
} rows[] = {
	{ "/ok", 0, 0, 200, 0, "hello", NULL },
	{ "/created", 0, 0, 201, 0, "", NULL },
	{ "/continue", 0, 0, 204, 0, "", NULL },
	{ "/moved", 0, 0, 302, FAIL_PROTOCOL, "", "redirects" },
	{ "/busy", 0, 0, 429, FAIL_UNAVAILABLE, NULL, "Rate limit exceeded; it asks" },
	{ "/key", 0, 0, 401, FAIL_REMOTE, NULL, "Unauthorized; see that" },
	{ "/none", 0, 0, 404, FAIL_GONE, "", "asking: HTTP 404" },
	{ "/html", 0, 0, 502, FAIL_UNKNOWN, NULL, "asking: HTTP 502" },
	{ "/later", 0, 0, 503, FAIL_UNAVAILABLE, NULL, "bu\\x1B[1m" },
	{ "/no-cut", 0, 0, 400, FAIL_REMOTE, "because", "400: because" },
	{ "/full", 0, 0, 507, FAIL_REMOTE, "", "507" },
	{ "/cut", 0, FAIL_UNKNOWN, 200, 0, NULL, "ended before" },
	{ "/chunk-cut", 0, FAIL_UNKNOWN, 200, 0, NULL, "ended before" },
	{ "/noise", 0, FAIL_PROTOCOL, 0, 0, NULL, "HTTP" },
	{ "/nothing", 0, FAIL_UNKNOWN, 0, 0, NULL, "ended before" },
	{ "/headers", 0, FAIL_PROTOCOL, 200, 0, NULL, "headers" },
	{ "/big", 19, FAIL_PROTOCOL, 200, 0, NULL, "larger" },
	{ "/big", 20, 0, 200, 0, "01234567890123456789", NULL },
};

static void check_row(struct http *h, const char *base, const struct row *row)
{
	g_autofree char *url = g_strconcat(base, row->path, NULL);
	struct http_request q = {
		.method = "GET", .url = url, .keep_limit = row->limit,
	};
	struct call call = { .deadline_ms = 60000 };
	struct http_answer a = { 0 };
	g_autoptr(GError) err = NULL;
	int r = http_ask(h, &q, &call, &a, &err);

	if (err)
		print_message("%s: %s\n", row->path, err->message);
	assert_int_equal(r < 0, row->code != 0);
	assert_int_equal(r < 0 ? err->code : 0, row->code);
	assert_int_equal(a.status, row->status);
	if (row->refused) {
		http_refused(&a, "asking", &err);
		print_message("%s: %s\n", row->path, err->message);
		assert_int_equal(err->code, row->refused);
	}
	if (row->says)
		assert_non_null(strstr(err->message, row->says));
	if (row->text)
		assert_string_equal(a.text->str, row->text);
	http_answer_clear(&a);
}

static void test_answers(void **state)
{
	struct server s;
	struct http *h = http_new(&(struct http_config){ 0 });

	(void)state;
	start(&s);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		check_row(h, s.url, &rows[i]);
	stop(&s);
	assert_int_equal(s.requests, G_N_ELEMENTS(rows));
	http_free(h);
}

static void test_headers(void **state)
{
	struct server s;
	struct http *h = http_new(&(struct http_config){ 0 });
	struct call call = { .deadline_ms = 60000 };
	struct http_answer a = { 0 };
	const char *headers[] = { "X-Key: secret", NULL };
	struct http_request q = { .method = "DELETE", .headers = headers };

	(void)state;
	start(&s);
	g_autofree char *ok = g_strconcat(s.url, "/ok", NULL);
	g_autofree char *busy = g_strconcat(s.url, "/busy", NULL);

	q.url = ok;
	assert_int_equal(http_ask(h, &q, &call, &a, NULL), 0);
	assert_string_equal(http_header(&a, "x-next"), "a b");
	assert_string_equal(a.content_type, "text/plain");
	assert_int_equal(a.retry_after_ms, -1);
	assert_non_null(strstr(s.last, "DELETE /ok HTTP/1.1\r\n"));
	assert_non_null(strstr(s.last, "X-Key: secret\r\n"));
	http_answer_clear(&a);
	q.url = busy;
	assert_int_equal(http_ask(h, &q, &call, &a, NULL), 0);
	assert_int_equal(a.retry_after_ms, 2000);
	http_answer_clear(&a);
	stop(&s);
	http_free(h);
}

struct text {
	const char *at;
	size_t left, step;
};

static ssize_t read_text(void *ctx, void *buf, size_t len)
{
	struct text *t = ctx;
	size_t n = MIN(MIN(len, t->left), t->step);

	memcpy(buf, t->at, n);
	t->at += n;
	t->left -= n;
	return (ssize_t)n;
}

static ssize_t read_fails(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	(void)buf;
	(void)len;
	return -EBADF;
}

static int collect(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

static int refuse(void *ctx, const void *buf, size_t len)
{
	(void)ctx;
	(void)buf;
	(void)len;
	return -ENOSPC;
}

static void test_bodies(void **state)
{
	struct server s;
	struct http *h = http_new(&(struct http_config){ 0 });
	struct call call = { .deadline_ms = 60000 };
	struct text text = { "some text", 9, 4 };
	struct source body = { .read = read_text, .ctx = &text };
	GString *got = g_string_new(NULL);
	struct sink out = { .write = collect, .ctx = got };
	struct http_answer a = { 0 };
	g_autoptr(GError) err = NULL;
	struct http_request q = {
		.method = "POST", .body = &body, .body_size = -1, .out = &out,
	};

	(void)state;
	start(&s);
	g_autofree char *ok = g_strconcat(s.url, "/ok", NULL);
	g_autofree char *none = g_strconcat(s.url, "/none", NULL);

	q.url = ok;
	assert_int_equal(http_ask(h, &q, &call, &a, NULL), 0);
	assert_string_equal(got->str, "hello");
	assert_int_equal(a.sent, 9);
	assert_int_equal(a.received, 5);
	assert_int_equal(a.text->len, 0);
	assert_non_null(strstr(s.last, "\r\nsome\r\n"));
	assert_null(strcasestr(s.last, "expect:"));
	http_answer_clear(&a);
	/* Of a known length; and what is refused never reaches the sink. */
	text = (struct text){ "12345", 5, 5 };
	q.body_size = 5;
	q.url = none;
	assert_int_equal(http_ask(h, &q, &call, &a, NULL), 0);
	assert_non_null(strstr(s.last, "Content-Length: 5\r\n"));
	assert_true(g_str_has_suffix(s.last, "\r\n\r\n12345"));
	assert_string_equal(got->str, "hello");
	http_answer_clear(&a);
	/* A failing source and a failing sink. */
	body.read = read_fails;
	q.url = ok;
	q.body_size = -1;
	assert_true(http_ask(h, &q, &call, &a, &err) < 0);
	assert_int_equal(err->code, FAIL_UNKNOWN);
	assert_non_null(strstr(err->message, g_strerror(EBADF)));
	g_clear_error(&err);
	http_answer_clear(&a);
	q.body = NULL;
	out.write = refuse;
	assert_true(http_ask(h, &q, &call, &a, &err) < 0);
	assert_int_equal(err->code, FAIL_UNKNOWN);
	assert_non_null(strstr(err->message, g_strerror(ENOSPC)));
	http_answer_clear(&a);
	stop(&s);
	http_free(h);
	g_string_free(got, TRUE);
}

/* The server takes the second request on the kept connection and hangs up:
 * libcurl must not send it again by itself. */
static void test_not_repeated(void **state)
{
	struct server s;
	struct http *h = http_new(&(struct http_config){ 0 });
	struct call call = { .deadline_ms = 60000 };
	struct text text = { "once", 4, 4 };
	struct source body = { .read = read_text, .ctx = &text };
	struct http_answer a = { 0 };
	g_autoptr(GError) err = NULL;
	struct http_request q = {
		.method = "POST", .body = &body, .body_size = 4,
	};

	(void)state;
	start(&s);
	g_autofree char *ok = g_strconcat(s.url, "/ok", NULL);
	g_autofree char *nothing = g_strconcat(s.url, "/nothing", NULL);

	q.url = ok;
	assert_int_equal(http_ask(h, &q, &call, &a, NULL), 0);
	http_answer_clear(&a);
	text = (struct text){ "once", 4, 4 };
	q.url = nothing;
	assert_true(http_ask(h, &q, &call, &a, &err) < 0);
	assert_int_equal(err->code, FAIL_UNKNOWN);
	http_answer_clear(&a);
	stop(&s);
	assert_int_equal(s.requests, 2);
	http_free(h);
}

static void *raise_flag(void *cancel)
{
	cancel_raise(cancel);
	return NULL;
}

static void test_waiting(void **state)
{
	struct server s;
	struct http *h = http_new(&(struct http_config){ 0 });
	struct call call = { .deadline_ms = 50 };
	struct http_answer a = { 0 };
	g_autoptr(GError) err = NULL;
	struct http_request q = { .method = "GET" };
	pthread_t raiser;

	(void)state;
	start(&s);
	g_autofree char *url = g_strconcat(s.url, "/hang", NULL);

	q.url = url;
	assert_true(http_ask(h, &q, &call, &a, &err) < 0);
	assert_int_equal(err->code, FAIL_DEADLINE);
	g_clear_error(&err);
	http_answer_clear(&a);
	call = (struct call){ .stall_ms = 50 };
	assert_true(http_ask(h, &q, &call, &a, &err) < 0);
	assert_int_equal(err->code, FAIL_DEADLINE);
	g_clear_error(&err);
	http_answer_clear(&a);
	call = (struct call){ .cancel = cancel_new() };
	assert_int_equal(
		pthread_create(&raiser, NULL, raise_flag, call.cancel), 0);
	assert_true(http_ask(h, &q, &call, &a, &err) < 0);
	assert_int_equal(err->code, FAIL_CANCELLED);
	pthread_join(raiser, NULL);
	cancel_free(call.cancel);
	http_answer_clear(&a);
	stop(&s);
	http_free(h);
}

static void test_refused_urls(void **state)
{
	static const struct {
		const char *url;
		int code;
	} urls[] = {
		{ "http://example.com/", FAIL_USAGE },
		{ "http://127.0.0.1.example.com/", FAIL_USAGE },
		{ "http://127.example.com/", FAIL_USAGE },
		{ "http://user:word@localhost/", FAIL_USAGE },
		{ "file:///etc/passwd", FAIL_USAGE },
		{ "ftp://localhost/", FAIL_USAGE },
		{ "no url", FAIL_USAGE },
		{ "", FAIL_USAGE },
		/* Nobody listens on the discard port of 127.0.0.127. */
		{ "http://127.0.0.127:9/", FAIL_UNAVAILABLE },
		{ "https://127.0.0.127:9/", FAIL_UNAVAILABLE },
	};
	struct http *h = http_new(&(struct http_config){ 0 });
	struct call call = { .deadline_ms = 60000 };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
		struct http_request q = {
			.method = "GET", .url = urls[i].url,
		};
		struct http_answer a = { 0 };
		g_autoptr(GError) err = NULL;

		assert_true(http_ask(h, &q, &call, &a, &err) < 0);
		print_message("%s: %s\n", urls[i].url, err->message);
		assert_int_equal(err->code, urls[i].code);
		http_answer_clear(&a);
	}
	http_free(h);
}

static void test_unix_socket(void **state)
{
	struct server s;
	struct call call = { .deadline_ms = 60000 };
	struct http_answer a = { 0 };
	struct http_request q = {
		.method = "GET", .url = "http://localhost/ok",
	};
	GString *got = g_string_new(NULL);
	struct http_stream *raw;
	struct http *h;
	char buf[64];
	ssize_t n;

	(void)state;
	start_unix(&s);
	h = http_new(&(struct http_config){ .unix_socket = s.socket_path });
	assert_int_equal(http_ask(h, &q, &call, &a, NULL), 0);
	assert_string_equal(a.text->str, "hello");
	http_answer_clear(&a);
	http_free(h);
	/* A raw connection: both ways, half closed, to its end. */
	h = http_new(&(struct http_config){ .unix_socket = s.socket_path });
	raw = http_stream_open(h, s.url, &call, NULL);
	assert_non_null(raw);
	assert_int_equal(http_stream_send(raw, "RAW / HTTP/1.1\r\n\r\n", 18,
		&call, NULL), 0);
	assert_int_equal(http_stream_send(raw, "more", 4, &call, NULL), 0);
	http_stream_end_output(raw);
	while ((n = http_stream_receive(raw, buf, sizeof(buf), &call, NULL)) >
		0)
		g_string_append_len(got, buf, n);
	assert_int_equal(n, 0);
	assert_string_equal(got->str, "raw:RAW / HTTP/1.1\r\n\r\nmore");
	http_stream_free(raw);
	http_free(h);
	g_string_free(got, TRUE);
	stop(&s);
}

static void test_escape(void **state)
{
	g_autofree char *all = http_escape("a Z/~-_.%+\xff\n");

	(void)state;
	assert_string_equal(all, "a%20Z%2F~-_.%25%2B%FF%0A");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_not_repeated),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_refused_urls),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
