#include "transport/docker_frames.h"

#include <errno.h>
#include <string.h>

enum { KIND_STDIN, KIND_STDOUT, KIND_STDERR, KIND_DAEMON };

static int begin_frame(struct docker_frames *f)
{
	const uint8_t *h = f->head;

	f->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 |
		(uint32_t)h[6] << 8 | h[7];
	if (h[0] > KIND_DAEMON || h[1] || h[2] || h[3])
		return -EPROTO;
	return 0;
}

static int pass(struct docker_frames *f, const void *buf, size_t len)
{
	/* What the engine itself has to say goes with the errors. */
	struct sink *to = f->head[0] == KIND_STDOUT ? f->out : f->err_out;

	return to && len ? to->write(to->ctx, buf, len) : 0;
}

int docker_frames_feed(struct docker_frames *f, const void *buf, size_t len)
{
	const uint8_t *at = buf;

	while (len) {
		size_t n;
		int r = 0;

		if (f->have < sizeof(f->head)) {
			n = MIN(len, sizeof(f->head) - f->have);
			memcpy(f->head + f->have, at, n);
			f->have += n;
			if (f->have == sizeof(f->head))
				r = begin_frame(f);
		} else {
			n = MIN(len, f->left);
			r = pass(f, at, n);
			f->left -= (uint32_t)n;
		}
		if (r < 0)
			return r;
		if (f->have == sizeof(f->head) && f->left == 0)
			f->have = 0;
		at += n;
		len -= n;
	}
	return 0;
}
