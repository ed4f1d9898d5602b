/* conflicts: lists and settles what a refresh or a restore could not decide. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/report_text.h"
#include "fs/cli/resolve.h"
#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "transport/json.h"

static const char *const takes[] = {
	[TAKE_LOCAL] = "local", [TAKE_SANDBOX] = "sandbox",
	[TAKE_MERGED] = "merged",
};

struct request {
	const char *name;
	const char *pattern;	/* NULL: list */
	enum conflict_take take;
};

/* A path of a line as it may be shown; g_free it. */
static char *shown_path(const struct json *line, const char *key)
{
	g_autofree char *path = json_path(line, key);

	return path ? path_display(path) : NULL;
}

static void print_lines(const struct json *list, const char *word)
{
	for (size_t i = 0; list && i < json_count(list); i++) {
		const struct json *line = json_at(list, i);
		g_autofree char *path = shown_path(line, "path");
		g_autofree char *copy = shown_path(line, "copy");
		const char *why = json_string(json_get(line, "why"));

		printf("%-10s %s%s%s", word, path, copy ? "\n           " : "",
			copy ? copy : "");
		printf("%s%s%s\n", why ? "\n           " : "", why ? why : "",
			!g_strcmp0(json_string(json_get(line, "where")),
				"local") ? " (in the local directory)" : "");
	}
}

static size_t lines_of(const struct json *j, const char *key)
{
	return json_get(j, key) ? json_count(json_get(j, key)) : 0;
}

static int print(const struct request *q, const struct json *j, bool as_json)
{
	size_t open = lines_of(j, "conflicts") + lines_of(j, "held");

	if (as_json) {
		cli_print_json(j);
	} else if (q->pattern) {
		print_lines(json_get(j, "resolved"), "resolved");
	} else {
		print_lines(json_get(j, "conflicts"), "conflict");
		print_lines(json_get(j, "held"), "held");
		if (open)
			printf("`sandmount conflicts %s resolve PATH|GLOB "
			       "--take local|sandbox|merged` settles them\n",
				q->name);
		else
			printf("%s: nothing to look at\n", q->name);
	}
	return open ? EXIT_CONFLICTS : EXIT_DONE;
}

static struct json *list(const char *name, GError **err)
{
	struct ctl_client *c = live_connect(name);
	struct session *s = c ? NULL : session_open(name, err);
	struct json *j = s ? session_conflicts_json(s) : NULL;

	if (c)
		j = cli_ask_conflicts(c, "conflicts", NULL, err);
	session_close(s);
	ctl_client_free(c);
	return j;
}

static int run(const struct request *q, bool as_json)
{
	const struct resolve_request resolve = {
		.pattern = q->pattern, .take = q->take,
	};
	g_autoptr(GError) why = NULL;
	struct json *j = q->pattern ? cli_resolve(q->name, &resolve, &why)
				    : list(q->name, &why);
	bool ask = !q->pattern && !as_json && isatty(STDIN_FILENO) &&
		isatty(STDOUT_FILENO);
	int code;

	if (j && ask && lines_of(j, "conflicts") + lines_of(j, "held")) {
		conflicts_ask(q->name, j);
		json_free(j);
		j = list(q->name, &why);
	}
	code = j ? print(q, j, as_json) : cli_fail(why);
	json_free(j);
	return code;
}

/* NAME, or NAME resolve PATTERN with --take. */
static int take_words(struct request *q, int argc, char **argv,
	const char *take)
{
	size_t i = 0;

	if (argc == 2 && !take)
		return EXIT_DONE;
	if (argc != 4 || strcmp(argv[2], "resolve"))
		return cli_usage("conflicts: give NAME, or NAME resolve "
				 "PATH|GLOB --take local|sandbox|merged");
	while (i < G_N_ELEMENTS(takes) && g_strcmp0(take, takes[i]))
		i++;
	if (i == G_N_ELEMENTS(takes))
		return cli_usage("--take: give local, sandbox or merged");
	if (!g_utf8_validate(argv[3], -1, NULL))
		return cli_usage("conflicts: the pattern is not UTF-8; use ? "
				 "for the bytes that are not");
	q->pattern = argv[3];
	q->take = (enum conflict_take)i;
	return EXIT_DONE;
}

int cmd_conflicts(int argc, char **argv)
{
	gboolean as_json = FALSE;
	g_autofree char *take = NULL;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "as JSON", NULL },
		{ "take", 0, 0, G_OPTION_ARG_STRING, &take,
			"the version that stays", "local|sandbox|merged" },
		{ 0 },
	};
	g_autofree char *name = NULL;
	g_autoptr(GError) why = NULL;
	struct request q = { 0 };
	int code = EXIT_DONE;

	log_set_level(LOG_ERROR);
	if (!cli_parse(&argc, &argv, "NAME [resolve PATH|GLOB]",
		    "Lists and settles conflicts and held paths.", options,
		    &code))
		return code;
	if (argc < 2)
		return cli_usage("conflicts: give a session's NAME");
	code = take_words(&q, argc, argv, take);
	if (code != EXIT_DONE)
		return code;
	name = session_resolve_name(argv[1], &why);
	if (!name)
		return cli_fail(why);
	q.name = name;
	return run(&q, as_json);
}
