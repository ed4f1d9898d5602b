/* The control socket's lines, from a peer that says anything. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/ctl/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	GString *got = g_string_new(NULL);
	struct wire_reader r = { 0 };
	GError *why = NULL;
	int pair[2];
	char *line;

	if (len > 65536)
		len = 65536;	/* fits the socket's buffer: nobody else reads */
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ==
		0);
	FUZZ_CHECK(write(pair[0], data, len) == (ssize_t)len);
	close(pair[0]);
	r.fd = pair[1];
	while ((line = wire_read_line(&r, 0, &why))) {
		FUZZ_CHECK(!strchr(line, '\n'));
		g_string_append(got, line);
		g_string_append_c(got, '\n');
		g_free(line);
	}
	/* Lines come out as they went in, up to a NUL or an unfinished one. */
	FUZZ_CHECK(got->len <= len && !memcmp(got->str, data, got->len));
	FUZZ_CHECK(why || !memchr(data, 0, len));
	wire_reader_release(&r);
	close(pair[1]);
	g_clear_error(&why);
	g_string_free(got, TRUE);
	return 0;
}
