/* restore, diff, umount, recover: the commands that end in a report. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/pick.h"
#include "fs/cli/pick_ask.h"
#include "fs/cli/progress.h"
#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "transport/json.h"

/* What a running session answered. */
static int print_answer(const struct json *j, const char *name, bool json,
	bool diff)
{
	int64_t code = EXIT_FAILED;
	const struct json *report = json_get(j, "report");
	const char *text = json_string(json_get(j, "diff"));

	json_is_integer(json_get(j, "code"), &code);
	if (diff)
		cli_print_diff(text ? text : "");
	else if (report)
		cli_show_report(report, name, (int)code, json);
	return (int)code;
}

/* How a command that ends in a report shows it. */
struct shown {
	bool json;
	struct session_progress progress;
};

static int restore_live(struct ctl_client *c, const char *name,
	const struct restore_options *o, const struct shown *shown)
{
	g_autofree char *words = g_strdup_printf("%s %s %s %s",
		o->allow_deletes ? "allow-deletes" : "",
		o->dry_run ? "dry-run" : "", o->with_diff ? "diff" : "",
		o->undo ? "undo" : "");
	g_autoptr(GError) why = NULL;
	int code = EXIT_FAILED;
	struct json *j = live_call_shown(c, name, &shown->progress, "restore",
		words, &code, &why);

	cli_progress_end();
	code = j ? print_answer(j, name, shown->json, o->with_diff)
		 : cli_fail(why);
	json_free(j);
	return code;
}

static int restore_here(const char *name, const struct restore_options *o,
	const struct shown *shown)
{
	g_autoptr(GError) why = NULL;
	struct session *s = session_open(name, &why);
	struct report *r = NULL;
	int code;

	if (!s)
		return cli_fail(why);
	cli_open_log(name);
	session_set_progress(s, &shown->progress);
	if (session_restore(s, o, &r, &why) < 0) {
		code = cli_fail(why);
	} else if (o->with_diff) {
		cli_print_diff(r->diff ? r->diff : "");
		code = report_exit_code(r);
	} else {
		code = cli_print_report(r, name, shown->json);
	}
	report_free(r);
	session_close(s);
	return code;
}

static int run_restore(const char *given, const struct restore_options *o,
	const struct shown *shown)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *name = session_resolve_name(given, &why);
	struct ctl_client *c;
	int code;

	if (!name)
		return cli_fail(why);
	c = live_connect(name);
	if (!c)
		return restore_here(name, o, shown);
	code = restore_live(c, name, o, shown);
	ctl_client_free(c);
	return code;
}

/* With -p: only what goes with it. */
static int pick(const char *given, const struct restore_options *o,
	const struct shown *shown)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *name = NULL;

	if (o->undo || o->dry_run || shown->json)
		return cli_usage("restore: -p does not go together with "
				 "--undo, --dry-run or --json");
	if (!pick_can_ask())
		return cli_usage("restore -p: nobody is there to answer; run "
				 "it on a terminal, or give the answers (y, n, "
				 "...) as lines of standard input");
	name = session_resolve_name(given, &why);
	return name ? pick_restore(name, o->allow_deletes, &shown->progress)
		    : cli_fail(why);
}

int cmd_restore(int argc, char **argv)
{
	gboolean dry = FALSE, undo = FALSE, allow = FALSE, json = FALSE;
	gboolean by_hunk = FALSE;
	g_autofree char *mode = NULL;
	const GOptionEntry options[] = {
		{ "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry,
			"say what would be done, change nothing", NULL },
		{ "undo", 0, 0, G_OPTION_ARG_NONE, &undo,
			"put back what the last restore changed", NULL },
		{ "patch", 'p', 0, G_OPTION_ARG_NONE, &by_hunk,
			"choose hunk by hunk, as `git add -p` does", NULL },
		{ "allow-deletes", 0, 0, G_OPTION_ARG_NONE, &allow,
			"go on with deletions that a gate holds", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"one JSON object on standard output", NULL },
		CLI_PROGRESS_OPTION(&mode),
		{ 0 },
	};
	struct restore_options o = { 0 };
	struct shown shown;
	int code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "NAME|MOUNTPOINT",
		    "Merges the sandbox's work into the local directory.",
		    options, &code))
		return code;
	if (argc != 2)
		return cli_usage("restore: give a session's NAME or its "
				 "MOUNTPOINT");
	if (undo && dry)
		return cli_usage("restore: --undo and --dry-run do not go "
				 "together");
	o.dry_run = dry;
	o.undo = undo;
	o.allow_deletes = allow;
	if (!cli_check_progress(mode, &code))
		return code;
	shown = (struct shown){ json, cli_progress(mode, json) };
	return by_hunk ? pick(argv[1], &o, &shown)
		       : run_restore(argv[1], &o, &shown);
}

