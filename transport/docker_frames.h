#ifndef TRANSPORT_DOCKER_FRAMES_H
#define TRANSPORT_DOCKER_FRAMES_H
/*
 * The two output streams of an exec in one: frames of an 8-byte head (kind 1
 * or 2, three zeros, length big-endian) and their bytes, cut anywhere.
 */
#include <stddef.h>
#include <stdint.h>

#include "transport/remote.h"

struct docker_frames {
	struct sink *out, *err_out;	/* borrowed; NULL: dropped */
	uint8_t head[8];
	size_t have;	/* bytes of head */
	uint32_t left;	/* bytes of the frame to come, once head is whole */
};

/* 0, a sink's negative errno, or -EPROTO for what is no frame. */
int docker_frames_feed(struct docker_frames *f, const void *buf, size_t len);

#endif
