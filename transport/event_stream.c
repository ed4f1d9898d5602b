#include "transport/event_stream.h"

#include <errno.h>
#include <string.h>

void event_stream_init(struct event_stream *s,
	int (*event)(void *ctx, const char *name, const char *data, size_t len),
	void *ctx)
{
	*s = (struct event_stream){
		.line = g_string_new(NULL), .name = g_string_new(NULL),
		.data = g_string_new(NULL), .event = event, .ctx = ctx,
	};
}

void event_stream_release(struct event_stream *s)
{
	g_string_free(s->line, TRUE);
	g_string_free(s->name, TRUE);
	g_string_free(s->data, TRUE);
}

static int dispatch(struct event_stream *s)
{
	int r = 0;

	if (s->had_data)
		r = s->event(s->ctx, s->name->len ? s->name->str : "message",
			s->data->str, s->data->len);
	g_string_truncate(s->name, 0);
	g_string_truncate(s->data, 0);
	s->had_data = false;
	return r;
}

/* The value after "FIELD:", one blank skipped; NULL when it is another. */
static const char *value_of(const GString *line, const char *field)
{
	size_t n = strlen(field);

	if (line->len < n || memcmp(line->str, field, n))
		return NULL;
	if (line->len == n)
		return line->str + n;
	if (line->str[n] != ':')
		return NULL;
	return line->str + n + 1 + (line->str[n + 1] == ' ');
}

static int end_line(struct event_stream *s)
{
	const char *v;
	int r = 0;

	if (s->line->len == 0) {
		r = dispatch(s);
	} else if ((v = value_of(s->line, "data"))) {
		if (s->had_data)
			g_string_append_c(s->data, '\n');
		g_string_append_len(s->data, v,
			(gssize)(s->line->len - (size_t)(v - s->line->str)));
		s->had_data = true;
	} else if ((v = value_of(s->line, "event"))) {
		g_string_assign(s->name, v);
	}
	g_string_truncate(s->line, 0);
	return r;
}

int event_stream_feed(struct event_stream *s, const void *buf, size_t len)
{
	const char *at = buf, *end = at + len;

	while (at < end) {
		const char *stop = at;
		int r;

		if (s->after_cr && *at == '\n') {
			s->after_cr = false;
			at++;
			continue;
		}
		s->after_cr = false;
		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		g_string_append_len(s->line, at, stop - at);
		if (s->line->len + s->data->len > EVENT_STREAM_LIMIT)
			return -EPROTO;
		if (stop == end)
			return 0;
		s->after_cr = *stop == '\r';
		r = end_line(s);
		if (r != 0)
			return r;
		at = stop + 1;
	}
	return 0;
}

int event_stream_finish(struct event_stream *s)
{
	int r = s->line->len ? end_line(s) : 0;

	return r != 0 ? r : dispatch(s);
}
