/* doctor [SANDBOX]: what is found, and the command that mends it. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/doctor.h"
#include "fs/cli/pager.h"
#include "merge/lib/log.h"
#include "transport/json.h"

static void finding_free(gpointer p)
{
	struct finding *f = p;

	g_free(f->text);
	g_free(f->mend);
	g_free(f);
}

void findings_init(struct findings *f)
{
	f->list = g_ptr_array_new_with_free_func(finding_free);
}

void findings_release(struct findings *f)
{
	g_ptr_array_free(f->list, TRUE);
}

void findings_add(struct findings *f, enum finding_level level,
	const char *check, const char *mend, const char *fmt, ...)
{
	struct finding *n = g_new0(struct finding, 1);
	va_list args;

	n->level = level;
	n->check = check;
	n->mend = g_strdup(mend);
	va_start(args, fmt);
	n->text = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_ptr_array_add(f->list, n);
}

enum finding_level findings_worst(const struct findings *f)
{
	enum finding_level worst = FINDING_OK;

	for (guint i = 0; i < f->list->len; i++) {
		const struct finding *n = g_ptr_array_index(f->list, i);

		worst = MAX(worst, n->level);
	}
	return worst;
}

static const struct {
	const char *word, *tint;
} levels[] = {
	[FINDING_OK] = { "ok", "\033[32m" },
	[FINDING_NOTE] = { "note", "\033[36m" },
	[FINDING_WARNING] = { "warning", "\033[33m" },
	[FINDING_FAILED] = { "failed", "\033[1;31m" },
};

char *findings_text(const struct findings *f, bool color)
{
	GString *out = g_string_new(NULL);

	for (guint i = 0; i < f->list->len; i++) {
		const struct finding *n = g_ptr_array_index(f->list, i);

		g_string_append_printf(out, "%s%-8s%s %-18s %s\n",
			color ? levels[n->level].tint : "",
			levels[n->level].word, color ? "\033[0m" : "",
			n->check, n->text);
		if (n->mend)
			g_string_append_printf(out, "%28s%s %s\n", "",
				n->level == FINDING_NOTE ? "if you want it:"
							 : "mend it:",
				n->mend);
	}
	return g_string_free(out, FALSE);
}

static struct json *findings_json(const struct findings *f)
{
	struct json *arr = json_new_array();

	for (guint i = 0; i < f->list->len; i++) {
		const struct finding *n = g_ptr_array_index(f->list, i);
		struct json *j = json_new_object();

		json_put_string(j, "check", n->check);
		json_put_string(j, "level", levels[n->level].word);
		json_put_string(j, "text", n->text);
		json_put_string(j, "mend", n->mend);
		json_append(arr, j);
	}
	return arr;
}

int cmd_doctor(int argc, char **argv)
{
	gboolean json = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"a JSON array on standard output", NULL },
		{ 0 },
	};
	struct findings f;
	int code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "[SANDBOX]",
		    "Checks this machine, and SANDBOX if one is given, and "
		    "says what to do.\nExit code 1 when something will not "
		    "work.", options, &code))
		return code;
	if (argc > 2)
		return cli_usage("doctor: give at most one SANDBOX");
	findings_init(&f);
	doctor_fuse(&f, &doctor_real_paths);
	doctor_machine(&f, &doctor_real_paths);
	if (argc > 1)
		doctor_sandbox(&f, argv[1]);
	if (json) {
		struct json *j = findings_json(&f);

		cli_print_json(j);
		json_free(j);
	} else {
		g_autofree char *text =
			findings_text(&f, cli_color(STDOUT_FILENO));

		fputs(text, stdout);
	}
	code = findings_worst(&f) == FINDING_FAILED ? EXIT_FAILED : EXIT_DONE;
	findings_release(&f);
	return code;
}
