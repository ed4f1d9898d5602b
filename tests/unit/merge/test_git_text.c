/* Three texts, one result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/apply.h"
#include "merge/git_text.h"

static const struct row {
	const char *base, *ours, *theirs;
	int result;
	const char *merged;
} rows[] = {
	{ "a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n",
		GIT_TEXT_MERGED, "A\nb\nc\nd\nE\n" },
	{ "a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n", GIT_TEXT_CONFLICT, NULL },
	/* The same on both sides is no conflict. */
	{ "a\nb\nc\n", "a\nX\nc\n", "a\nX\nc\n", GIT_TEXT_MERGED,
		"a\nX\nc\n" },
	{ "a\nb\nc\nd\n", "a\nc\nd\n", "a\nb\nc\nd\ne\n", GIT_TEXT_MERGED,
		"a\nc\nd\ne\n" },
	/* Line endings, and the lack of a last one, stay. */
	{ "a\r\nb\r\nc\r\nd\r\n", "A\r\nb\r\nc\r\nd\r\n",
		"a\r\nb\r\nc\r\nD\r\n", GIT_TEXT_MERGED,
		"A\r\nb\r\nc\r\nD\r\n" },
	{ "a\nb\nc\nd", "A\nb\nc\nd", "a\nb\nc\nD", GIT_TEXT_MERGED,
		"A\nb\nc\nD" },
	/* Any encoding. */
	{ "\xff\nb\nc\nd\n", "\xff\xfe\nb\nc\nd\n", "\xff\nb\nc\n\xe9\n",
		GIT_TEXT_MERGED, "\xff\xfe\nb\nc\n\xe9\n" },
	/* Nothing on a side. */
	{ "", "", "x\n", GIT_TEXT_MERGED, "x\n" },
	{ "", "", "", GIT_TEXT_MERGED, "" },
	{ "", "a\n", "b\n", GIT_TEXT_CONFLICT, NULL },
	{ "a\n", "", "b\n", GIT_TEXT_CONFLICT, NULL },
	/* What looks like a marker is text. */
	{ "<<<<<<< x\nb\nc\nd\n", "<<<<<<< y\nb\nc\nd\n",
		"<<<<<<< x\nb\nc\n>>>>>>> z\n", GIT_TEXT_MERGED,
		"<<<<<<< y\nb\nc\n>>>>>>> z\n" },
};

static GBytes *bytes(const char *text)
{
	return g_bytes_new(text, strlen(text));
}

static void texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		g_autoptr(GBytes) base = bytes(row->base);
		g_autoptr(GBytes) ours = bytes(row->ours);
		g_autoptr(GBytes) theirs = bytes(row->theirs);
		g_autoptr(GBytes) out = NULL;
		gsize n = 0;
		const void *got;

		assert_int_equal(git_text_merge(base, ours, theirs, &out),
			row->result);
		if (!row->merged) {
			assert_null(out);
			continue;
		}
		got = g_bytes_get_data(out, &n);
		assert_int_equal(n, strlen(row->merged));
		assert_memory_equal(n ? got : "", row->merged, n);
	}
}

/* On any of the three sides. */
static void what_is_no_text(void **state)
{
	g_autofree char *large = g_malloc(TEXT_MERGE_LIMIT + 1);
	GBytes *odd[] = {
		g_bytes_new("a\0b\n", 4),
		g_bytes_new(memset(large, '\n', TEXT_MERGE_LIMIT + 1),
			TEXT_MERGE_LIMIT + 1),
	};
	g_autoptr(GBytes) text = bytes("a\n");

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(odd); i++) {
		for (size_t side = 0; side < 3; side++) {
			GBytes *in[] = { text, text, text };
			GBytes *out = NULL;

			in[side] = odd[i];
			assert_int_equal(git_text_merge(in[0], in[1], in[2],
						 &out), GIT_TEXT_BINARY);
			assert_null(out);
		}
		g_bytes_unref(odd[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(what_is_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
