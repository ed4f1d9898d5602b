/* What an answer says, without a connection in sight. */
#include "transport/http.h"

#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/json.h"

enum { SHOWN_LIMIT = 300 };

void http_answer_clear(struct http_answer *a)
{
	g_clear_pointer(&a->content_type, g_free);
	g_clear_pointer(&a->headers, g_hash_table_unref);
	if (a->text) {
		/* Bodies may hold tokens. */
		explicit_bzero(a->text->str, a->text->allocated_len);
		g_string_free(g_steal_pointer(&a->text), TRUE);
	}
	*a = (struct http_answer){ .retry_after_ms = -1 };
}

const char *http_header(const struct http_answer *a, const char *lower_name)
{
	return a->headers ? g_hash_table_lookup(a->headers, lower_name) : NULL;
}

char *http_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	GString *s = g_string_new(NULL);

	for (const guchar *p = (const guchar *)text; *p; p++) {
		if (g_ascii_isalnum(*p) || strchr("-._~", *p)) {
			g_string_append_c(s, (char)*p);
			continue;
		}
		g_string_append_c(s, '%');
		g_string_append_c(s, hex[*p >> 4]);
		g_string_append_c(s, hex[*p & 15]);
	}
	return g_string_free(s, FALSE);
}

/* "message", or "error" as text or as an object that has one. */
static const char *message_of(const struct json *j)
{
	const char *text = json_string(json_get(j, "message"));
	const struct json *error = json_get(j, "error");

	if (!text)
		text = json_string(error);
	if (!text)
		text = json_string(json_get(error, "message"));
	return text;
}

static char *first_line(const char *text, size_t len)
{
	const char *end;
	size_t limit = MIN(len, (size_t)SHOWN_LIMIT);
	g_autofree char *raw = NULL;

	while (limit && g_ascii_isspace(*text)) {
		text++;
		limit--;
	}
	end = memchr(text, '\n', limit);
	raw = g_strchomp(g_strndup(text, end ? (size_t)(end - text) : limit));
	return *raw ? path_display(raw) : NULL;
}

char *http_message(const struct http_answer *a)
{
	struct json *j;
	const char *text;
	char *shown = NULL;

	if (!a->text || !a->text->len)
		return NULL;
	j = json_parse(a->text->str, a->text->len, NULL);
	text = message_of(j);
	if (text)
		shown = first_line(text, strlen(text));
	/* A page for a browser says nothing here. */
	else if (a->text->str[0] != '<')
		shown = first_line(a->text->str, a->text->len);
	json_free(j);
	return shown;
}

static enum fail_code kind_of(int status)
{
	switch (status) {
	case 404:
	case 410:
		return FAIL_GONE;
	case 408:
	case 425:
	case 429:
	case 503:
		return FAIL_UNAVAILABLE;
	case 501:
	case 507:
		return FAIL_REMOTE;
	default:
		if (status < 400)
			return FAIL_PROTOCOL;
		return status < 500 ? FAIL_REMOTE : FAIL_UNKNOWN;
	}
}

static const char *advice(int status)
{
	if (status == 401 || status == 403)
		return "; see that the key is right";
	if (status == 429)
		return "; it asks for patience: try again later";
	if (status >= 300 && status < 400)
		return "; redirects are not followed with a key: give the "
		       "final URL";
	return "";
}

int http_refused(const struct http_answer *a, const char *what, GError **err)
{
	g_autofree char *said = http_message(a);

	return fail(err, kind_of(a->status), "%s: HTTP %d%s%s%s", what,
		a->status, said ? ": " : "", said ? said : "",
		advice(a->status));
}
