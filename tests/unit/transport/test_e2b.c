/* Connect frames and process events, whole, in pieces, and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include "transport/connect_frames.h"
#include "transport/e2b.h"

#include <cmocka.h>

static int collect(void *ctx, const char *text, size_t len)
{
	GString *s = ctx;

	g_string_append_len(s, text, (gssize)len);
	g_string_append_c(s, '|');
	return memmem(text, len, "stop", 4) ? -ECANCELED : 0;
}

#define M(text) "\0\0\0\0" text
static const struct frames_row {
	const char *bytes;
	size_t len;
	const char *got;
	int result;
	bool ended;
	const char *code, *why;
} frame_rows[] = {
#define ROW(b) (b), sizeof(b) - 1
	{ ROW(M("\002{}")), "{}|", 0, false, NULL, NULL },
	{ ROW(M("\002{}") M("\003abc") "\002\0\0\0\002{}"), "{}|abc|", 0, true,
		NULL, NULL },
	{ ROW("\002\0\0\0\043{\"error\":{\"code\":\"internal\",\"x\":1}}"), "",
		0, true, "internal", NULL },
	{ ROW("\002\0\0\0\047{\"error\":{\"code\":\"a\",\"message\":\"be\"}}  "),
		"", 0, true, "a", "be" },
	{ ROW("\002\0\0\0\014{\"error\":{}}"), "", 0, true, "unknown", NULL },
	{ ROW("\002\0\0\0\014{\"error\":{"), "", 0, false, NULL, NULL },
	{ ROW("\002\0\0\0\002[]"), "", -EPROTO, true, NULL, NULL },
	{ ROW("\002\0\0\0\003{}}"), "", -EPROTO, true, NULL, NULL },
	{ ROW("\002\0\0\0\002{}\0"), "", -EPROTO, true, NULL, NULL },
	{ ROW("\001\0\0\0\001x"), "", -EPROTO, false, NULL, NULL },
	{ ROW("\200\0\0\0\001x"), "", -EPROTO, false, NULL, NULL },
	{ ROW("\0\002\0\0\0"), "", -EPROTO, false, NULL, NULL },
	{ ROW("\0\377\377\377\377"), "", -EPROTO, false, NULL, NULL },
	{ ROW(M("\004stop") M("\001x")), "stop|", -ECANCELED, false, NULL,
		NULL },
	{ ROW(M("")), "", 0, false, NULL, NULL },
	{ ROW(M("\0")), "|", 0, false, NULL, NULL },
	{ "", 0, "", 0, false, NULL, NULL },
};

static void check_frames(const struct frames_row *row, size_t step)
{
	GString *got = g_string_new(NULL);
	struct connect_frames f;
	int r = 0;

	connect_frames_init(&f, collect, got);
	for (size_t i = 0; r == 0 && i < row->len; i += step)
		r = connect_frames_feed(
			&f, row->bytes + i, MIN(step, row->len - i));
	assert_int_equal(r, row->result);
	assert_string_equal(got->str, row->got);
	assert_int_equal(f.ended, row->ended);
	assert_int_equal(g_strcmp0(f.code, row->code), 0);
	assert_int_equal(g_strcmp0(f.why, row->why), 0);
	connect_frames_release(&f);
	g_string_free(got, TRUE);
}

static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(frame_rows); i++)
		for (size_t step = 1; step <= frame_rows[i].len + 1; step++)
			check_frames(&frame_rows[i], step);
}

static void test_put(void **state)
{
	GByteArray *out = g_byte_array_new();
	GString *got = g_string_new(NULL);
	struct connect_frames f;

	(void)state;
	connect_frames_init(&f, collect, got);
	connect_frames_put(out, "{\"a\":1}", 7);
	connect_frames_put(out, "", 0);
	assert_int_equal(connect_frames_feed(&f, out->data, out->len), 0);
	assert_string_equal(got->str, "{\"a\":1}||");
	connect_frames_release(&f);
	g_string_free(got, TRUE);
	g_byte_array_free(out, TRUE);
}

static void test_bytes(void **state)
{
	static const struct {
		const char *text, *bytes;
	} rows[] = {
		{ "", "" }, { "YQ==", "a" }, { "YQ", "a" }, { "YWI=", "ab" },
		{ "YWI", "ab" }, { "YWJj", "abc" }, { "/+++", "\xff\xef\xbe" },
		{ "_-++", "\xff\xef\xbe" }, { "_w", "\xff" },
		{ "Y", NULL }, { "YWJjZ", NULL }, { "Y Q=", NULL },
		{ "YQ\n=", NULL }, { "Y=Q=", NULL }, { "!!!!", NULL },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		gsize len = 0;
		g_autofree guchar *raw = connect_bytes(rows[i].text, &len);

		print_message("'%s'\n", rows[i].text);
		assert_int_equal(raw == NULL, rows[i].bytes == NULL);
		if (!raw)
			continue;
		assert_int_equal(len, strlen(rows[i].bytes));
		assert_memory_equal(raw, rows[i].bytes, len);
	}
}

/* --- events --------------------------------------------------------------- */

