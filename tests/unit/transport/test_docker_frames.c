/* The frames of an exec's output, fed in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "transport/docker_frames.h"

static int collect(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

static int full(void *ctx, const void *buf, size_t len)
{
	(void)ctx;
	(void)buf;
	(void)len;
	return -ENOSPC;
}

#define HEAD(kind, n) kind "\0\0\0\0\0\0" n

static const struct row {
	const char *input;
	size_t len;
	const char *out, *err;
	int result;
} rows[] = {
	{ "", 0, "", "", 0 },
	{ HEAD("\1", "\3") "abc", 11, "abc", "", 0 },
	{ HEAD("\1", "\3") "abc" HEAD("\2", "\2") "no" HEAD("\1", "\1") "d",
		30, "abcd", "no", 0 },
	{ HEAD("\1", "\0") HEAD("\2", "\0") HEAD("\1", "\1") "x", 25, "x", "",
		0 },
	/* The engine's own words. */
	{ HEAD("\3", "\4") "oops", 12, "", "oops", 0 },
	/* Cut off: what came is passed. */
	{ HEAD("\1", "\7") "abc", 11, "abc", "", 0 },
	{ HEAD("\4", "\1") "x", 9, "", "", -EPROTO },
	{ "HTTP/1.1 200 OK", 15, "", "", -EPROTO },
};

static void check(const struct row *row, size_t step)
{
	GString *out = g_string_new(NULL), *err = g_string_new(NULL);
	struct sink to_out = { collect, out }, to_err = { collect, err };
	struct docker_frames f = { .out = &to_out, .err_out = &to_err };
	int r = 0;

	for (size_t i = 0; r == 0 && i < row->len; i += step)
		r = docker_frames_feed(
			&f, row->input + i, MIN(step, row->len - i));
	assert_int_equal(r, row->result);
	assert_string_equal(out->str, row->out);
	assert_string_equal(err->str, row->err);
	g_string_free(out, TRUE);
	g_string_free(err, TRUE);
}

static void test_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		for (size_t step = 1; step <= 31; step++)
			check(&rows[i], step);
}

static void test_a_sink_that_fails(void **state)
{
	(void)state;
	struct sink broken = { full, NULL };
	struct docker_frames f = { .out = &broken };

	assert_int_equal(docker_frames_feed(&f, HEAD("\2", "\1") "x", 9), 0);
	assert_int_equal(
		docker_frames_feed(&f, HEAD("\1", "\1") "x", 9), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_a_sink_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