int cmd_diff(int argc, char **argv)
{
	gboolean json = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"the plan as one JSON object", NULL },
		{ 0 },
	};
	struct restore_options o = { .dry_run = true };
	struct shown shown;
	int code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "NAME|MOUNTPOINT",
		    "Shows what a restore would do; changes nothing.", options,
		    &code))
		return code;
	if (argc != 2)
		return cli_usage("diff: give a session's NAME or its "
				 "MOUNTPOINT");
	o.with_diff = !json;
	shown = (struct shown){ json, cli_progress(NULL, json) };
	return run_restore(argv[1], &o, &shown);
}

/* --- umount ----------------------------------------------------------------------- */

/* Nobody serves it: what a crash left is finished here. */
/* An undo that was killed is finished and nothing else: a restore after it
 * would bring back what it took away. */
static int finish_session(struct session *s, struct report **r, GError **err)
{
	const struct restore_options undo = { .undo = true };

	return session_is_undoing(s) ? session_restore(s, &undo, r, err)
				     : session_finish(s, r, err);
}

static int finish_here(const char *name, const struct shown *shown)
{
	g_autoptr(GError) why = NULL;
	struct session *s = session_open(name, &why);
	struct report *r = NULL;
	int code = EXIT_DONE;

	if (!s)
		return cli_fail(why);
	cli_open_log(name);
	session_set_progress(s, &shown->progress);
	if (finish_session(s, &r, &why) < 0) {
		cli_fail(why);
		code = EXIT_PENDING;
	} else if (r) {
		code = cli_print_report(r, name, shown->json);
	}
	cli_progress_end();
	report_free(r);
	session_close(s);
	return code;
}

static char *mountpoint_of(const char *name)
{
	struct json *j = session_saved_status(name, NULL);
	char *path = j ? g_strdup(json_string(json_get(j, "mountpoint")))
		       : NULL;

	json_free(j);
	return path;
}

/* Asks for the report first, so that it cannot be missed, then unmounts. */
static int umount_live(struct ctl_client *c, const char *name,
	const char *mountpoint, const struct shown *shown)
{
	g_autoptr(GError) why = NULL;
	struct json *j;
	int code = EXIT_DONE;

	if (ctl_request(c, "{\"cmd\":\"wait\"}", &why) < 0 ||
		unmount(mountpoint, false, &why) < 0)
		return cli_fail(why);
	g_autofree char *line =
		live_receive(c, name, &shown->progress, &why);

	cli_progress_end();

	if (!line) {
		fprintf(stderr, "sandmount: unmounted, but the session's "
				"process ended without a report; `sandmount "
				"recover` finishes its work\n");
		return EXIT_PENDING;
	}
	j = json_parse(line, strlen(line), &why);
	if (!j)
		return cli_fail(why);
	if (json_string(json_get(j, "error"))) {
		fprintf(stderr, "sandmount: %s\n",
			json_string(json_get(j, "error")));
		code = EXIT_PENDING;
	} else {
		code = print_answer(j, name, shown->json, false);
	}
	json_free(j);
	return code;
}