static int gather(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

static const struct event_row {
	const char *text;
	int result;
	const char *out;
	int64_t pid;
	bool ended;
	int status;
	bool ping;
} event_rows[] = {
	{ "{\"event\":{\"start\":{\"pid\":42}}}", 0, "", 42, false, 0, false },
	{ "{ \"event\": {\"data\": {\"stdout\": \"aGVsbG8K\"}}}", 0, "hello\n",
		0, false, 0, false },
	{ "{\"event\":{\"data\":{\"stderr\":\"aGVsbG8K\"}}}", 0, "", 0, false,
		0, false },
	{ "{\"event\":{\"data\":{\"pty\":\"aGVsbG8K\"}}}", 0, "", 0, false, 0,
		false },
	{ "{\"event\":{\"data\":{}}}", 0, "", 0, false, 0, false },
	{ "{\"event\":{\"keepalive\":{}}}", 0, "", 0, false, 0, true },
	{ "{\"event\":{\"later\":{}}}", 0, "", 0, false, 0, false },
	{ "{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}",
		0, "", 0, true, 0, false },
	{ "{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true}}}", 0, "", 0,
		true, 3, false },
	{ "{\"event\":{\"end\":{\"exitCode\":143}}}", 0, "", 0, true, 143,
		false },
	{ "{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: killed\"}}}",
		0, "", 0, true, 137, false },
	{ "{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: aborted "
	  "(core dumped)\"}}}", 0, "", 0, true, 134, false },
	{ "{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"?\"}}}", 0, "", 0,
		true, 255, false },
	{ "{\"event\":{\"end\":{}}}", 0, "", 0, true, 255, false },
	{ "{\"event\":{\"end\":7}}", -EPROTO, "", 0, false, 0, false },
	{ "{\"event\":{\"end\":{\"exitCode\":\"x\"}}}", -EPROTO, "", 0, false,
		0, false },
	{ "{\"event\":{\"start\":{\"pid\":-1}}}", -EPROTO, "", 0, false, 0,
		false },
	{ "{\"event\":{\"start\":{}}}", -EPROTO, "", 0, false, 0, false },
	{ "{\"event\":{\"data\":{\"stdout\":\"a b\"}}}", -EPROTO, "", 0, false,
		0, false },
	{ "{\"event\":[]}", -EPROTO, "", 0, false, 0, false },
	{ "{}", -EPROTO, "", 0, false, 0, false },
	{ "[]", -EPROTO, "", 0, false, 0, false },
	{ "", -EPROTO, "", 0, false, 0, false },
	{ "\xff", -EPROTO, "", 0, false, 0, false },
};

static void test_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(event_rows); i++) {
		const struct event_row *row = &event_rows[i];
		GString *got = g_string_new(NULL);
		struct sink out = { .write = gather, .ctx = got };
		struct e2b_run run = { .out = &out };
		bool ping;

		print_message("%s\n", row->text);
		assert_int_equal(e2b_take_event(&run, row->text,
			strlen(row->text), &ping), row->result);
		assert_string_equal(got->str, row->out);
		assert_int_equal(run.pid, row->pid);
		assert_int_equal(run.ended, row->ended);
		assert_int_equal(run.status, row->status);
		assert_int_equal(ping, row->ping);
		g_string_free(got, TRUE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
