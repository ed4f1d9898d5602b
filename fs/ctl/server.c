#include "fs/ctl/ctl.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/ctl/wire.h"
#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/log.h"
#include "merge/lib/mutex.h"

struct ctl_server {
	char *path;
	int listen_fd, stop_fd;
	struct ctl_handler handler;
	pthread_t thread;
	struct mutex lock;	/* RANK_LOG; guards open */
	struct cond changed;
	unsigned open;		/* connections not finished */
};

struct ctl_conn {
	struct ctl_server *server;
	int fd;
	char *request;
};

bool ctl_send(struct ctl_conn *conn, const char *line)
{
	failpoint("ctl-answer");
	return wire_write_line(conn->fd, line) == 0;
}

void ctl_finish(struct ctl_conn *conn)
{
	struct ctl_server *s = conn->server;

	close(conn->fd);
	g_free(conn->request);
	g_free(conn);
	mutex_lock(&s->lock);
	s->open--;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

/* Only processes of our own user may speak. */
static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
		(peer.uid == geteuid() || peer.uid == 0);
}

static void *serve(void *arg)
{
	struct ctl_conn *conn = arg;
	struct wire_reader reader = { .fd = conn->fd };

	pthread_setname_np(pthread_self(), "ctl");
	if (wire_write_line(conn->fd, CTL_HELLO) == 0)
		conn->request = wire_read_line(&reader, -1, NULL);
	wire_reader_release(&reader);
	if (conn->request)
		conn->server->handler.request(
			conn->server->handler.ctx, conn, conn->request);
	else
		ctl_finish(conn);
	return NULL;
}

static void take(struct ctl_server *s, int fd)
{
	struct ctl_conn *conn;
	pthread_attr_t attr;
	pthread_t thread;

	if (!is_allowed(fd)) {
		log_write(LOG_WARNING, "control socket: a process of another "
				       "user was refused");
		close(fd);
		return;
	}
	conn = g_new0(struct ctl_conn, 1);
	conn->server = s;
	conn->fd = fd;
	mutex_lock(&s->lock);
	s->open++;
	mutex_unlock(&s->lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, serve, conn) != 0)
		ctl_finish(conn);
	pthread_attr_destroy(&attr);
}

static void *accept_loop(void *arg)
{
	struct ctl_server *s = arg;

	pthread_setname_np(pthread_self(), "ctl-accept");
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = s->listen_fd, .events = POLLIN },
			{ .fd = s->stop_fd, .events = POLLIN },
		};
		int fd;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			take(s, fd);
	}
	return NULL;
}

/* A socket file that nobody answers on may be replaced. */
static int clear_stale(const char *path, GError **err)
{
	struct ctl_client *c = ctl_connect(path, NULL);

	if (c) {
		ctl_client_free(c);
		return fail(err, FAIL_FAILED,
			"control socket %s: another process answers on it",
			path);
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return fail_errno(err, -errno, "replace %s", path);
	return 0;
}

static int bind_path(struct ctl_server *s, GError **err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	g_autofree char *dir = g_path_get_dirname(s->path);
	mode_t mask;
	int r;

	if (strlen(s->path) >= sizeof(addr.sun_path))
		return fail(err, FAIL_LOCAL,
			"control socket %s: the path is too long; set "
			"XDG_RUNTIME_DIR to a shorter one", s->path);
	strcpy(addr.sun_path, s->path);
	if (g_mkdir_with_parents(dir, 0700) < 0)
		return fail_errno(err, -errno, "create %s", dir);
	if (clear_stale(s->path, err) < 0)
		return -EIO;
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	r = s->listen_fd < 0 ||
			bind(s->listen_fd, (struct sockaddr *)&addr,
				sizeof(addr)) < 0 ||
			listen(s->listen_fd, 16) < 0
		? -errno : 0;
	umask(mask);
	return r < 0 ? fail_errno(err, r, "control socket %s", s->path) : 0;
}

struct ctl_server *ctl_server_start(const char *path,
	const struct ctl_handler *handler, GError **err)
{
	struct ctl_server *s = g_new0(struct ctl_server, 1);
	int r;

	s->path = g_strdup(path);
	s->handler = *handler;
	s->listen_fd = -1;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	mutex_init(&s->lock, RANK_LOG);
	cond_init(&s->changed);
	if (bind_path(s, err) == 0) {
		r = pthread_create(&s->thread, NULL, accept_loop, s);
		if (r == 0)
			return s;
		fail_errno(err, -r, "start the control thread");
		unlink(path);
	}
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	close(s->stop_fd);
	cond_destroy(&s->changed);
	mutex_destroy(&s->lock);
	g_free(s->path);
	g_free(s);
	return NULL;
}

void ctl_server_stop(struct ctl_server *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	if (write(s->stop_fd, &one, sizeof(one)) != sizeof(one))
		g_error("eventfd: %s", g_strerror(errno));
	pthread_join(s->thread, NULL);
	unlink(s->path);
	close(s->listen_fd);
	mutex_lock(&s->lock);
	while (s->open)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	close(s->stop_fd);
	cond_destroy(&s->changed);
	mutex_destroy(&s->lock);
	g_free(s->path);
	g_free(s);
}
