/*
 * Provider `docker`: a running container by the Engine API of Docker or Podman
 * (docker_engine.h). The name is turned into the container's id once: another
 * container that later takes the name is not mistaken for it.
 */
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/docker_exec.h"
#include "transport/provider.h"
#include "transport/sh_quote.h"

enum { PARALLEL = 6, COMMAND_LIMIT = 120 * 1024 };

struct docker_state {
	char *name, *id;
	struct docker_engine *engine;
};

static void docker_close(void *state)
{
	struct docker_state *s = state;

	docker_engine_free(s->engine);
	g_free(s->name);
	g_free(s->id);
	g_free(s);
}

/* What engines allow as a name or an id. */
static int check_name(const char *name, GError **err)
{
	bool good = g_ascii_isalnum(*name);

	for (const char *p = name; *p; p++)
		good &= g_ascii_isalnum(*p) || strchr("_.-", *p);
	if (good)
		return 0;
	g_autofree char *shown = path_display(name);

	return fail(err, FAIL_USAGE,
		"container \"%s\": not a name or id of a container; `docker "
		"ps` shows them", shown);
}

static int connect_container(struct docker_state *s, const struct call *call,
	GError **err)
{
	if (check_name(s->name, err) < 0)
		return -1;
	s->engine = docker_engine_open(call, err);
	if (!s->engine)
		return -1;
	s->id = docker_engine_find(s->engine, s->name, call, err);
	return s->id ? 0 : -1;
}

static int docker_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	struct docker_state *s = g_new0(struct docker_state, 1);
	struct call c = *call;

	s->name = g_strdup(spec->sandbox_id);
	if (!c.deadline_ms)
		c.deadline_ms = spec->timeout_ms;
	if (connect_container(s, &c, err) == 0) {
		*state = s;
		return 0;
	}
	docker_close(s);
	return -1;
}

static void docker_caps(void *state, struct remote_caps *caps)
{
	(void)state;
	*caps = (struct remote_caps){
		.max_parallel = PARALLEL, .binary_out = true, .stdin_ok = true,
	};
}

static char *docker_identity(void *state, const struct call *call,
	GError **err)
{
	struct docker_state *s = state;

	(void)call;
	(void)err;
	return g_strdup(s->id);
}

/* Says so where the name has meanwhile gone to another container. */
static int gone(struct docker_state *s, const struct call *call,
	const GError *why, GError **err)
{
	g_autofree char *now =
		docker_engine_find(s->engine, s->name, call, NULL);

	if (now && strcmp(now, s->id))
		return fail(err, FAIL_GONE,
			"container %s: was replaced by another of that name; "
			"`sandmount restore` merges what the mirror holds, "
			"`prepare` sends it to the new one", s->name);
	return fail(err, (enum fail_code)why->code, "%s", why->message);
}

static int docker_run(void *state, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	struct sink *err_out, struct remote_stats *stats, int *status,
	GError **err)
{
	struct docker_state *s = state;
	g_autofree char *line = sh_any_login(script, args);
	struct docker_command c = {
		.id = s->id, .line = line, .in = in, .out = out,
		.err_out = err_out,
	};
	g_autoptr(GError) why = NULL;

	if (strlen(line) > COMMAND_LIMIT)
		return fail(err, FAIL_USAGE,
			"a command of %zu bytes is too long for a container; "
			"put it into a script", strlen(line));
	if (docker_exec(s->engine, &c, call, stats, status, &why) == 0)
		return 0;
	if (why->code == FAIL_GONE)
		return gone(s, call, why, err);
	g_propagate_error(err, g_steal_pointer(&why));
	return -1;
}

const struct remote_ops provider_docker = {
	.name = "docker",
	.leaves_running = true,
	.open = docker_open,
	.close = docker_close,
	.caps = docker_caps,
	.identity = docker_identity,
	.run = docker_run,
};
