/* The records that the scripts print. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/listing.h"

#define T "2026-01-02 03:04:05.123456789 +0000 "

static void records(void **state)
{
	static const struct {
		const char *text;
		bool delta;
		int result;
		char kind, sign;
		enum entry_type type;
		unsigned mode;
		int64_t size;
		const char *path, *target;
	} rows[] = {
		{ "E 81a4 12 " T T "7 ./a b\nZ\n", false, 1, 'E', 0,
			ENTRY_FILE, 0644, 12, "a b", NULL },
		/* Whole seconds, as busybox prints them. */
		{ "E 41ed 4096 2026-01-02 03:04:05 +0000 2026-01-02 03:04:05 "
		  "+0000 7 ./d\nZ\n", false, 1, 'E', 0, ENTRY_DIR, 0755, 0,
			"d", NULL },
		{ "E a1ff 3 " T T "7 ./l\nZ\n", false, 1, 'E', 0, ENTRY_LINK,
			0777, 0, "l", NULL },
		{ "E 11a4 0 " T T "7 ./fifo\nZ\n", false, 1, 'E', 0,
			ENTRY_SPECIAL, 0644, 0, "fifo", NULL },
		{ "E 89ed 1 " T T "7 ./suid\nZ\n", false, 1, 'E', 0,
			ENTRY_FILE, 04755, 1, "suid", NULL },
		/* A name with a newline goes on. */
		{ "E 81a4 1 " T T "7 ./a\nb\nZ\n", false, 1, 'E', 0,
			ENTRY_FILE, 0644, 1, "a\nb", NULL },
		{ "E 81a4 1 " T T "7 ./\xff\xfe\nZ\n", false, 1, 'E', 0,
			ENTRY_FILE, 0644, 1, "\xff\xfe", NULL },
		{ "L ./l//../x y\nZ\n", false, 1, 'L', 0, ENTRY_ABSENT, 0, 0,
			"l", "../x y" },
		{ "L ./l//\nZ\n", false, 1, 'L', 0, ENTRY_ABSENT, 0, 0, "l",
			"" },
		{ "D 41c0 ./d\nZ\n", false, 1, 'D', 0, ENTRY_DIR, 0700, 0, "d",
			NULL },
		{ "U ./closed\nZ\n", false, 1, 'U', 0, ENTRY_ABSENT, 0, 0,
			"closed", NULL },
		{ "X why not\nZ\n", false, 1, 'X', 0, ENTRY_ABSENT, 0, 0, NULL,
			"why not" },
		{ "+E 81a4 1 " T T "7 ./n\nZ\n", true, 1, 'E', '+',
			ENTRY_FILE, 0644, 1, "n", NULL },
		{ "-E 81a4 1 " T T "7 ./o\nZ\n", true, 1, 'E', '-',
			ENTRY_FILE, 0644, 1, "o", NULL },
		{ "Z\n", false, 0, 0, 0, ENTRY_ABSENT, 0, 0, NULL, NULL },
		/* Cut off anywhere, it is no listing. */
		{ "", false, -EPROTO, 0, 0, 0, 0, 0, NULL, NULL },
		{ "Z", false, -EPROTO, 0, 0, 0, 0, 0, NULL, NULL },
		{ "E 81a4 1 " T T "7 ./a", false, -EPROTO, 0, 0, 0, 0, 0, NULL,
			NULL },
		{ "E 81a4 1\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0, NULL, NULL },
		/* Outside the workspace. */
		{ "E 81a4 1 " T T "7 ./../a\nZ\n", false, -EPROTO, 0, 0, 0, 0,
			0, NULL, NULL },
		{ "E 81a4 1 " T T "7 /etc/passwd\nZ\n", false, -EPROTO, 0, 0,
			0, 0, 0, NULL, NULL },
		{ "E 81a4 1 " T T "7 .//a\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0,
			NULL, NULL },
		{ "E 81a4 1 " T T "7 ./\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0,
			NULL, NULL },
		{ "U ./a/../b\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0, NULL,
			NULL },
		/* Numbers that are none, or too great. */
		{ "E 81a4 -1 " T T "7 ./a\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0,
			NULL, NULL },
		{ "E 81a4 9223372036854775808 " T T "7 ./a\nZ\n", false,
			-EPROTO, 0, 0, 0, 0, 0, NULL, NULL },
		{ "E 81a4 99999999999999999999999 " T T "7 ./a\nZ\n", false,
			-EPROTO, 0, 0, 0, 0, 0, NULL, NULL },
		{ "E zz 1 " T T "7 ./a\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0,
			NULL, NULL },
		{ "E 81a4 1 yesterday " T "7 ./a\nZ\n", false, -EPROTO, 0, 0,
			0, 0, 0, NULL, NULL },
		/* Signs only in a delta, and there always. */
		{ "+E 81a4 1 " T T "7 ./a\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0,
			NULL, NULL },
		{ "E 81a4 1 " T T "7 ./a\nZ\n", true, -EPROTO, 0, 0, 0, 0, 0,
			NULL, NULL },
		{ "Q 81a4\nZ\n", false, -EPROTO, 0, 0, 0, 0, 0, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *at = rows[i].text;
		size_t left = strlen(at);
		struct record r;
		int got = record_parse(&at, &left, rows[i].delta, &r);

		if (got != rows[i].result)
			fail_msg("%s: %d", rows[i].text, got);
		if (got != 1)
			continue;
		assert_int_equal(r.kind, rows[i].kind);
		assert_int_equal(r.sign, rows[i].sign);
		assert_int_equal(r.e.type, rows[i].type);
		assert_int_equal(r.e.mode, rows[i].mode);
		assert_int_equal(r.e.size, rows[i].size);
		if (rows[i].path)
			assert_string_equal(r.path, rows[i].path);
		if (rows[i].target)
			assert_string_equal(r.target, rows[i].target);
		assert_string_equal(at, "Z\n");
		record_clear(&r);
		assert_int_equal(record_parse(&at, &left, rows[i].delta, &r),
			0);
	}
}

/* What is formatted is parsed to the same, times before 1970 included. */
static void there_and_back(void **state)
{
	static const int64_t times[] = { 0, 1, 1767323045123456789, -1,
		-1500000000, INT64_C(4102444800000000000) };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
		const struct entry e = { .type = ENTRY_FILE, .mode = 0751,
			.size = 1 + (int64_t)i, .mtime_ns = times[i],
			.ctime_ns = times[G_N_ELEMENTS(times) - 1 - i],
			.ino = UINT64_MAX - i };
		g_autoptr(GString) text = g_string_new(NULL);
		const char *at;
		size_t left;
		struct record r;

		record_format(text, &e, "d/f\n1");
		g_string_append(text, "Z\n");
		at = text->str;
		left = text->len;
		assert_int_equal(record_parse(&at, &left, false, &r), 1);
		assert_string_equal(r.path, "d/f\n1");
		assert_int_equal(r.e.mode, e.mode);
		assert_int_equal(r.e.size, e.size);
		assert_int_equal(r.e.mtime_ns, e.mtime_ns);
		assert_int_equal(r.e.ctime_ns, e.ctime_ns);
		assert_int_equal(r.e.ino, e.ino);
		record_clear(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
