/* Server-sent events, whole and cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include "transport/event_stream.h"

#include <cmocka.h>

static int collect(void *ctx, const char *name, const char *data, size_t len)
{
	g_string_append_printf(ctx, "%s=", name);
	g_string_append_len(ctx, data, (gssize)len);
	g_string_append_c(ctx, '|');
	return strcmp(name, "stop") ? 0 : -ECANCELED;
}

static const struct row {
	const char *text, *got;
	int result;
} rows[] = {
	{ "", "", 0 },
	{ "event: exit\ndata: {\"exit_code\":3}\n\n", "exit={\"exit_code\":3}|",
		0 },
	{ "data:a\n\ndata: b\n\n", "message=a|message=b|", 0 },
	{ "data: a\ndata: b\ndata\n\n", "message=a\nb\n|", 0 },
	{ "event: x\r\ndata: a\r\n\r\nevent: y\rdata: b\r\r", "x=a|y=b|", 0 },
	{ ": keepalive\n\nid: 1\nretry: 2\ndata: a\n\n", "message=a|", 0 },
	{ "event: x\n\ndata: a\n\n", "message=a|", 0 },
	{ "event: x\ndata: a", "x=a|", 0 },
	{ "event: x\ndata: a\n", "x=a|", 0 },
	{ "event: x", "", 0 },
	{ "dataset: a\n\n", "", 0 },
	{ "data:  two\n\n", "message= two|", 0 },
	{ "event: stop\ndata: a\n\ndata: b\n\n", "stop=a|", -ECANCELED },
};

static void check(const struct row *row, size_t step)
{
	GString *got = g_string_new(NULL);
	size_t len = strlen(row->text);
	struct event_stream s;
	int r = 0;

	event_stream_init(&s, collect, got);
	for (size_t i = 0; r == 0 && i < len; i += step)
		r = event_stream_feed(&s, row->text + i, MIN(step, len - i));
	if (r == 0)
		r = event_stream_finish(&s);
	assert_int_equal(r, row->result);
	assert_string_equal(got->str, row->got);
	event_stream_release(&s);
	g_string_free(got, TRUE);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		for (size_t step = 1; step <= strlen(rows[i].text) + 1; step++)
			check(&rows[i], step);
}

static void test_limit(void **state)
{
	g_autofree char *long_line = g_strnfill(1 << 20, 'x');
	GString *got = g_string_new(NULL);
	struct event_stream s;
	int r = 0, n = 0;

	(void)state;
	event_stream_init(&s, collect, got);
	while (r == 0 && n++ < 64)
		r = event_stream_feed(&s, long_line, 1 << 20);
	assert_int_equal(r, -EPROTO);
	event_stream_release(&s);
	g_string_free(got, TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
