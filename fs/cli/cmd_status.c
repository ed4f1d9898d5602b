/* status and list. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/ctl/ctl.h"
#include "merge/lib/path.h"
#include "transport/json.h"

/* The status object: from the running session, else from its files. */
static struct json *status_of(const char *name, GError **err)
{
	struct ctl_client *c = live_connect(name);
	struct json *answer, *status = NULL;
	int code;

	if (!c)
		return session_saved_status(name, err);
	answer = live_call(c, "status", NULL, &code, NULL);
	if (answer && json_get(answer, "status")) {
		g_autofree char *text =
			json_to_text(json_get(answer, "status"), false);

		status = json_parse(text, strlen(text), NULL);
	}
	json_free(answer);
	ctl_client_free(c);
	return status ? status : session_saved_status(name, err);
}

static const char *text_of(const struct json *j, const char *key)
{
	const char *s = json_string(json_get(j, key));

	return s ? s : "-";
}

static int64_t number_of(const struct json *j, const char *group,
	const char *key)
{
	int64_t n = 0;

	if (group)
		j = json_get(j, group);
	if (j && json_get(j, key))
		json_is_integer(json_get(j, key), &n);
	return n;
}

static void print_status(const struct json *j)
{
	g_autofree char *local = path_display(text_of(j, "local"));
	g_autofree char *mount = path_display(text_of(j, "mountpoint"));

	printf("%s: %s\n", text_of(j, "name"), text_of(j, "state"));
	printf("  sandbox     %s %s, %s\n", text_of(j, "provider"),
		text_of(j, "sandbox_id"), text_of(j, "remote_cwd"));
	printf("  mount point %s\n  local       %s\n", mount, local);
	printf("  unsent      %" PRId64 " files, %" PRId64 " bytes\n",
		number_of(j, "unsent", "files"),
		number_of(j, "unsent", "bytes"));
	printf("  sent        %" PRId64 " batches, %" PRId64 " files, %" PRId64
		" bytes\n", number_of(j, "sent", "batches"),
		number_of(j, "sent", "files"), number_of(j, "sent", "bytes"));
	printf("  fetched     %" PRId64 " files, %" PRId64 " bytes\n",
		number_of(j, "fetched", "files"),
		number_of(j, "fetched", "bytes"));
	printf("  conflicts   %" PRId64 ", held %" PRId64 "\n",
		number_of(j, NULL, "conflicts"), number_of(j, NULL, "held"));
	if (json_string(json_get(j, "last_error")))
		printf("  last error  %s\n", text_of(j, "last_error"));
}

static int print_one(const char *name, bool json)
{
	g_autoptr(GError) why = NULL;
	struct json *j = status_of(name, &why);

	if (!j) {
		cli_fail(why);
		return EXIT_FAILED;	/* unknown: 1, by contract */
	}
	if (json)
		cli_print_json(j);
	else
		print_status(j);
	json_free(j);
	return EXIT_DONE;
}

static int print_all(bool json)
{
	g_auto(GStrv) names = session_names();
	struct json *arr = json_new_array();

	for (char **n = names; *n; n++) {
		struct json *j = status_of(*n, NULL);

		if (j && !json)
			printf("%-20s %-10s %s %s\n", text_of(j, "name"),
				text_of(j, "state"), text_of(j, "provider"),
				text_of(j, "sandbox_id"));
		if (j)
			json_append(arr, j);
	}
	if (json)
		cli_print_json(arr);
	else if (json_count(arr) == 0)
		puts("no sessions");
	json_free(arr);
	return EXIT_DONE;
}

static int show(const char *given, bool json)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *name =
		given ? session_resolve_name(given, &why) : NULL;

	if (!given)
		return print_all(json);
	if (!name) {
		cli_fail(why);
		return EXIT_FAILED;
	}
	return print_one(name, json);
}

int cmd_status(int argc, char **argv)
{
	gboolean json = FALSE, watch = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"one JSON object on standard output", NULL },
		{ "watch", 'w', 0, G_OPTION_ARG_NONE, &watch,
			"show it again every second", NULL },
		{ 0 },
	};
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "[NAME]", "Shows sessions.", options,
		    &code))
		return code;
	if (argc > 2)
		return cli_usage("status: give at most one NAME");
	do {
		if (watch && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		code = show(argc > 1 ? argv[1] : NULL, json);
		fflush(stdout);
		if (watch)
			sleep(1);
	} while (watch && code == EXIT_DONE);
	return code;
}

int cmd_list(int argc, char **argv)
{
	gboolean json = FALSE;
	const GOptionEntry options[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"a JSON array on standard output", NULL },
		{ 0 },
	};
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "", "Lists all sessions.", options,
		    &code))
		return code;
	return print_all(json);
}
