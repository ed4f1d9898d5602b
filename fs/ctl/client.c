#include "fs/ctl/ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/ctl/wire.h"
#include "merge/lib/fail.h"

enum { HELLO_MS = 10000 };

struct ctl_client {
	struct wire_reader reader;
};

static int check_hello(struct ctl_client *c, const char *path, GError **err)
{
	g_autofree char *hello = wire_read_line(&c->reader, HELLO_MS, err);

	if (!hello) {
		if (err && !*err)
			fail(err, FAIL_UNAVAILABLE, "%s: nobody answers", path);
		return -EIO;
	}
	if (strcmp(hello, CTL_HELLO))
		return fail(err, FAIL_FAILED,
			"%s: is spoken to as \"%s\", this program is \"%s\"; "
			"unmount with the program that mounted", path, hello,
			CTL_HELLO);
	return 0;
}

struct ctl_client *ctl_connect(const char *path, GError **err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ctl_client *c;
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		fail(err, FAIL_UNAVAILABLE, "%s: the path is too long", path);
		return NULL;
	}
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
		connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		fail(err, FAIL_UNAVAILABLE, "%s: nobody answers", path);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	c = g_new0(struct ctl_client, 1);
	c->reader.fd = fd;
	if (check_hello(c, path, err) == 0)
		return c;
	ctl_client_free(c);
	return NULL;
}

int ctl_request(struct ctl_client *c, const char *line, GError **err)
{
	int r = wire_write_line(c->reader.fd, line);

	return r < 0 ? fail_errno(err, r, "control socket") : 0;
}

char *ctl_receive(struct ctl_client *c, int64_t deadline_ms, GError **err)
{
	return wire_read_line(&c->reader, deadline_ms, err);
}

void ctl_client_free(struct ctl_client *c)
{
	if (!c)
		return;
	close(c->reader.fd);
	wire_reader_release(&c->reader);
	g_free(c);
}
