#include "merge/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* "a b/c" as a manifest of files; each one's size is SIDE. */
static struct manifest *make(const char *paths, int side)
{
	struct manifest *m = manifest_new();
	g_auto(GStrv) each = g_strsplit(paths, " ", -1);

	for (char **p = each; *p; p++) {
		struct entry e = { .path = *p, .type = ENTRY_FILE,
			.size = side };

		if (**p)
			manifest_add(m, &e);
	}
	manifest_sort(m);
	return m;
}

/* "path:sides" of each step, as "a:01 b:1"; SKIP: below it nothing. */
static char *walk(const char *const *texts, unsigned count, const char *skip)
{
	const struct manifest *sides[DIFF_SIDES];
	struct manifest *owned[DIFF_SIDES];
	GString *out = g_string_new(NULL);
	struct diff_step s;
	struct diff d;

	for (unsigned i = 0; i < count; i++)
		sides[i] = owned[i] = texts[i] ? make(texts[i], i) : NULL;
	diff_init_n(&d, sides, count);
	while (diff_next(&d, &s)) {
		g_string_append_printf(out, "%s%s:", out->len ? " " : "",
			s.path);
		for (unsigned i = 0; i < DIFF_SIDES; i++) {
			if (!s.at[i])
				continue;
			assert_string_equal(s.at[i]->path, s.path);
			assert_int_equal(s.at[i]->size, i);
			g_string_append_printf(out, "%u", i);
		}
		assert_ptr_equal(s.a, s.at[0]);
		assert_ptr_equal(s.b, s.at[1]);
		if (skip && strcmp(s.path, skip) == 0)
			diff_skip_below(&d);
	}
	assert_false(diff_next(&d, &s));
	for (unsigned i = 0; i < count; i++)
		manifest_free(owned[i]);
	return g_string_free(out, FALSE);
}

static void steps(void **state)
{
	static const struct {
		const char *sides[DIFF_SIDES];
		unsigned count;
		const char *skip, *want;
	} rows[] = {
		{ { "", "" }, 2, NULL, "" },
		{ { NULL, NULL }, 2, NULL, "" },
		{ { "a b", "" }, 2, NULL, "a:0 b:0" },
		{ { NULL, "a b" }, 2, NULL, "a:1 b:1" },
		{ { "a b", "a b" }, 2, NULL, "a:01 b:01" },
		{ { "a c e", "b c d" }, 2, NULL, "a:0 b:1 c:01 d:1 e:0" },
		{ { "a a/b a-c", "a a-c a0" }, 2, NULL,
			"a:01 a/b:0 a-c:01 a0:1" },
		{ { "a d", "b d", "c d", "d" }, 4, NULL,
			"a:0 b:1 c:2 d:0123" },
		{ { "d", "c d", "b d", "a d" }, 4, NULL,
			"a:3 b:2 c:1 d:0123" },
		{ { "b", "a b", "a", NULL }, 4, NULL, "a:12 b:01" },
		{ { "c", "b", "b", "a" }, 4, NULL, "a:3 b:12 c:0" },
		{ { "a a/b a/b/c a-c b", "a/x a/y b" }, 2, "a",
			"a:0 a-c:0 b:01" },
		{ { "a a/b a/b/c a/c", "a/b/d" }, 2, "a/b",
			"a:0 a/b:0 a/c:0" },
		{ { "a", "a/x", "a/x/y a.b", "a/z" }, 4, "a", "a:0 a.b:2" },
		{ { "a b", "b/c" }, 2, "a", "a:0 b:0 b/c:1" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *got = walk(rows[i].sides, rows[i].count,
			rows[i].skip);

		if (strcmp(got, rows[i].want) != 0)
			fail_msg("row %zu: \"%s\", not \"%s\"", i, got,
				rows[i].want);
	}
}

static void pairs(void **state)
{
	g_autoptr(manifest_auto) a = make("x y", 0);
	g_autoptr(manifest_auto) b = make("y z", 1);
	struct diff_step s = { 0 };
	struct diff d;

	(void)state;
	diff_init(&d, a, b);
	diff_skip_below(&d);
	assert_true(diff_next(&d, &s));
	assert_ptr_equal(s.a, manifest_at(a, 0));
	assert_null(s.b);
	assert_true(diff_next(&d, &s));
	assert_ptr_equal(s.a, manifest_at(a, 1));
	assert_ptr_equal(s.b, manifest_at(b, 0));
	assert_true(diff_next(&d, &s));
	assert_null(s.a);
	assert_false(diff_next(&d, &s));
	assert_string_equal(s.path, "z");
}

#define F(...) { .type = ENTRY_FILE, .mode = 0644, __VA_ARGS__ }
#define H(n) .flags = ENTRY_HASHED, .digest = { { n } }
#define U .flags = ENTRY_UNREADABLE

static void what(void **state)
{
	static const struct {
		struct entry a, b;
		unsigned want;
	} rows[] = {
		{ { 0 }, { 0 }, 0 },
		{ { 0 }, F(), DIFF_ADDED },
		{ F(), { 0 }, DIFF_REMOVED },
		{ F(H(1)), F(H(1)), 0 },
		{ F(H(1)), F(H(2)), DIFF_CONTENT },
		{ F(H(1), .mtime_ns = 1), F(H(2), .mtime_ns = 2),
			DIFF_CONTENT },
		{ F(H(1), .mtime_ns = 1), F(H(1), .mtime_ns = 2), DIFF_MTIME },
		{ F(H(1)), { .type = ENTRY_FILE, .mode = 0600, H(1) },
			DIFF_PERM },
		{ F(H(1)), { .type = ENTRY_FILE, .mode = 04644, H(1) }, 0 },
		{ F(H(1)), { .type = ENTRY_FILE, .mode = 0600, H(2),
				   .mtime_ns = 9 }, DIFF_PERM | DIFF_CONTENT },
		{ F(), F(), DIFF_CONTENT },
		{ F(U), F(H(2)), 0 },
		{ F(H(1)), F(U, .size = 4), 0 },
		{ F(U), { .type = ENTRY_DIR }, DIFF_TYPE },
		{ { .type = ENTRY_DIR, .mode = 0755 },
			{ .type = ENTRY_DIR, .mode = 0700, .mtime_ns = 3 },
			DIFF_PERM },
		{ { .type = ENTRY_LINK, .target = "a" },
			{ .type = ENTRY_LINK, .target = "b", .mode = 0777,
				.mtime_ns = 3 }, DIFF_CONTENT },
		{ { .type = ENTRY_LINK, .target = "a" },
			{ .type = ENTRY_LINK, .target = "a", .mode = 0777,
				.mtime_ns = 3 }, 0 },
		{ { .type = ENTRY_SPECIAL, .mode = 1 },
			{ .type = ENTRY_SPECIAL, .mode = 2 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (diff_what(&rows[i].a, &rows[i].b) != rows[i].want)
			fail_msg("row %zu: %x", i,
				diff_what(&rows[i].a, &rows[i].b));
	assert_int_equal(diff_what(NULL, &rows[1].b), DIFF_ADDED);
	assert_int_equal(diff_what(&rows[2].a, NULL), DIFF_REMOVED);
	assert_int_equal(diff_what(NULL, &rows[0].a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps),
		cmocka_unit_test(pairs),
		cmocka_unit_test(what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
