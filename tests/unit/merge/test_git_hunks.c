/* Two texts taken apart and put together again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/apply.h"
#include "merge/git_hunks.h"

static struct git_hunks *hunks_of(const char *before, const char *after)
{
	GBytes *a = g_bytes_new(before, strlen(before));
	GBytes *b = g_bytes_new(after, strlen(after));
	struct git_hunks *h = git_hunks_new(a, b);

	g_bytes_unref(a);
	g_bytes_unref(b);
	return h;
}

static void expect(const struct git_hunks *h, const bool *taken,
	const char *want)
{
	GBytes *got = git_hunks_take(h, taken);
	gsize n;
	const char *data = g_bytes_get_data(got, &n);
	g_autofree char *text = g_strndup(n ? data : "", n);

	assert_string_equal(text, want);
	g_bytes_unref(got);
}

/* What is taken of it: bit I of TAKE is change I. */
static const struct row {
	const char *before, *after;
	size_t count;
	unsigned take;
	const char *want;
} rows[] = {
	{ "a\nb\nc\n", "A\nb\nC\n", 2, 1, "A\nb\nc\n" },
	{ "a\nb\nc\n", "A\nb\nC\n", 2, 2, "a\nb\nC\n" },
	/* Lines that come first, last, in between; lines that go. */
	{ "b\nd\n", "a\nb\nc\nd\ne\n", 3, 5, "a\nb\nd\ne\n" },
	{ "b\nd\n", "a\nb\nc\nd\ne\n", 3, 2, "b\nc\nd\n" },
	{ "a\nb\nc\nd\n", "b\nd\n", 2, 2, "a\nb\nd\n" },
	{ "", "a\n", 1, 0, "" },
	{ "a\n", "", 1, 0, "a\n" },
	/* No last newline: of one, of the other, of both. */
	{ "a\nb\nc", "A\nb\nc\n", 2, 1, "A\nb\nc" },
	{ "a\nb\nc", "A\nb\nc\n", 2, 2, "a\nb\nc\n" },
	{ "a\nb\nc\n", "A\nb\nC", 2, 2, "a\nb\nC" },
	{ "a\nb\nc", "A\nb\nC", 2, 1, "A\nb\nc" },
	{ "a\r\nb\r\nc\r\n", "A\r\nb\r\nC\r\n", 2, 1, "A\r\nb\r\nc\r\n" },
	{ "\xff\nb\n\xfe\n", "\xfd\nb\n\xfc\n", 2, 2, "\xff\nb\n\xfc\n" },
	{ "same\n", "same\n", 0, 0, "same\n" },
};

static void table(void **state)
{
	const bool all[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, none[8] = { 0 };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct row *r = &rows[i];
		g_autoptr(git_hunks_auto) h = hunks_of(r->before, r->after);
		bool taken[8] = { 0 };

		assert_non_null(h);
		assert_int_equal(git_hunks_count(h), r->count);
		for (unsigned k = 0; k < r->count; k++)
			taken[k] = r->take >> k & 1;
		expect(h, taken, r->want);
		expect(h, all, r->after);
		expect(h, none, r->before);
	}
}

static char *numbered(unsigned n, unsigned changed)
{
	GString *s = g_string_new(NULL);

	for (unsigned i = 1; i <= n; i++)
		g_string_append_printf(
			s, "%s%u\n", changed >> i & 1 ? "x" : "", i);
	return g_string_free(s, FALSE);
}

/* Shown as git shows them: changes six lines apart are one hunk, seven lines
 * are two. */
static void shown(void **state)
{
	g_autofree char *before = numbered(24, 0);
	g_autofree char *after = numbered(24, 1u << 2 | 1u << 9 | 1u << 17);
	g_autoptr(git_hunks_auto) h = hunks_of(before, after);

	(void)state;
	assert_int_equal(git_hunks_count(h), 3);
	assert_int_equal(git_hunks_end(h, 0), 2);
	assert_int_equal(git_hunks_end(h, 2), 3);
	g_autofree char *both = git_hunks_text(h, 0, 2);
	g_autofree char *one = git_hunks_text(h, 1, 2);
	g_autofree char *last = git_hunks_text(h, 2, 3);

	assert_string_equal(both, "@@ -1,12 +1,12 @@\n 1\n-2\n+x2\n 3\n 4\n "
		"5\n 6\n 7\n 8\n-9\n+x9\n 10\n 11\n 12\n");
	assert_string_equal(one, "@@ -6,7 +6,7 @@\n 6\n 7\n 8\n-9\n+x9\n 10\n "
		"11\n 12\n");
	assert_string_equal(last, "@@ -14,7 +14,7 @@\n 14\n 15\n 16\n-17\n"
		"+x17\n 18\n 19\n 20\n");
}

static void headers(void **state)
{
	g_autoptr(git_hunks_auto) added = hunks_of("", "a\n");
	g_autoptr(git_hunks_auto) gone = hunks_of("a", "");
	g_autofree char *plus = git_hunks_text(added, 0, 1);
	g_autofree char *minus = git_hunks_text(gone, 0, 1);

	(void)state;
	assert_string_equal(plus, "@@ -0,0 +1 @@\n+a\n");
	assert_string_equal(minus, "@@ -1 +0,0 @@\n-a\n"
		"\\ No newline at end of file\n");
}

static void no_text(void **state)
{
	g_autofree char *much = g_strnfill(TEXT_MERGE_LIMIT + 1, 'x');
	GBytes *nul = g_bytes_new("a\0b", 3), *text = g_bytes_new("a", 1);
	GBytes *big = g_bytes_new(much, TEXT_MERGE_LIMIT + 1);

	(void)state;
	assert_null(git_hunks_new(nul, text));
	assert_null(git_hunks_new(text, nul));
	assert_null(git_hunks_new(text, big));
	g_bytes_unref(nul);
	g_bytes_unref(text);
	g_bytes_unref(big);
}

/* All pairs of texts of up to five lines out of two, and each choice: what is
 * taken in two steps is what is taken at once. */
static void choices(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 64; a++) {
		for (unsigned b = 0; b < 64; b++) {
			char x[16] = "", y[16] = "";

			for (unsigned k = a; k > 1; k >>= 1)
				strcat(x, k & 1 ? "p\n" : "q\n");
			for (unsigned k = b; k > 1; k >>= 1)
				strcat(y, k & 1 ? "p\n" : "q\n");
			g_autoptr(git_hunks_auto) h = hunks_of(x, y);
			bool taken[8] = { 0 }, all[8];

			memset(all, 1, sizeof(all));
			expect(h, taken, x);
			expect(h, all, y);
			for (size_t i = 0; i < git_hunks_count(h); i++)
				taken[i] = i % 2;
			GBytes *some = git_hunks_take(h, taken);
			gsize n;
			const char *d = g_bytes_get_data(some, &n);
			g_autofree char *z = g_strndup(n ? d : "", n);
			g_autoptr(git_hunks_auto) rest = hunks_of(z, y);

			expect(rest, all, y);
			g_bytes_unref(some);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table), cmocka_unit_test(shown),
		cmocka_unit_test(headers), cmocka_unit_test(no_text),
		cmocka_unit_test(choices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
