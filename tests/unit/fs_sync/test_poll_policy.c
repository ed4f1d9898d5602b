/* When to look next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/sync/poll_policy.h"

static const struct row {
	const char *what;
	struct poll_times times;
	int64_t due;
} rows[] = {
	{ "just worked",
		{ .active = 100000, .began = 99900, .ended = 100000 }, 101000 },
	{ "a while ago",
		{ .active = 60000, .began = 99900, .ended = 100000 }, 104000 },
	{ "long idle",
		{ .active = 0, .began = 999900, .ended = 1000000 },
		1000000 + POLL_LONGEST_MS },
	{ "the longest is the user's",
		{ .active = 0, .began = 999900, .ended = 1000000,
			.longest = 60000 }, 1060000 },
	{ "and may be short",
		{ .active = 1000000, .began = 999990, .ended = 1000000,
			.longest = 200 }, 1000200 },
	{ "a look that takes long is not repeated at once",
		{ .active = 1000000, .began = 995000, .ended = 1000000,
			.longest = 200 }, 1010000 },
	{ "work after the last look",
		{ .active = 1000500, .began = 999900, .ended = 1000000 },
		1001000 },
	{ "first failure",
		{ .active = 0, .began = 999900, .ended = 1000000,
			.failures = 1 }, 1000500 },
	{ "third failure",
		{ .active = 0, .began = 999900, .ended = 1000000,
			.failures = 3 }, 1002000 },
	{ "many failures",
		{ .active = 0, .began = 999900, .ended = 1000000,
			.failures = 4000000000u },
		1000000 + POLL_RETRY_LAST_MS },
};

static void all_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (poll_due(&rows[i].times) != rows[i].due)
			print_error("%s\n", rows[i].what);
		assert_int_equal(poll_due(&rows[i].times), rows[i].due);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
