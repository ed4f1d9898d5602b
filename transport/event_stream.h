#ifndef TRANSPORT_EVENT_STREAM_H
#define TRANSPORT_EVENT_STREAM_H
/*
 * Server-sent events (HTML standard, "event stream interpretation"): lines in,
 * events out; no I/O. LF, CRLF and CR end lines; several data lines are joined
 * by LF; comments and unknown fields are passed over; an event at the very end
 * counts without its empty line.
 */
#include <stdbool.h>
#include <stddef.h>
#include <glib.h>

enum { EVENT_STREAM_LIMIT = 16 << 20 };	/* of one event */

struct event_stream {
	GString *line, *name, *data;	/* owned */
	bool had_data, after_cr;
	/* NAME is "message" when none was given. Non-zero (a negative errno)
	 * ends the feeding. */
	int (*event)(void *ctx, const char *name, const char *data,
		size_t len);
	void *ctx;
};

void event_stream_init(struct event_stream *s,
	int (*event)(void *ctx, const char *name, const char *data, size_t len),
	void *ctx);
void event_stream_release(struct event_stream *s);
/* -EPROTO: an event is too long; else what event() returned. */
int event_stream_feed(struct event_stream *s, const void *buf, size_t len);
int event_stream_finish(struct event_stream *s);

#endif
