/* Workspace paths: what is one, their order, how they are shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/path.h"

static void what_is_a_path(void **state)
{
	static const struct {
		const char *path;
		int result;
	} rows[] = {
		{ "a", 0 }, { "a/b", 0 }, { "...", 0 }, { "..a/.b", 0 },
		{ "-rf", 0 }, { "a b\n\x1b[2J", 0 }, { "\xff\xfe", 0 },
		{ "", -EINVAL }, { "/", -EINVAL }, { "/a", -EINVAL },
		{ "a/", -EINVAL }, { "a//b", -EINVAL }, { ".", -EINVAL },
		{ "..", -EINVAL }, { "a/..", -EINVAL }, { "../a", -EINVAL },
		{ "a/./b", -EINVAL }, { "./a", -EINVAL },
	};
	g_autofree char *name = g_strnfill(NAME_LIMIT + 1, 'n');
	g_autofree char *deep = g_strnfill(PATH_LIMIT + 1, 'p');

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (path_check(rows[i].path, strlen(rows[i].path)) !=
			rows[i].result)
			fail_msg("\"%s\"", rows[i].path);
	assert_int_equal(path_check("a\0b", 3), -EINVAL);
	assert_int_equal(path_check(name, NAME_LIMIT), 0);
	assert_int_equal(path_check(name, NAME_LIMIT + 1), -ENAMETOOLONG);
	for (size_t i = 100; i < PATH_LIMIT; i += 100)
		deep[i] = '/';
	assert_int_equal(path_check(deep, PATH_LIMIT), 0);
	assert_int_equal(path_check(deep, PATH_LIMIT + 1), -ENAMETOOLONG);
}

/* A directory is followed by all that is below it, whatever its siblings'
 * names begin with. */
static void order(void **state)
{
	static const char *const sorted[] = { "", "a", "a/\x01", "a/b",
		"a/b/c", "a\x01", "a!", "a.c", "a0", "ab", "b", "\xff" };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(sorted); i++)
		for (size_t j = 0; j < G_N_ELEMENTS(sorted); j++) {
			int want = (i > j) - (i < j);

			if (path_compare(sorted[i], sorted[j]) != want)
				fail_msg("\"%s\", \"%s\"", sorted[i],
					sorted[j]);
		}
}

static void parts(void **state)
{
	g_autofree char *up = path_parent("a/b/c");
	g_autofree char *top = path_parent("a");
	g_autofree char *in = path_join("a", "b");
	g_autofree char *at_top = path_join("", "b");

	(void)state;
	assert_string_equal(up, "a/b");
	assert_string_equal(top, "");
	assert_string_equal(in, "a/b");
	assert_string_equal(at_top, "b");
	assert_string_equal(path_name("a/b/c"), "c");
	assert_string_equal(path_name("c"), "c");
	assert_true(path_is_within("a/b", "a"));
	assert_true(path_is_within("a", "a"));
	assert_true(path_is_within("a", ""));
	assert_false(path_is_within("ab", "a"));
	assert_false(path_is_within("a", "a/b"));
}

static void rebased(void **state)
{
	static const struct {
		const char *path, *from, *to, *want;
	} rows[] = {
		{ "a/b/c", "a", "x", "x/b/c" },
		{ "a/b/c", "a/b", "x", "x/c" },
		{ "a", "a", "x/y", "x/y" },
		{ "a/b", "a", "", "b" },
		{ "a/b", "", "x", "x/a/b" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *got = path_rebase(
			rows[i].path, rows[i].from, rows[i].to);

		assert_string_equal(got, rows[i].want);
	}
}

/* Nothing shown drives a terminal, and no two names are shown alike. */
static void shown(void **state)
{
	static const struct {
		const char *path, *want;
	} rows[] = {
		{ "plain/name", "plain/name" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "a\nb\tc\rd", "a\\nb\\tc\\rd" },
		{ "\x1b[31m", "\\x1B[31m" },
		{ "\xc2\x9b" "31m", "\\xC2\\x9B31m" },
		{ "\\x1B[31m", "\\\\x1B[31m" },
		{ "\xff", "\\xFF" },
		{ "\xc3", "\\xC3" },
		{ "\x7f", "\\x7F" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *got = path_display(rows[i].path);

		assert_string_equal(got, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_path),
		cmocka_unit_test(order),
		cmocka_unit_test(parts),
		cmocka_unit_test(rebased),
		cmocka_unit_test(shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
