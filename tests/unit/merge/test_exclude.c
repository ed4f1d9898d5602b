/* One answer to "is this left out?", by tables. */
#include "merge/exclude.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "merge/glob.h"
#include "merge/lib/fail.h"

#include <cmocka.h> /* its macro fail() last */

static void matches_paths(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool is_dir, out;
	} rows[] = {
		/* Unanchored: a component anywhere, and all below it. */
		{ "build", "build", true, true },
		{ "build", "build/x", false, true },
		{ "build", "a/build", false, true },
		{ "build", "a/build/b/c", false, true },
		{ "build", "builds", false, false },
		{ "build", "a/rebuild", false, false },
		{ "build", "Build", false, false },
		{ "*.o", "a/b.o", false, true },
		{ "*.o", "a.o/b", false, true },
		{ "*.o", ".o", false, true },
		{ "*.o", "a.oo", false, false },
		{ "a?c", "abc", false, true },
		{ "a?c", "ac", false, false },
		{ "[a-c]x", "bx", false, true },
		{ "[!a-c]x", "bx", false, false },
		{ "[!a-c]x", "dx", false, true },
		{ "**", "any/thing", false, true },
		{ "a**b", "axyb", false, true },
		/* Anchored: from the root only. */
		{ "/build", "build", true, true },
		{ "/build", "a/build", false, false },
		{ "./build", "build/x", false, true },
		{ "build/out", "build/out", true, true },
		{ "build/out", "build/out/x/y", false, true },
		{ "build/out", "a/build/out", false, false },
		{ "**/build/out", "a/build/out", false, true },
		{ "a/*/c", "a/b/c", false, true },
		{ "a/*/c", "a/b/b/c", false, false },
		{ "a/**/c", "a/b/b/c", false, true },
		{ "a/?", "a/b/c", false, true },
		{ "a?b/x", "a/b/x", false, false },
		{ "a[/]b", "a/b", false, false },
		/* Directories only. */
		{ "tmp/", "tmp", true, true },
		{ "tmp/", "tmp", false, false },
		{ "tmp/", "a/tmp/x", false, true },
		{ "a/tmp/", "a/tmp", false, false },
		/* Quoting, and names that are bytes. */
		{ "\\*", "*", false, true },
		{ "\\*", "a", false, false },
		{ "a\\/b", "a/b", false, true },
		{ "[", "[", false, true },
		{ "caf\xe9", "caf\xe9", false, true },
		{ "?", "\xe9", false, true },
		{ "a b", "a b", false, true },
		{ "a\nb", "x/a\nb/y", false, true },
		{ "#x", "#x", false, true },
		{ "!x", "!x", false, true },
		{ "!x", "x", false, false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(exclude_auto) x = exclude_new();

		assert_int_equal(exclude_add(x, rows[i].pattern, NULL), 0);
		if (exclude_match(x, rows[i].path, rows[i].is_dir) !=
			rows[i].out)
			fail_msg("row %zu: '%s' on '%s'", i, rows[i].pattern,
				rows[i].path);
	}
}

static void refuses_patterns(void **state)
{
	static const char *const bad[] = { "", "/", ".", "./", "//", "..",
		"a/../b", "../x", "x/.." };
	g_autofree char *longer = g_strnfill(4097, 'x');
	g_autofree char *longest = g_strnfill(4096, 'x');
	g_autoptr(exclude_auto) x = exclude_new();
	g_autoptr(GError) err = NULL;

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) why = NULL;

		if (exclude_add(x, bad[i], &why) == 0)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(why->code, FAIL_USAGE);
	}
	assert_true(exclude_add(x, longer, &err) < 0);
	assert_int_equal(exclude_add(x, longest, NULL), 0);
	assert_false(exclude_match(x, "x", false));
}

static void nothing_is_left_out_by_nothing(void **state)
{
	g_autoptr(exclude_auto) x = exclude_new();

	(void)state;
	assert_false(exclude_match(NULL, "a/b", false));
	assert_false(exclude_match(x, "a/b", false));
	assert_null(exclude_literal_names(x)[0]);
}

static void reserved_names_are_the_tops(void **state)
{
	g_autoptr(exclude_auto) x = exclude_new();

	(void)state;
	exclude_add_reserved(x, ".sandmount");
	assert_true(exclude_match(x, ".sandmount", true));
	assert_true(exclude_match(x, ".sandmount/a/b", false));
	assert_false(exclude_match(x, "a/.sandmount", true));
	assert_false(exclude_match(x, ".sandmount2", true));
}

/* A listing may prune only what is left out whatever its type. */
static void tells_literal_names(void **state)
{
	static const char *const patterns[] = { "node_modules", "*.o", "tmp/",
		"/top", "a/b", "\\*star", "node_modules", "both/", "both" };
	static const char *const want[] = { "node_modules", "*star", "both" };
	g_autoptr(exclude_auto) x = exclude_new();
	const char *const *names;

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++)
		assert_int_equal(exclude_add(x, patterns[i], NULL), 0);
	names = exclude_literal_names(x);
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++)
		assert_string_equal(names[i], want[i]);
	assert_null(names[G_N_ELEMENTS(want)]);
}

static void reads_files(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		int line; /* of the error; 0: none */
	} rows[] = {
#define TEXT(t) t, sizeof(t) - 1
		{ TEXT(""), 0 },
		{ TEXT("# comment\n\na\r\n*.o\n"), 0 },
		{ TEXT("a\nb\n../c\n"), 3 },
		{ TEXT("a\n\0\n"), 2 },
		{ TEXT("a\0b"), 1 },
	};
	g_autofree char *name = NULL;
	int fd = g_file_open_tmp("exclude-XXXXXX", &name, NULL);

	(void)state;
	close(fd);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(exclude_auto) x = exclude_new();
		g_autoptr(GError) err = NULL;
		g_autofree char *where =
			g_strdup_printf("line %d:", rows[i].line);

		assert_true(g_file_set_contents(name, rows[i].text,
			(gssize)rows[i].len, NULL));
		assert_int_equal(exclude_add_file(x, name, &err) < 0,
			rows[i].line != 0);
		if (err && !strstr(err->message, where))
			fail_msg("row %zu: %s", i, err->message);
		if (i == 1) {
			assert_true(exclude_match(x, "a", false));
			assert_true(exclude_match(x, "b.o", false));
			assert_false(exclude_match(x, "# comment", false));
		}
	}
	unlink(name);
	g_autoptr(exclude_auto) x = exclude_new();
	g_autoptr(GError) err = NULL;

	assert_true(exclude_add_file(x, name, &err) < 0);
	assert_int_equal(err->code, FAIL_USAGE);
}

/* Stars must not cost exponential time: this ends at once or never. */
static void many_stars_end(void **state)
{
	g_autofree char *text = g_strnfill(4000, 'a');
	g_autoptr(GString) pattern = g_string_new(NULL);
	struct glob *g;

	(void)state;
	for (int i = 0; i < 1000; i++)
		g_string_append(pattern, "a*");
	g_string_append_c(pattern, 'b');
	g = glob_new(pattern->str);
	assert_false(glob_match(g, text, 4000));
	glob_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_paths),
		cmocka_unit_test(refuses_patterns),
		cmocka_unit_test(nothing_is_left_out_by_nothing),
		cmocka_unit_test(reserved_names_are_the_tops),
		cmocka_unit_test(tells_literal_names),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(many_stars_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
