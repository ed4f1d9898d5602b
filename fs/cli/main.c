/* The table of commands. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/fuse/adapter.h"
#include "fs/mirror/state.h"
#include "merge/git_library.h"
#include "merge/lib/digest.h"
#include "transport/http.h"
#include "transport/json.h"
#include "transport/tar.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "mount", cmd_mount, "prepare or attach a sandbox and mount it" },
	{ "umount", cmd_umount, "unmount, wait for the restore, report" },
	{ "prepare", cmd_prepare, "fill the sandbox, without a mount" },
	{ "restore", cmd_restore, "merge into the local directory now" },
	{ "diff", cmd_diff, "what a restore would do" },
	{ "status", cmd_status, "state of a session, unsent work, errors" },
	{ "list", cmd_list, "all sessions" },
	{ "flush", cmd_flush, "wait until all that was written is sent" },
	{ "refresh", cmd_refresh, "bring the sandbox's changes in now" },
	{ "exec", cmd_exec, "run a command in the sandbox" },
	{ "recover", cmd_recover, "finish what a crash left" },
	{ "forget", cmd_forget, "drop a session's state" },
	{ "mirror", cmd_mirror, "make one directory equal to another" },
	{ "spec", cmd_spec, "check a sandbox spec" },
	{ "log", cmd_log, "the log of a session" },
	{ "conflicts", cmd_conflicts, "list and settle conflicts" },
	{ "doctor", cmd_doctor, "check this machine and a sandbox" },
};

static int print_help(FILE *out)
{
	fputs("usage: sandmount COMMAND [OPTIONS] ...\n\n"
	      "Mount the workspace of a remote sandbox as a local directory; "
	      "unmounting merges\nwhat was done back into your own.\n\n",
		out);
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name,
			commands[i].summary);
	fputs("\n`sandmount COMMAND --help` and sandmount(1) say more.\n", out);
	return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

/* The libraries that are loaded, which need not be those it was built with. */
static int print_version(void)
{
	char *(*const libraries[])(void) = { adapter_library, tar_library,
		http_library, json_library, state_library, git_library,
		digest_library };

	printf("sandmount %s\n", SANDMOUNT_VERSION);
	for (size_t i = 0; i < G_N_ELEMENTS(libraries); i++) {
		g_autofree char *text = libraries[i]();

		printf("  %s\n", text);
	}
	printf("  GLib %u.%u.%u\n", glib_major_version, glib_minor_version,
		glib_micro_version);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "");
	signal(SIGPIPE, SIG_IGN);
	g_set_prgname("sandmount");
	if (argc < 2)
		return print_help(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
		!strcmp(argv[1], "help"))
		return print_help(stdout);
	if (!strcmp(argv[1], "--version")) {
		return print_version();
	}
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return cli_usage("%s: no such command; `sandmount --help` lists them",
		argv[1]);
}
