/*
 * A channel is a libcurl multi handle with one easy handle in it: the multi
 * handle keeps the connection from one request to the next and lets us wait
 * for the socket and the cancel flag at once. A request takes an idle channel
 * or makes one, and gives it back.
 */
#include "transport/http_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"

#define MS INT64_C(1000000)

enum {
	CONNECT_MS = 15000,
	/* Younger than the idle limits of load balancers on the way. */
	CONNECTION_AGE_S = 50,
	/* A peer that fell silent is noticed within 20 s. */
	KEEP_IDLE_S = 10, KEEP_EVERY_S = 4, UNACKED_MS = 20000,
	IDLE_CHANNELS = 8,
	WAIT_MS = 1000,
};

struct channel {
	CURLM *multi;
	CURL *easy;
};

static void init_curl(void)
{
	static gsize done;

	if (g_once_init_enter(&done)) {
		curl_global_init(CURL_GLOBAL_DEFAULT);
		g_once_init_leave(&done, 1);
	}
}

static void channel_free(gpointer data)
{
	struct channel *c = data;

	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	g_free(c);
}

struct http *http_new(const struct http_config *c)
{
	struct http *h = g_new0(struct http, 1);
	const char *ca = g_getenv("CURL_CA_BUNDLE");

	init_curl();
	h->unix_socket = g_strdup(c->unix_socket);
	h->ca_file = ca && *ca ? g_strdup(ca) : NULL;
	h->connect_ms = c->connect_ms ? c->connect_ms : CONNECT_MS;
	mutex_init(&h->lock, RANK_LOG);
	h->idle = g_ptr_array_new_with_free_func(channel_free);
	return h;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	g_ptr_array_free(h->idle, TRUE);
	mutex_destroy(&h->lock);
	g_free(h->unix_socket);
	g_free(h->ca_file);
	g_free(h);
}

static struct channel *take_channel(struct http *h)
{
	struct channel *c = NULL;

	mutex_lock(&h->lock);
	if (h->idle->len)
		c = g_ptr_array_steal_index(h->idle, h->idle->len - 1);
	mutex_unlock(&h->lock);
	if (c)
		return c;
	c = g_new0(struct channel, 1);
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	if (!c->multi || !c->easy)
		g_error("libcurl: out of memory");
	return c;
}

static void give_channel(struct http *h, struct channel *c)
{
	bool kept = false;

	/* The handle remembers headers: no secret stays behind. */
	curl_easy_reset(c->easy);
	mutex_lock(&h->lock);
	if (h->idle->len < IDLE_CHANNELS) {
		g_ptr_array_add(h->idle, c);
		kept = true;
	}
	mutex_unlock(&h->lock);
	if (!kept)
		channel_free(c);
}

/* --- one request ------------------------------------------------------- */

struct transfer {
	const struct http_request *q;
	const struct call *call;
	struct http_answer *a;
	size_t text_at;		/* how much of q->text went out */
	size_t header_bytes;
	bool body_begun;	/* the headers are complete */
	int64_t moved_ns;	/* when a byte moved last */
	int failed;		/* errno of source or sink, negative */
	const char *over;	/* which limit was passed */
};

static ssize_t read_text(struct transfer *t, void *buf, size_t len)
{
	size_t n = MIN(len, t->q->text_len - t->text_at);

	memcpy(buf, t->q->text + t->text_at, n);
	t->text_at += n;
	return (ssize_t)n;
}

static size_t on_read(char *buf, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	const struct http_request *q = t->q;
	ssize_t got = q->text ? read_text(t, buf, size * n)
			      : q->body->read(q->body->ctx, buf, size * n);

	t->moved_ns = io_now_ns();
	if (got < 0) {
		t->failed = (int)got;
		return CURL_READFUNC_ABORT;
	}
	t->a->sent += (uint64_t)got;
	return (size_t)got;
}

static bool is_good(const struct http_answer *a)
{
	return a->status >= 200 && a->status < 300;
}

