/* The table of commands. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fs/cli/cli.h"

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
	{ "conflicts", cmd_unavailable, "settle conflicts (later)" },
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
		printf("sandmount %s\n", SANDMOUNT_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return cli_usage("%s: no such command; `sandmount --help` lists them",
		argv[1]);
}
