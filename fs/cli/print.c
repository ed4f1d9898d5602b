#include "fs/cli/cli.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/outcome.h"
#include "fs/cli/pager.h"
#include "fs/cli/progress.h"
#include "fs/cli/report_text.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "transport/json.h"

static enum exit_code code_of(const GError *error)
{
	if (error->domain != FAIL)
		return EXIT_FAILED;
	switch ((enum fail_code)error->code) {
	case FAIL_USAGE:
		return EXIT_USAGE;
	case FAIL_PENDING:
		return EXIT_PENDING;
	case FAIL_FAILED:
	case FAIL_LOCAL:
	case FAIL_UNAVAILABLE:
	case FAIL_UNKNOWN:
	case FAIL_GONE:
	case FAIL_PROTOCOL:
	case FAIL_REMOTE:
	case FAIL_CANCELLED:
	case FAIL_DEADLINE:
		return EXIT_FAILED;
	}
	return EXIT_FAILED;
}

int cli_fail(const GError *error)
{
	cli_progress_end();
	fprintf(stderr, "sandmount: %s\n", error->message);
	return code_of(error);
}

int cli_usage(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	g_autofree char *text = g_strdup_vprintf(fmt, args);
	va_end(args);
	fprintf(stderr, "sandmount: %s\n", text);
	return EXIT_USAGE;
}

void cli_print_json(const struct json *j)
{
	g_autofree char *text = json_to_text(j, false);

	printf("%s\n", text);
	fflush(stdout);
}

void cli_open_log(const char *name)
{
	g_autofree char *dir = session_dir(name);
	g_autofree char *file = g_build_filename(dir, "log", NULL);
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	log_set_fd(fd);	/* kept for the life of the process */
	log_set_level(g_getenv("SANDMOUNT_DEBUG") ? LOG_DEBUG : LOG_INFO);
}

int cli_show_report(const struct json *report, const char *name, int code,
	bool json)
{
	struct report_style style = {
		.name = name, .code = code, .color = cli_color(STDOUT_FILENO),
	};

	cli_progress_end();
	if (json) {
		cli_print_json(report);
	} else {
		g_autofree char *text = report_text(report, &style);

		fputs(text, stdout);
		fflush(stdout);
	}
	return code;
}

int cli_print_report(const struct report *r, const char *name, bool json)
{
	struct json *j = report_to_json(r);
	int code = report_exit_code(r);

	outcome_log(j, code);
	cli_show_report(j, name, code, json);
	json_free(j);
	return code;
}

void cli_print_diff(const char *diff)
{
	g_autofree char *colored =
		cli_color(STDOUT_FILENO) ? color_diff(diff) : NULL;

	cli_progress_end();
	page_text(colored ? colored : diff);
}