static size_t keep(struct transfer *t, const char *buf, size_t len)
{
	GString *text = t->a->text;
	size_t limit = t->q->keep_limit ? t->q->keep_limit
					: (size_t)HTTP_KEEP_LIMIT;

	if (!is_good(t->a)) {
		size_t room = HTTP_ERROR_LIMIT - text->len;

		g_string_append_len(text, buf, (gssize)MIN(len, room));
		return len;
	}
	if (text->len + len > limit) {
		t->over = "its body is larger than is allowed here";
		return 0;
	}
	g_string_append_len(text, buf, (gssize)len);
	return len;
}

static size_t on_write(char *buf, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * n;

	t->moved_ns = io_now_ns();
	t->a->received += len;
	if (!t->q->out || !is_good(t->a))
		return keep(t, buf, len);
	t->failed = t->q->out->write(t->q->out->ctx, buf, len);
	t->moved_ns = io_now_ns();
	if (t->failed > 0)
		t->failed = -EIO;
	return t->failed ? 0 : len;
}

static void take_header(struct http_answer *a, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	g_autofree char *name = NULL;
	char *value;

	if (!colon)
		return;
	name = g_ascii_strdown(line, colon - line);
	value = g_strstrip(g_strndup(colon + 1,
		len - (size_t)(colon - line) - 1));
	if (!strcmp(name, "content-type")) {
		g_free(a->content_type);
		a->content_type = g_ascii_strdown(
			value, (gssize)strcspn(value, "; \t"));
	}
	g_hash_table_replace(a->headers, g_steal_pointer(&name), value);
}

/* Each status line begins an answer anew: an interim one comes before. */
static void begin_answer(struct transfer *t, const char *line, size_t len)
{
	g_autofree char *text = g_strndup(line, len);
	const char *space = strchr(text, ' ');

	g_hash_table_remove_all(t->a->headers);
	g_clear_pointer(&t->a->content_type, g_free);
	t->a->status = space ? (int)strtol(space, NULL, 10) : 0;
}

static size_t on_header(char *buf, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * n;

	t->moved_ns = io_now_ns();
	t->header_bytes += len;
	if (t->header_bytes > HTTP_HEADER_LIMIT) {
		t->over = "its headers are too many or too long";
		return 0;
	}
	if (len > 5 && !memcmp(buf, "HTTP/", 5))
		begin_answer(t, buf, len);
	else
		take_header(t->a, buf, len);
	t->body_begun = len == 2 && !memcmp(buf, "\r\n", 2);
	return len;
}

static struct curl_slist *make_headers(const struct http_request *q)
{
	/* No pause for "100 Continue", no form type that nobody asked for. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	bool typed = false;

	for (const char *const *h = q->headers; h && *h; h++) {
		typed |= !g_ascii_strncasecmp(*h, "content-type:", 13);
		list = curl_slist_append(list, *h);
	}
	if (!typed && (q->body || q->text))
		list = curl_slist_append(list, "Content-Type:");
	return list;
}

static void free_headers(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

/* Fails on a Unix socket, where nothing gets lost on the way. */
static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = UNACKED_MS;

	(void)ctx;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

void http_set_common(struct http *h, CURL *easy, const char *url, bool local)
{
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)h->connect_ms);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEP_IDLE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEP_EVERY_S);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)CONNECTION_AGE_S);
	if (h->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, h->ca_file);
	if (h->unix_socket)
		curl_easy_setopt(
			easy, CURLOPT_UNIX_SOCKET_PATH, h->unix_socket);
	if (local)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
}

static void set_body(CURL *easy, const struct http_request *q)
{
	if (!q->body && !q->text) {
		/* A POST without a body says so: Content-Length: 0. */
		if (!strcmp(q->method, "POST")) {
			curl_easy_setopt(easy, CURLOPT_POST, 1L);
			curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
			curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
		}
		return;
	}
	/*
	 * By callback and without a seek function: libcurl cannot repeat a
	 * request that had begun, on a kept connection that turns out dead.
	 */
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
		q->text ? (curl_off_t)q->text_len : (curl_off_t)q->body_size);
}

static void set_request(struct http *h, CURL *easy, struct transfer *t,
	struct curl_slist *headers, bool local, char *detail)
{
	const struct http_request *q = t->q;

	http_set_common(h, easy, q->url, local);
	curl_easy_setopt(easy, CURLOPT_USERAGENT,
		"sandmount/" SANDMOUNT_VERSION);
	set_body(easy, q);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, q->method);
	if (!strcmp(q->method, "HEAD"))
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_READDATA, t);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
}

