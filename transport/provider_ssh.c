/*
 * Provider `ssh`: the system's ssh, one connection for all commands
 * (ssh_master.h).
 */
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/child.h"
#include "transport/provider.h"
#include "transport/sh_quote.h"
#include "transport/ssh_master.h"

enum {
	/* A server allows 10 sessions a connection unless told otherwise; one
	 * is the lifeline, one is spare for reap.sh. A server that allows less
	 * is no failure: ssh then connects anew. */
	PARALLEL = 8,
	/* A command line is one argument of the login shell. */
	COMMAND_LIMIT = 120 * 1024,
};

struct ssh_state {
	char *token;
	struct ssh_master *master;
};

static void ssh_close(void *state)
{
	struct ssh_state *s = state;

	ssh_master_free(s->master);
	g_free(s->token);
	g_free(s);
}

static int ssh_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	struct ssh_state *s = g_new0(struct ssh_state, 1);
	g_autoptr(GError) why = NULL;

	s->token = io_random_hex(12);
	s->master = ssh_master_new(spec->sandbox_id, s->token, err);
	if (!s->master) {
		ssh_close(s);
		return -1;
	}
	if (ssh_master_ensure(s->master, call, &why) == 0) {
		*state = s;
		return 0;
	}
	ssh_close(s);
	return fail(err, (enum fail_code)why->code, "sandbox ssh:%s: %s",
		spec->sandbox_id, why->message);
}

static const char *ssh_token(void *state)
{
	struct ssh_state *s = state;

	return s->token;
}

static void ssh_caps(void *state, struct remote_caps *caps)
{
	(void)state;
	*caps = (struct remote_caps){
		.max_parallel = PARALLEL, .binary_out = true, .stdin_ok = true,
	};
}

static int ssh_run(void *state, const char *script, const char *const *args,
	const struct call *call, struct source *in, struct sink *out,
	struct sink *err_out, struct remote_stats *stats, int *status,
	GError **err)
{
	struct ssh_state *s = state;
	g_autofree char *command = sh_any_login(script, args);
	g_autoptr(GPtrArray) argv = ssh_master_argv(s->master, command);
	struct child child;
	int r;

	if (strlen(command) > COMMAND_LIMIT)
		return fail(err, FAIL_USAGE,
			"a command of %zu bytes is too long for ssh; put it "
			"into a script", strlen(command));
	if (ssh_master_ensure(s->master, call, err) < 0 ||
		child_start(&child, (const char *const *)argv->pdata, err) < 0)
		return -1;
	r = child_pump(&child, call, in, out, err_out, stats, err);
	*status = child_finish(&child, r < 0);
	return r;
}

const struct remote_ops provider_ssh = {
	.name = "ssh",
	.leaves_running = true,
	.token = ssh_token,
	.open = ssh_open,
	.close = ssh_close,
	.caps = ssh_caps,
	.run = ssh_run,
};
