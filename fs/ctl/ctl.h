#ifndef FS_CTL_CTL_H
#define FS_CTL_CTL_H
/*
 * The control socket of a running session, both ends. Messages are lines of
 * text (JSON, made and read by the callers), at most CTL_LIMIT bytes, no NUL.
 * A client sends one request; the server answers with one or more lines, the
 * last of which the handler ends with ctl_finish(). Version: each connection
 * begins with the server's line "sandmount 1"; another version is an error
 * that names both.
 *
 * The socket is 0600 in a 0700 directory; a peer with another uid is refused.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

enum { CTL_LIMIT = 64 << 20 };

struct ctl_server;
struct ctl_conn;

struct ctl_handler {
	/* Called in a thread of the connection; may block. Must call
	 * ctl_finish() once, now or later from any thread. */
	void (*request)(void *ctx, struct ctl_conn *conn, const char *line);
	void *ctx;
};

/* Binds PATH (an old socket that nobody answers on is replaced) and serves in
 * threads of its own. */
struct ctl_server *ctl_server_start(const char *path,
	const struct ctl_handler *handler, GError **err);
/* Stops accepting, ends connections after their current line, removes the
 * socket, joins. NULL is fine. */
void ctl_server_stop(struct ctl_server *s);

/* False when the client is gone; then only ctl_finish() remains to be called.
 */
bool ctl_send(struct ctl_conn *conn, const char *line);
void ctl_finish(struct ctl_conn *conn);

/* Client. FAIL_UNAVAILABLE when nobody answers at PATH. */
struct ctl_client;
struct ctl_client *ctl_connect(const char *path, GError **err);
int ctl_request(struct ctl_client *c, const char *line, GError **err);
/* Next line (g_free it), NULL without *ERR at the regular end, NULL with *ERR
 * otherwise. DEADLINE_MS from now, 0: none. */
char *ctl_receive(struct ctl_client *c, int64_t deadline_ms, GError **err);
void ctl_client_free(struct ctl_client *c);

#endif
