#include "fs/ctl/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"

#define MS INT64_C(1000000)

void wire_reader_release(struct wire_reader *r)
{
	if (r->held)
		g_string_free(r->held, TRUE);
	r->held = NULL;
}

int wire_write_line(int fd, const char *line)
{
	g_autofree char *text = g_strconcat(line, "\n", NULL);
	size_t left = strlen(text);
	const char *at = text;

	while (left) {
		ssize_t n = send(fd, at, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

/* The first line of what is held, or NULL. */
static char *cut_line(GString *held)
{
	char *end = memchr(held->str, '\n', held->len);
	char *line;

	if (!end)
		return NULL;
	line = g_strndup(held->str, (gsize)(end - held->str));
	g_string_erase(held, 0, end + 1 - held->str);
	return line;
}

/* 1: bytes came; 0: the end; negative: *ERR. */
static int read_more(struct wire_reader *r, int64_t until, GError **err)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	char buf[65536];
	ssize_t n;
	int wait = -1;

	if (until) {
		int64_t left = (until - io_now_ns()) / MS;

		wait = left > 0 ? (int)MIN(left, 60000) : 0;
	}
	if (poll(&p, 1, wait) == 0) {
		if (!until || io_now_ns() < until)
			return 1;
		return fail(err, FAIL_DEADLINE, "control socket: no answer in "
						"time");
	}
	n = read(r->fd, buf, sizeof(buf));
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return fail_errno(err, -errno, "control socket");
	if (n == 0)
		return 0;
	if (memchr(buf, '\0', (size_t)n) ||
		r->held->len + (size_t)n > CTL_LIMIT)
		return fail(err, FAIL_PROTOCOL, "control socket: a message is "
						"too long or no text");
	g_string_append_len(r->held, buf, n);
	return 1;
}

char *wire_read_line(struct wire_reader *r, int64_t wait_ms, GError **err)
{
	int64_t until = wait_ms > 0 ? io_now_ns() + wait_ms * MS : 0;
	char *line;

	if (!r->held)
		r->held = g_string_new(NULL);
	while (!(line = cut_line(r->held)))
		if (read_more(r, until, err) <= 0)
			return NULL;
	return line;
}
