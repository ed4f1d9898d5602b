#ifndef TRANSPORT_DOCKER_ENGINE_H
#define TRANSPORT_DOCKER_ENGINE_H
/*
 * The Docker Engine API over its Unix socket, as Docker and Podman serve it:
 * where the socket is, which version both sides speak, single questions, and
 * the state of a container. Any thread may ask.
 *
 * The socket: DOCKER_HOST, else CONTAINER_HOST (unix:// only), else the first
 * that exists of /var/run/docker.sock, $XDG_RUNTIME_DIR/docker.sock,
 * /run/podman/podman.sock, $XDG_RUNTIME_DIR/podman/podman.sock.
 */
#include <glib.h>

#include "transport/http.h"

struct docker_engine;
struct json;

/* FAIL_USAGE: DOCKER_HOST is no unix:// address. FAIL_UNAVAILABLE: nobody
 * answers there, or not to us. FAIL_REMOTE: no version in common. */
struct docker_engine *docker_engine_open(const struct call *call,
	GError **err);
void docker_engine_free(struct docker_engine *e);	/* NULL is fine */

/* METHOD on PATH ("/containers/ID/json", below the version) with BODY (JSON or
 * NULL). 0 for any whole answer: *STATUS is its HTTP status, *ANSWER its JSON
 * or NULL (json_free it), *MESSAGE the engine's own words for a refusal
 * (g_free it). */
struct docker_answer {
	int status;
	struct json *json;
	char *message;
};
int docker_engine_ask(struct docker_engine *e, const char *method,
	const char *path, const char *body, const struct call *call,
	struct docker_answer *a, GError **err);
void docker_answer_clear(struct docker_answer *a);

/* A connection that PATH was asked on (POST) to be turned into a stream of
 * bytes both ways; *EARLY gets bytes of it that came with the answer. On a
 * refusal *A is filled and NULL returned without *ERR. */
struct http_stream *docker_engine_hijack(struct docker_engine *e,
	const char *path, const char *body, const struct call *call,
	GByteArray *early, struct docker_answer *a, GError **err);

/* The id of the running container NAME (a name or an id); g_free it.
 * FAIL_GONE: there is none; FAIL_UNAVAILABLE: it is stopped or paused; each
 * with what to do. */
char *docker_engine_find(struct docker_engine *e, const char *name,
	const struct call *call, GError **err);

#endif
