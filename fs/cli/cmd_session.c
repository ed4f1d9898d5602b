/* The commands that are one call on a session: prepare, flush, refresh,
 * forget, log, spec, and those that come later. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/pager.h"
#include "fs/cli/progress.h"
#include "fs/cli/report_text.h"
#include "fs/cli/status_text.h"
#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "merge/lib/log.h"
#include "transport/json.h"

static int prepare(struct start *s, const struct mount_options *m)
{
	struct session_progress p = cli_progress(m->progress, m->json);
	g_autoptr(GError) why = NULL;
	struct prepare_result r;
	struct session *session;
	int code = EXIT_DONE;

	/* Nobody could open a stub without a mount. */
	s->options->prefetch_all |= !s->options->local;
	session = session_start(s->name, s->spec, s->options, &why);
	if (!session)
		return cli_fail(why);
	cli_open_log(s->name);
	session_set_progress(session, &p);
	if (session_prepare(session, &r, &why) < 0) {
		code = cli_fail(why);
	} else if (m->json) {
		struct json *j = session_prepare_json(session, &r);

		cli_print_json(j);
		json_free(j);
	} else {
		g_autofree char *files =
			count_text(r.sent_files, "file", "files");
		g_autofree char *bytes = bytes_text(r.sent_bytes);

		g_autofree char *dir = session_kept_in(session);
		g_autofree char *kept = kept_text(r.kept, dir);

		cli_progress_end();
		printf("%s is prepared%s: %s, %s sent; `sandmount restore %s` "
			"brings the work home%s\n", s->name,
			r.resumed ? " (unrestored work taken up)" : "", files,
			bytes, s->name, kept);
	}
	session_close(session);
	return code;
}

int cmd_prepare(int argc, char **argv)
{
	struct mount_options m = { 0 };
	struct start s = { 0 };
	g_autoptr(GError) why = NULL;
	int code = EXIT_FAILED;

	log_set_level(LOG_ERROR);
	if (mount_options_parse(&m, &argc, &argv, false, &code))
		code = start_resolve(&s, &m, argv[1], &why) < 0
			? cli_fail(why) : prepare(&s, &m);
	start_release(&s);
	mount_options_release(&m);
	return code;
}

/* The one argument NAME|MOUNTPOINT as a session's name; NULL: *CODE. */
static char *take_name(int argc, char **argv, int *code)
{
	g_autoptr(GError) why = NULL;
	char *name;

	if (argc != 2) {
		*code = cli_usage("%s: give a session's NAME or its MOUNTPOINT",
			argv[0]);
		return NULL;
	}
	name = session_resolve_name(argv[1], &why);
	if (!name)
		*code = cli_fail(why);
	return name;
}

int sync_session(const char *name, const struct sync_command *command,
	GError **err)
{
	struct session_progress p = cli_progress(command->progress, false);
	struct ctl_client *c = live_connect(name);
	struct session *s;
	int code, ret;

	if (c) {
		struct json *j = live_call_shown(c, name, &p, command->command,
			command->option, &code, err);

		cli_progress_end();
		ret = j ? 0 : -EIO;
		json_free(j);
		ctl_client_free(c);
		return ret;
	}
	s = session_open(name, err);
	cli_open_log(name);
	if (s)
		session_set_progress(s, &p);
	ret = s ? command->run(s, command->option, err) : -EIO;
	cli_progress_end();
	session_close(s);
	return ret;
}

int run_flush(struct session *s, const char *option, GError **err)
{
	(void)option;
	return session_flush(s, 0, err);
}

int run_refresh(struct session *s, const char *option, GError **err)
{
	return session_load(s, err) < 0
		? -EIO : session_refresh(s, option != NULL, err);
}

/* What the options say. */
struct sync_words {
	char *mode;
	gboolean allow_deletes;
};

/* The one word after OPTIONS, and then C. */
static int sync_main(int argc, char **argv, const GOptionEntry *options,
	struct sync_words *w, struct sync_command *c)
{
	g_autofree char *name = NULL;
	g_autofree char *mode = NULL;
	g_autoptr(GError) why = NULL;
	int code = EXIT_DONE;
	bool ok;

	log_set_level(LOG_ERROR);
	ok = cli_parse(&argc, &argv, "NAME|MOUNTPOINT", NULL, options, &code);
	mode = w->mode;
	if (!ok || !cli_check_progress(mode, &code) ||
		!(name = take_name(argc, argv, &code)))
		return code;
	c->progress = mode;
	c->option = w->allow_deletes ? "allow-deletes" : NULL;
	if (sync_session(name, c, &why) < 0)
		return cli_fail(why);
	return EXIT_DONE;
}

