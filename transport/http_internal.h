#ifndef TRANSPORT_HTTP_INTERNAL_H
#define TRANSPORT_HTTP_INTERNAL_H
/* What the two files that know libcurl share. */
#include <curl/curl.h>

#include "merge/lib/mutex.h"
#include "transport/http.h"

struct http {
	char *unix_socket;	/* owned, as all here; const after http_new */
	char *ca_file;
	int64_t connect_ms;
	struct mutex lock;	/* guards idle; a leaf */
	GPtrArray *idle;	/* struct channel * that nobody uses */
};

/* FAIL_USAGE unless URL is https, or http to this machine or a Unix socket.
 * *LOCAL: no proxy is to be asked. */
int http_check_url(const struct http *h, const char *url, bool *local,
	GError **err);
/* Options that every handle of H has. */
void http_set_common(struct http *h, CURL *easy, const char *url, bool local);
/* What a failure of libcurl means. SENT: bytes of the request went out. */
int http_curl_failed(CURLcode code, const char *detail, const char *url,
	bool sent, GError **err);
/* "scheme://host:port" of URL, safe to show; g_free it. */
char *http_show(const char *url);

#endif