int cmd_umount(int argc, char **argv)
{
	gboolean json = FALSE;
	g_autofree char *mode = NULL;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"the report as one JSON object", NULL },
		CLI_PROGRESS_OPTION(&mode),
		{ 0 },
	};
	struct shown shown;
	g_autoptr(GError) why = NULL;
	g_autofree char *name = NULL;
	g_autofree char *mountpoint = NULL;
	struct ctl_client *c;
	int code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "NAME|MOUNTPOINT",
		    "Unmounts, waits for the restore and prints its report.",
		    options, &code))
		return code;
	if (argc != 2)
		return cli_usage("umount: give a session's NAME or its "
				 "MOUNTPOINT");
	name = session_resolve_name(argv[1], &why);
	if (!name)
		return cli_fail(why);
	mountpoint = mountpoint_of(name);
	if (!mountpoint || mount_kind(mountpoint) == MOUNT_NONE)
		return cli_usage("%s: is not mounted; `sandmount restore %s` "
				 "merges a prepared session", name, name);
	if (!cli_check_progress(mode, &code))
		return code;
	shown = (struct shown){ json, cli_progress(mode, json) };
	c = live_connect(name);
	if (c) {
		code = umount_live(c, name, mountpoint, &shown);
		ctl_client_free(c);
		/* So that the next command finds the session free. */
		if (mount_kind(mountpoint) == MOUNT_NONE)
			session_wait_free(name, 10000);
		return code;
	}
	if (unmount(mountpoint, true, &why) < 0)
		return cli_fail(why);
	return finish_here(name, &shown);
}

/* --- recover ------------------------------------------------------------------------ */

static bool has_crashed(const char *name)
{
	struct json *j = session_saved_status(name, NULL);
	bool crashed =
		j && !g_strcmp0(json_string(json_get(j, "state")), "crashed");

	json_free(j);
	return crashed;
}

/* What there is to be finished, or NULL; g_free it. A process that died had its
 * flush, refresh and restore before it, whatever is known of changes. */
static char *find_work(struct session *s, bool crashed)
{
	char *why = NULL;

	if (session_has_work(s, &why) || !crashed || !session_is_prepared(s))
		return why;
	return g_strdup("a process of it died");
}

/* 0: nothing to do or done; else the exit code. */
static int recover_one(const char *name)
{
	g_autofree char *mountpoint = mountpoint_of(name);
	bool crashed = has_crashed(name);
	g_autofree char *why_work = NULL;
	g_autoptr(GError) why = NULL;
	struct ctl_client *c = live_connect(name);
	struct session *s;

	if (c) {	/* it is well and running */
		ctl_client_free(c);
		return EXIT_DONE;
	}
	if (mountpoint && mount_kind(mountpoint) == MOUNT_DEAD) {
		g_autofree char *shown = path_display(mountpoint);

		if (unmount(mountpoint, true, &why) < 0)
			return cli_fail(why);
		printf("%s: the dead mount at %s is unmounted\n", name, shown);
	}
	s = session_open(name, &why);
	if (!s)
		return cli_fail(why);
	why_work = find_work(s, crashed);
	session_close(s);
	if (why_work) {
		struct shown shown = { false, cli_progress(NULL, false) };

		printf("%s: %s; finishing\n", name, why_work);
		return finish_here(name, &shown);
	}
	printf(crashed ? "%s: was killed before it was prepared; mount or "
			 "prepare it again\n"
		       : "%s: nothing to recover\n", name);
	return EXIT_DONE;
}

int cmd_recover(int argc, char **argv)
{
	g_autoptr(GError) why = NULL;
	g_auto(GStrv) names = NULL;
	int worst = EXIT_DONE, code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "[NAME]",
		    "Sends or restores what an earlier run left.", NULL, &code))
		return code;
	if (argc > 1) {
		g_autofree char *name = session_resolve_name(argv[1], &why);

		return name ? recover_one(name) : cli_fail(why);
	}
	names = session_names();
	for (char **n = names; *n; n++) {
		code = recover_one(*n);
		worst = MAX(worst, code == EXIT_FAILED ? EXIT_PENDING : code);
	}
	return worst;
}