int cmd_flush(int argc, char **argv)
{
	struct sync_words w = { 0 };
	const GOptionEntry options[] = { CLI_PROGRESS_OPTION(&w.mode), { 0 } };
	struct sync_command c = { .command = "flush", .run = run_flush };

	return sync_main(argc, argv, options, &w, &c);
}

int cmd_refresh(int argc, char **argv)
{
	struct sync_words w = { 0 };
	const GOptionEntry options[] = {
		CLI_PROGRESS_OPTION(&w.mode),
		{ "allow-deletes", 0, 0, G_OPTION_ARG_NONE, &w.allow_deletes,
			"also when everything in the sandbox is gone", NULL },
		{ 0 },
	};
	struct sync_command c = { .command = "refresh", .run = run_refresh };

	return sync_main(argc, argv, options, &w, &c);
}

int cmd_forget(int argc, char **argv)
{
	gboolean force = FALSE;
	const GOptionEntry options[] = {
		{ "force", 0, 0, G_OPTION_ARG_NONE, &force,
			"also with work that would be lost", NULL },
		{ 0 },
	};
	g_autofree char *name = NULL;
	g_autoptr(GError) why = NULL;
	struct session *s;
	int code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "NAME", "Drops a session's state.",
		    options, &code) ||
		!(name = take_name(argc, argv, &code)))
		return code;
	s = session_open(name, &why);
	if (!s || session_forget(s, force, &why) < 0)
		code = cli_fail(why);
	session_close(s);
	return code;
}

/* The last restore's report, as it was printed (or would have been). */
static int print_last_report(const char *name)
{
	struct json *report = report_load(name);
	int64_t code = EXIT_DONE;

	if (!report) {
		printf("%s has not been restored yet\n", name);
		return EXIT_DONE;
	}
	json_is_integer(json_get(report, "exit_code"), &code);
	cli_show_report(report, name, (int)code, false);
	json_free(report);
	return EXIT_DONE;
}

int cmd_log(int argc, char **argv)
{
	gboolean report = FALSE;
	const GOptionEntry options[] = {
		{ "report", 0, 0, G_OPTION_ARG_NONE, &report,
			"the report of the last restore instead", NULL },
		{ 0 },
	};
	g_autofree char *name = NULL;
	g_autofree char *dir = NULL;
	g_autofree char *file = NULL;
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "NAME", "Prints a session's log.",
		    options, &code) ||
		!(name = take_name(argc, argv, &code)))
		return code;
	if (report)
		return print_last_report(name);
	dir = session_dir(name);
	file = g_build_filename(dir, "log", NULL);
	if (g_file_get_contents(file, &text, NULL, &why))
		page_text(text);
	return EXIT_DONE;
}

/* --- spec -------------------------------------------------------------------- */

static int match(const struct spec *spec, const char *name)
{
	g_autofree char *dir = session_dir(name);
	g_autofree char *file = g_build_filename(dir, "session.json", NULL);
	g_autofree char *text = NULL;
	struct json *j;
	const struct json *saved;
	bool same = false;
	gsize len;

	if (!g_file_get_contents(file, &text, &len, NULL))
		return EXIT_FAILED;
	j = json_parse(text, len, NULL);
	saved = j ? json_get(j, "spec") : NULL;
	if (saved) {
		g_autofree char *own = json_to_text(saved, false);
		struct spec *s =
			spec_parse(own, strlen(own), "session", NULL);

		same = s && spec_same_sandbox(s, spec);
		spec_free(s);
	}
	json_free(j);
	return same ? EXIT_DONE : EXIT_FAILED;
}

int cmd_spec(int argc, char **argv)
{
	g_autofree char *saved = NULL;
	const GOptionEntry options[] = {
		{ "match", 0, 0, G_OPTION_ARG_STRING, &saved,
			"exit 0 if this session is of the same sandbox, "
			"else 1", "SAVED" },
		{ 0 },
	};
	g_autofree char *config = cli_config_file();
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	struct spec *spec;
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "FILE",
		    "Checks a sandbox spec and prints it normalised.", options,
		    &code))
		return code;
	if (argc != 2)
		return cli_usage("spec: give a spec FILE");
	spec = spec_resolve(argv[1], config, NULL, &why);
	if (!spec)
		return cli_fail(why);
	text = spec_to_json(spec);
	puts(text);
	if (saved)
		code = match(spec, saved);
	spec_free(spec);
	return code;
}
