/* One event is one line, whatever it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/log.h"

/* What log_write() wrote; g_free it. */
static char *said(enum log_level max, enum log_level level, const char *text)
{
	char buf[4096] = "";
	ssize_t n;
	int p[2];

	assert_int_equal(pipe(p), 0);
	log_set_fd(p[1]);
	log_set_level(max);
	log_write(level, "%s", text);
	log_set_fd(STDERR_FILENO);
	close(p[1]);
	n = read(p[0], buf, sizeof(buf) - 1);
	assert_true(n >= 0);
	close(p[0]);
	return g_strndup(buf, (gsize)n);
}

static void form(void **state)
{
	g_autofree char *line = said(LOG_INFO, LOG_WARNING, "disk: full");

	(void)state;
	assert_true(g_regex_match_simple(
		"^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z "
		"warning disk: full\n$",
		line, G_REGEX_DOLLAR_ENDONLY, 0));
}

static void levels(void **state)
{
	(void)state;
	for (int max = LOG_ERROR; max <= LOG_DEBUG; max++)
		for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
			g_autofree char *line = said((enum log_level)max,
				(enum log_level)level, "x");

			assert_int_equal(*line != '\0', level <= max);
		}
}

static void controls_are_not_written(void **state)
{
	g_autofree char *line =
		said(LOG_INFO, LOG_INFO, "a\nb\r\x1b[2J\x7f" "end");

	(void)state;
	assert_non_null(strstr(line, " info a?b??[2J?end\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(form),
		cmocka_unit_test(levels),
		cmocka_unit_test(controls_are_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