/* 1 when the transfer is over, with its *CODE. */
static int is_over(CURLM *multi, CURLcode *code)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(multi, &left)))
		if (m->msg == CURLMSG_DONE) {
			*code = m->data.result;
			return 1;
		}
	return 0;
}

/* How long to wait for the socket, or a negative number when time is up. */
static int64_t time_left(const struct transfer *t, int64_t until_ns,
	GError **err)
{
	int64_t now = io_now_ns(), wait = WAIT_MS;
	int64_t stall_ns = t->call->stall_ms * MS;

	if (until_ns && now >= until_ns)
		return fail(err, FAIL_DEADLINE, "no whole answer within %"
			G_GINT64_FORMAT " ms", t->call->deadline_ms);
	if (stall_ns && now - t->moved_ns >= stall_ns)
		return fail(err, FAIL_DEADLINE, "no byte for %"
			G_GINT64_FORMAT " ms", t->call->stall_ms);
	if (until_ns)
		wait = MIN(wait, (until_ns - now) / MS + 1);
	if (stall_ns)
		wait = MIN(wait, (t->moved_ns + stall_ns - now) / MS + 1);
	return wait;
}

static int drive(CURLM *multi, struct transfer *t, CURLcode *code, GError **err)
{
	int64_t until = t->call->deadline_ms
		? io_now_ns() + t->call->deadline_ms * MS : 0;
	struct curl_waitfd raised = {
		.fd = cancel_fd(t->call->cancel), .events = CURL_WAIT_POLLIN,
	};
	int running;

	t->moved_ns = io_now_ns();
	for (;;) {
		int64_t wait;

		curl_multi_perform(multi, &running);
		if (is_over(multi, code))
			return 0;
		if (cancel_is_raised(t->call->cancel))
			return fail(err, FAIL_CANCELLED, "interrupted");
		wait = time_left(t, until, err);
		if (wait < 0)
			return -1;
		curl_multi_poll(multi, &raised, raised.fd >= 0 ? 1 : 0,
			(int)wait, NULL);
	}
}

static int judge(struct transfer *t, CURL *easy, CURLcode code,
	const char *detail, GError **err)
{
	g_autofree char *host = http_show(t->q->url);
	long sent = 0;

	if (t->failed)
		return fail(err, FAIL_UNKNOWN, "%s: %s", host,
			g_strerror(-t->failed));
	if (t->over)
		return fail(err, FAIL_PROTOCOL, "%s: %s", host, t->over);
	/* A refusal whose words were cut off is a refusal. */
	if (code == CURLE_OK || (t->a->status >= 400 && t->body_begun))
		return 0;
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
	return http_curl_failed(code, detail, t->q->url, sent > 0, err);
}

static void take_retry_after(struct http_answer *a)
{
	const char *text = http_header(a, "retry-after");
	char *end = NULL;
	double s = text ? g_ascii_strtod(text, &end) : -1;

	if (text && end != text && *end == '\0' && s >= 0 && s < 1e6)
		a->retry_after_ms = (int64_t)(s * 1000);
}

int http_ask(struct http *h, const struct http_request *q,
	const struct call *call, struct http_answer *a, GError **err)
{
	struct transfer t = { .q = q, .call = call, .a = a };
	char detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers;
	struct channel *c;
	CURLcode code = CURLE_OK;
	bool local;
	int r;

	a->retry_after_ms = -1;
	a->headers = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, g_free);
	a->text = g_string_new(NULL);
	if (http_check_url(h, q->url, &local, err) < 0)
		return -EINVAL;
	c = take_channel(h);
	headers = make_headers(q);
	set_request(h, c->easy, &t, headers, local, detail);
	curl_multi_add_handle(c->multi, c->easy);
	r = drive(c->multi, &t, &code, err);
	if (r == 0)
		r = judge(&t, c->easy, code, detail, err);
	curl_multi_remove_handle(c->multi, c->easy);
	give_channel(h, c);
	free_headers(headers);
	take_retry_after(a);
	return r < 0 ? -EIO : 0;
}

char *http_library(void)
{
	return g_strdup_printf("libcurl %s",
		curl_version_info(CURLVERSION_NOW)->version);
}
