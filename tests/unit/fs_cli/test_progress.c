#include "fs/cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

static void texts(void **state)
{
	static const struct {
		struct progress_view view;
		const char *text;
	} rows[] = {
		{ { .what = "comparing" }, "comparing" },
		{ { .what = "reading", .done = 3 }, "reading  3" },
		{ { .what = "reading", .done = 30, .total = 120,
		    .elapsed_ms = 1000 }, "reading   25%  30 of 120  3 s left" },
		{ { .what = "sending", .done = 2000000, .bytes = true,
		    .elapsed_ms = 2000 }, "sending  2.0 MB  1.0 MB/s" },
		{ { .what = "sending", .done = 1000000, .total = 4000000,
		    .bytes = true, .elapsed_ms = 1000, .columns = 79 },
			"sending  [======>                 ]   25%  "
			"1.0 MB of 4.0 MB  1.0 MB/s  3 s left" },
		/* No rate from next to nothing. */
		{ { .what = "sending", .done = 5, .total = 10, .bytes = true,
		    .elapsed_ms = 1 }, "sending   50%  5 bytes of 10 bytes" },
		/* More than was foreseen. */
		{ { .what = "sending", .done = 12, .total = 10,
		    .elapsed_ms = 1 }, "sending  100%  12 of 10" },
		{ { .what = "a narrow terminal", .done = 1, .total = 2,
		    .columns = 20 }, "a narrow terminal   " },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *t = progress_text(&rows[i].view);

		assert_string_equal(t, rows[i].text);
	}
}

/* Never wider than the terminal, at any width and stage. */
static void fits(void **state)
{
	(void)state;
	for (unsigned columns = 1; columns < 200; columns++)
		for (uint64_t done = 0; done <= 100; done += 10) {
			struct progress_view v = { .what = "sending",
				.done = done * 1000000, .total = 100000000,
				.bytes = true, .elapsed_ms = 700,
				.columns = columns };
			g_autofree char *t = progress_text(&v);

			assert_true(strlen(t) <= columns);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts), cmocka_unit_test(fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
