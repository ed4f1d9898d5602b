#ifndef FS_CLI_CLI_H
#define FS_CLI_CLI_H
/*
 * What the commands share: options, messages, exit codes. Each command is one
 * file and one function of the table in main.c.
 */
#include <stdbool.h>
#include <glib.h>

#include "fs/sync/session.h"

struct ctl_client;

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_CONFLICTS = 3,
	EXIT_PENDING = 4,
};

/* --- print.c ------------------------------------------------------------ */
/* "sandmount: MESSAGE" to standard error; the exit code ERROR means. */
int cli_fail(const GError *error);
/* The same for a message made here. */
int cli_usage(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* From here on log lines go to session NAME's log. */
void cli_open_log(const char *name);
void cli_print_json(const struct json *j);	/* one line and a newline */
/* A report as text or JSON, and into the log; its exit code. */
int cli_print_report(const struct report *r, const char *name, bool json);
/* The same of its JSON object, which another process logged. Returns CODE. */
int cli_show_report(const struct json *report, const char *name, int code,
	bool json);
/* A diff, coloured and paged where that is wanted. */
void cli_print_diff(const char *diff);

/* --- options.c ----------------------------------------------------------- */
/* Parses OPTIONS; on --help or an error *CODE is the exit code and false is
 * returned. Positional arguments are left in ARGV, ARGC of them, from 1. */
bool cli_parse(int *argc, char ***argv, const char *usage,
	const char *summary, const GOptionEntry *options, int *code);

/* Options of mount and prepare. */
struct mount_options {
	char *name, *local, *runtime_dir, *fsync, *on_conflict, *progress, *prefetch;
	char *cache_limit;
	char *template;
	char **exclude, **exclude_from, **preserve, **preserve_absent;
	char **assets, **assets_follow, **dash_o;
	gboolean gitignore, read_only, no_restore, foreground, json, debug;
	gboolean allow_other;
	double poll, timeout;
	int trash_days;
	char **fuse;		/* words of -o that are libfuse's */
};
void mount_options_release(struct mount_options *m);
/* argv -> options; SANDBOX and MOUNTPOINT (may be NULL) borrowed from argv.
 * MOUNT: a second argument is allowed. */
bool mount_options_parse(struct mount_options *m, int *argc, char ***argv,
	bool mount, int *code);
/* Adds what the config file says of the sandbox, where the command line is
 * silent. */
int mount_options_add(struct mount_options *m, GHashTable *config,
	GError **err);
/* The session's options; NULL with *ERR. */
struct session_options *mount_options_session(const struct mount_options *m,
	GError **err);
char *cli_config_file(void);

/* --- start.c --------------------------------------------------------------- */
/* Spec, options and name of what SANDBOX says; *S is the started session. */
struct start {
	struct spec *spec;
	struct session_options *options;
	char *name;
};
int start_resolve(struct start *s, struct mount_options *m,
	const char *sandbox, GError **err);
void start_release(struct start *s);

/* --- mounts.c ---------------------------------------------------------------- */
enum mount_kind { MOUNT_NONE, MOUNT_OURS, MOUNT_DEAD, MOUNT_OTHER };
/* What is mounted at PATH (absolute). */
enum mount_kind mount_kind(const char *path);
/* Unmounts; FAIL_FAILED when busy, naming what uses it. */
int unmount(const char *mountpoint, bool lazy, GError **err);

/* --- live.c -------------------------------------------------------------------- */
/* A running session's control socket; NULL when it is not running. */
struct ctl_client *live_connect(const char *name);
/* The next line of C, which session NAME serves, showing by P (NULL: not) what
 * goes on meanwhile. As ctl_receive(). */
char *live_receive(struct ctl_client *c, const char *name,
	const struct session_progress *p, GError **err);
/* live_call() that shows progress. */
struct json *live_call_shown(struct ctl_client *c, const char *name,
	const struct session_progress *p, const char *command,
	const char *option, int *code, GError **err);
/* One request, its last answer line; *CODE from its "code". NULL with *ERR. */
struct json *live_call(struct ctl_client *c, const char *command,
	const char *option, int *code, GError **err);

/* --- cmd_session.c --------------------------------------------------------------- */
/* What is done by sync_session(). */
struct sync_command {
	const char *command;	/* "flush", "refresh" */
	const char *option;	/* for it; may be NULL */
	const char *progress;	/* as --progress; NULL: auto */
	/* The same without a running session. */
	int (*run)(struct session *s, const char *option, GError **err);
};
/* C of session NAME, in its process or, when none runs, here. */
int sync_session(const char *name, const struct sync_command *c, GError **err);
int run_flush(struct session *s, const char *option, GError **err);
int run_refresh(struct session *s, const char *option, GError **err);

/* --- daemon.c ------------------------------------------------------------------- */
/* The mounted life of a session: prepare, mount, serve, finish. READY_FD: the
 * parent's pipe (or -1 in the foreground). Returns the exit code. */
int daemon_run(struct start *s, const struct mount_options *m,
	const char *mountpoint, int ready_fd);

/* --- commands -------------------------------------------------------------------- */
int cmd_mount(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_prepare(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_flush(int argc, char **argv);
int cmd_refresh(int argc, char **argv);
int cmd_conflicts(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_mirror(int argc, char **argv);
int cmd_spec(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif
