#ifndef TRANSPORT_FRAME_H
#define TRANSPORT_FRAME_H
/*
 * The frame around a script's standard output: what comes before the start
 * marker is noise (banners, profile output), what comes between it and the end
 * marker is the answer, and the end marker carries the script's exit code. The
 * markers hold a random word, so that no output can look like one.
 */
#include <stdbool.h>
#include <glib.h>

#include "transport/remote.h"

struct frame {
	char *start, *end;	/* the markers; end without code */
	GByteArray *held;	/* bytes that may begin a marker */
	struct sink *out;	/* borrowed */
	bool started, ended;
	int code;		/* valid once ended */
};

/* NONCE: letters and digits. */
void frame_init(struct frame *f, const char *nonce, struct sink *out);
void frame_release(struct frame *f);

/* Feeds LEN bytes; what belongs to the answer goes to the sink. 0, or the
 * sink's negative errno; -EPROTO for a malformed end marker. */
int frame_feed(struct frame *f, const void *buf, size_t len);

/* The script that puts the frame around another: called as
 * sh -c FRAME_SCRIPT sh NONCE NAME SCRIPT [ARG...]. With a NAME that is not
 * empty its process id is in the temporary file .sandmount-NAME while SCRIPT
 * runs, for reap.sh. */
extern const char frame_script[];
/* The same around both output streams, with the environment as it is. */
extern const char frame_script_both[];

#endif
