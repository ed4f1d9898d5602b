/* The frame around an answer, fed whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "transport/frame.h"

static int collect(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

static const struct row {
	const char *input, *answer;
	bool started, ended;
	int code, result;
} rows[] = {
	{ "sandmount:n1:start\nhello\nsandmount:n1:end:0\n", "hello\n", true,
		true, 0, 0 },
	{ "Welcome!\nmotd\nsandmount:n1:start\nxsandmount:n1:end:7\nrest",
		"x", true, true, 7, 0 },
	{ "sandmount:n1:start\nsandmount:n1:end:255\n", "", true, true, 255,
		0 },
	{ "noise only\n", "", false, false, 0, 0 },
	{ "", "", false, false, 0, 0 },
	/* Only what may be a marker is held back. */
	{ "sandmount:n1:start\n$ ", "$ ", true, false, 0, 0 },
	{ "sandmount:n1:start\nsandmount:n1:xsandm", "sandmount:n1:x", true,
		false, 0, 0 },
	/* Another's marker is content. */
	{ "sandmount:n1:start\nsandmount:n2:end:0\nsandmount:n1:end:1\n",
		"sandmount:n2:end:0\n", true, true, 1, 0 },
	{ "sandmount:n1:start\nsandmount:n1:end:", "", true, false, 0, 0 },
	{ "sandmount:n1:start\nsandmount:n1:end:\n", "", true, false, 0,
		-EPROTO },
	{ "sandmount:n1:start\nsandmount:n1:end:1234567890", "", true, false,
		0, -EPROTO },
	/* Exit codes only: a sign or a great number is a lie. */
	{ "sandmount:n1:start\nsandmount:n1:end:-1\n", "", true, false, 0,
		-EPROTO },
	{ "sandmount:n1:start\nsandmount:n1:end:256\n", "", true, false, 0,
		-EPROTO },
};

static void check(const struct row *row, size_t step)
{
	GString *got = g_string_new(NULL);
	struct sink out = { .write = collect, .ctx = got };
	size_t len = strlen(row->input);
	struct frame f;
	int r = 0;

	frame_init(&f, "n1", &out);
	for (size_t i = 0; r == 0 && i < len; i += step)
		r = frame_feed(&f, row->input + i, MIN(step, len - i));
	assert_int_equal(r, row->result);
	assert_string_equal(got->str, row->answer);
	assert_int_equal(f.started, row->started);
	assert_int_equal(f.ended, row->ended);
	if (f.ended)
		assert_int_equal(f.code, row->code);
	frame_release(&f);
	g_string_free(got, TRUE);
}

static void all_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		for (size_t step = 1; step < 50; step++)
			check(&rows[i], step);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
