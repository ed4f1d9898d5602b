/* exec: a command in the sandbox, where the caller stands. */
#include <errno.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/ctl/ctl.h"
#include "fs/sync/exec.h"
#include "merge/lib/log.h"
#include "transport/exec.h"
#include "transport/json.h"

static int not_run(const GError *why)
{
	cli_fail(why);
	return EXEC_NOT_RUN;
}

/* The running session looks for changes more often while a command runs. */
static void beat(void *ctx)
{
	struct ctl_client *c = live_connect(ctx);
	int code;

	if (!c)
		return;
	json_free(live_call(c, "active", NULL, &code, NULL));
	ctl_client_free(c);
}

static int run(const char *name, char **argv)
{
	g_autofree char *cwd = g_get_current_dir();
	g_autoptr(GError) why = NULL;
	struct exec_options o = {
		.name = name, .cwd = cwd,
		.argv = (const char *const *)argv,
		.beat = beat, .ctx = (void *)(uintptr_t)name,
	};
	const struct sync_command flush = {
		.command = "flush", .progress = "never", .run = run_flush,
	};
	const struct sync_command refresh = {
		.command = "refresh", .progress = "never", .run = run_refresh,
	};
	int code = EXEC_NOT_RUN;

	if (sync_session(name, &flush, &why) < 0)
		return not_run(why);
	if (session_exec(&o, &code, &why) < 0) {
		code = not_run(why);
		g_clear_error(&why);
	}
	/* What it changed is shown also when it failed. */
	if (sync_session(name, &refresh, &why) < 0)
		cli_fail(why);
	return code;
}

/* Options before NAME are ours, everything after it is the command's. */
int cmd_exec(int argc, char **argv)
{
	g_autofree char *name = NULL;
	g_autoptr(GError) why = NULL;
	int code = EXIT_DONE, own = 1;

	log_set_level(LOG_ERROR);
	while (own < argc && argv[own][0] == '-' && strcmp(argv[own], "--"))
		own++;
	if (own > 1) {
		cli_parse(&own, &argv, "NAME|MOUNTPOINT -- CMD [ARG…]",
			"Runs a command in the sandbox, in the directory that "
			"corresponds to this one.", NULL, &code);
		return code ? EXEC_NOT_RUN : EXIT_DONE;
	}
	if (argc > 2 && !strcmp(argv[2], "--")) {
		argv[2] = argv[1];
		argv++;
		argc--;
	}
	if (argc < 3) {
		cli_usage("exec: give a session's NAME or its MOUNTPOINT, then "
			  "-- and the command");
		return EXEC_NOT_RUN;
	}
	name = session_resolve_name(argv[1], &why);
	return name ? run(name, argv + 2) : not_run(why);
}
