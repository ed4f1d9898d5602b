#ifndef TRANSPORT_CONNECT_FRAMES_H
#define TRANSPORT_CONNECT_FRAMES_H
/*
 * The frames of a Connect RPC stream (connectrpc.com, "streaming"): one byte
 * of flags, four of length (big endian), the message; the last frame has flag
 * 2 and says whether the call went well. Bytes in, messages out; no I/O.
 */
#include <stdbool.h>
#include <stddef.h>
#include <glib.h>

enum { CONNECT_FRAME_LIMIT = 16 << 20 };

struct connect_frames {
	GByteArray *held;	/* owned: a frame that is not whole yet */
	/* Each message; non-zero (a negative errno) ends the feeding. */
	int (*message)(void *ctx, const char *text, size_t len);
	void *ctx;
	bool ended;		/* the last frame came */
	char *code, *why;	/* its error, or NULL; owned; WHY may be NULL
				 * with a CODE */
};

void connect_frames_init(struct connect_frames *f,
	int (*message)(void *ctx, const char *text, size_t len), void *ctx);
void connect_frames_release(struct connect_frames *f);
/* -EPROTO: unknown flags, too long, a last frame that is no JSON object, bytes
 * after it; else what message() returned. After a failure only release. */
int connect_frames_feed(struct connect_frames *f, const void *buf, size_t len);

/* LEN bytes as one message frame, appended to OUT. */
void connect_frames_put(GByteArray *out, const char *text, size_t len);

/* Bytes of a JSON message: base64, of either alphabet, padded or not; g_free
 * it. NULL when TEXT is not that. */
guchar *connect_bytes(const char *text, gsize *len);

#endif
