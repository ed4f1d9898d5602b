#include "transport/connect_frames.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "transport/json.h"

enum { HEAD = 5, FLAG_END = 2 };

void connect_frames_init(struct connect_frames *f,
	int (*message)(void *ctx, const char *text, size_t len), void *ctx)
{
	*f = (struct connect_frames){
		.held = g_byte_array_new(), .message = message, .ctx = ctx,
	};
}

void connect_frames_release(struct connect_frames *f)
{
	g_byte_array_free(f->held, TRUE);
	g_free(f->code);
	g_free(f->why);
}

static int take_end(struct connect_frames *f, const char *text, size_t len)
{
	struct json *j = json_parse(text, len, NULL);
	const struct json *error = json_get(j, "error");
	bool is_object = j && json_kind_of(j) == JSON_OBJECT;

	if (is_object && error) {
		const char *code = json_string(json_get(error, "code"));

		f->code = g_strdup(code ? code : "unknown");
		f->why = g_strdup(json_string(json_get(error, "message")));
	}
	json_free(j);
	f->ended = true;
	return is_object ? 0 : -EPROTO;
}

static size_t length_of(const uint8_t *head)
{
	return (size_t)head[1] << 24 | (size_t)head[2] << 16 |
		(size_t)head[3] << 8 | head[4];
}

/* One frame at BUF, if it is all there: its length with the head, 0 if it is
 * not, or a negative errno. */
static ssize_t take_frame(struct connect_frames *f, const uint8_t *buf,
	size_t len)
{
	size_t n;
	int r;

	if (f->ended)
		return -EPROTO;
	/* We never offer compression. */
	if (buf[0] & ~FLAG_END)
		return -EPROTO;
	if (len < HEAD)
		return 0;
	n = length_of(buf);
	if (n > CONNECT_FRAME_LIMIT)
		return -EPROTO;
	if (len - HEAD < n)
		return 0;
	r = buf[0] & FLAG_END
		? take_end(f, (const char *)buf + HEAD, n)
		: f->message(f->ctx, (const char *)buf + HEAD, n);
	return r != 0 ? r : (ssize_t)(HEAD + n);
}

/* All whole frames at BUF; how many bytes they were. */
static ssize_t take_frames(struct connect_frames *f, const uint8_t *buf,
	size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = take_frame(f, buf + at, len - at);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		at += (size_t)n;
	}
	return (ssize_t)at;
}

int connect_frames_feed(struct connect_frames *f, const void *buf, size_t len)
{
	ssize_t n;

	/* Most of the time nothing is held, and nothing needs copying. */
	if (f->held->len == 0) {
		n = take_frames(f, buf, len);
		if (n < 0)
			return (int)n;
		g_byte_array_append(f->held, (const guint8 *)buf + n,
			(guint)(len - (size_t)n));
		return 0;
	}
	g_byte_array_append(f->held, buf, (guint)len);
	n = take_frames(f, f->held->data, f->held->len);
	if (n < 0)
		return (int)n;
	if (n > 0)
		g_byte_array_remove_range(f->held, 0, (guint)n);
	return 0;
}

void connect_frames_put(GByteArray *out, const char *text, size_t len)
{
	uint8_t head[HEAD] = { 0, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
		(uint8_t)(len >> 8), (uint8_t)len };

	g_byte_array_append(out, head, HEAD);
	g_byte_array_append(out, (const guint8 *)text, (guint)len);
}

guchar *connect_bytes(const char *text, gsize *len)
{
	size_t n = strlen(text);
	g_autofree char *own = NULL;

	while (n && text[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++)
		if (!g_ascii_isalnum(text[i]) && !strchr("+/-_", text[i]))
			return NULL;
	if (n % 4 == 1)
		return NULL;
	if (n == 0) {
		*len = 0;
		return g_malloc0(1);
	}
	if (strlen(text) % 4 == 0 && !strpbrk(text, "-_"))
		return g_base64_decode(text, len);
	own = g_strnfill((n + 3) / 4 * 4, '=');
	memcpy(own, text, n);
	g_strdelimit(own, "-", '+');
	g_strdelimit(own, "_", '/');
	return g_base64_decode(own, len);
}
