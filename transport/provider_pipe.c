/*
 * Providers that are a command: `local` runs sh here, `command` runs any argv
 * prefix that ends in a sh on the other side (docker exec -i C, kubectl exec -i
 * POD --, ...).
 */
#include "transport/provider.h"

#include <string.h>
#include <sys/stat.h>

#include "merge/lib/fail.h"
#include "transport/child.h"

struct pipe_state {
	char **prefix;	/* argv before sh; may be empty */
};

static int pipe_open(char **prefix, void **state)
{
	struct pipe_state *s = g_new0(struct pipe_state, 1);

	s->prefix = prefix ? g_strdupv(prefix) : g_new0(char *, 1);
	*state = s;
	return 0;
}

static int local_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	(void)spec;
	(void)call;
	(void)err;
	return pipe_open(NULL, state);
}

static int command_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	(void)call;
	if (!spec->command)
		return fail(err, FAIL_USAGE,
			"command %s: is not in the config file; add it under "
			"\"commands\"", spec->sandbox_id);
	return pipe_open(spec->command, state);
}

static void pipe_close(void *state)
{
	struct pipe_state *s = state;

	g_strfreev(s->prefix);
	g_free(s);
}

static void pipe_caps(void *state, struct remote_caps *caps)
{
	(void)state;
	*caps = (struct remote_caps){
		.max_parallel = 4, .binary_out = true, .stdin_ok = true,
	};
}

static int pipe_run(void *state, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	struct sink *err_out, struct remote_stats *stats, int *status,
	GError **err)
{
	struct pipe_state *s = state;
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	struct child child;
	int r;

	for (char **p = s->prefix; *p; p++)
		g_ptr_array_add(argv, *p);
	g_ptr_array_add(argv, (gpointer) "sh");
	g_ptr_array_add(argv, (gpointer) "-c");
	g_ptr_array_add(argv, (gpointer)script);
	g_ptr_array_add(argv, (gpointer) "sh");
	for (; args && *args; args++)
		g_ptr_array_add(argv, (gpointer)*args);
	g_ptr_array_add(argv, NULL);
	if (child_start(&child, (const char *const *)argv->pdata, err) < 0)
		return -1;
	r = child_pump(&child, call, in, out, err_out, stats, err);
	*status = child_finish(&child, r < 0);
	return r;
}

const struct remote_ops provider_local = {
	.name = "local",
	.open = local_open,
	.close = pipe_close,
	.caps = pipe_caps,
	.run = pipe_run,
};

const struct remote_ops provider_command = {
	.name = "command",
	.leaves_running = true,
	.open = command_open,
	.close = pipe_close,
	.caps = pipe_caps,
	.run = pipe_run,
};
