#include "merge/manifest.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "merge/lib/path.h"

static void add(struct manifest *m, const char *path, int64_t size)
{
	struct entry e = { .path = path, .type = ENTRY_FILE, .size = size };

	manifest_add(m, &e);
}

/* In the order of a manifest: '/' before all other bytes. */
static const char *const sorted[] = {
	"\x01", " ", "a", "a/\x01", "a/b", "a/b/c", "a/b-c", "a/z", "a\x01",
	"a b", "a!", "a-b", "a-b/c", "a.c", "a0", "aa", "b", "ba/c", "b\xff",
	"\x80", "\xff/\xff",
};

static void check_sorted(const struct manifest *m)
{
	assert_int_equal(manifest_count(m), G_N_ELEMENTS(sorted));
	for (size_t i = 0; i < G_N_ELEMENTS(sorted); i++) {
		const struct entry *e = manifest_at(m, i);

		assert_string_equal(e->path, sorted[i]);
		assert_int_equal(e->size, i);
		assert_ptr_equal(manifest_find(m, sorted[i]), e);
		assert_int_equal(manifest_lower_bound(m, sorted[i]), i);
	}
}

static void sorts_any_order(void **state)
{
	size_t n = G_N_ELEMENTS(sorted);

	(void)state;
	/* Steps prime to n visit each once: in order, backwards, scattered. */
	for (size_t step = 1; step < n; step++) {
		g_autoptr(manifest_auto) m = manifest_new();

		if (n % step == 0 && step > 1)
			continue;
		if (step % 3 == 0 || step % 7 == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			add(m, sorted[i * step % n], i * step % n);
		manifest_sort(m);
		check_sorted(m);
	}
}

static void empty(void **state)
{
	g_autoptr(manifest_auto) m = manifest_new();

	(void)state;
	manifest_sort(m);
	assert_int_equal(manifest_count(m), 0);
	assert_null(manifest_find(m, "a"));
	assert_int_equal(manifest_lower_bound(m, "a"), 0);
	assert_int_equal(manifest_within_end(m, 0, ""), 0);
	manifest_free(NULL);
}

static void last_added_stays(void **state)
{
	static const char *const paths[] = { "b", "a", "b", "c", "a", "a/x",
		"b", "a" };
	static const struct {
		const char *path;
		int64_t size;
	} want[] = { { "a", 7 }, { "a/x", 5 }, { "b", 6 }, { "c", 3 } };
	g_autoptr(manifest_auto) m = manifest_new();

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
		add(m, paths[i], i);
	manifest_sort(m);
	assert_int_equal(manifest_count(m), G_N_ELEMENTS(want));
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
		assert_string_equal(manifest_at(m, i)->path, want[i].path);
		assert_int_equal(manifest_at(m, i)->size, want[i].size);
	}
}

static void many_duplicates(void **state)
{
	enum { PATHS = 97, ROUNDS = 50 };
	g_autoptr(manifest_auto) m = manifest_new();

	(void)state;
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < PATHS; i++) {
			g_autofree char *path =
				g_strdup_printf("d/%d", i * 31 % PATHS);

			add(m, path, round);
		}
	manifest_sort(m);
	assert_int_equal(manifest_count(m), PATHS);
	for (int i = 0; i < PATHS; i++)
		assert_int_equal(manifest_at(m, i)->size, ROUNDS - 1);
}

/* What was added is copied whole, targets and digests too. */
static void keeps_all_fields(void **state)
{
	char path[] = "l", target[] = "to/there";
	struct entry e = {
		.path = path,
		.target = target,
		.size = 1,
		.mtime_ns = 2,
		.ctime_ns = 3,
		.ino = 4,
		.digest = { { 5, 6 } },
		.mode = 0644,
		.type = ENTRY_LINK,
		.flags = ENTRY_RACY,
	};
	g_autoptr(manifest_auto) m = manifest_new();
	const struct entry *got;

	(void)state;
	add(m, "z", 0);
	manifest_add(m, &e);
	path[0] = target[0] = 'X';
	manifest_sort(m);
	got = manifest_at(m, 0);
	assert_string_equal(got->path, "l");
	assert_string_equal(got->target, "to/there");
	assert_int_equal(got->size, 1);
	assert_int_equal(got->mtime_ns, 2);
	assert_int_equal(got->ctime_ns, 3);
	assert_int_equal(got->ino, 4);
	assert_memory_equal(&got->digest, &e.digest, sizeof(e.digest));
	assert_int_equal(got->mode, 0644);
	assert_int_equal(got->type, ENTRY_LINK);
	assert_int_equal(got->flags, ENTRY_RACY);
	assert_null(manifest_at(m, 1)->target);
}

static void long_strings(void **state)
{
	g_autoptr(manifest_auto) m = manifest_new();
	g_autofree char *target = g_strnfill(1 << 20, 't');

	(void)state;
	for (int i = 0; i < 300; i++) {
		g_autofree char *path = g_strnfill(4000, 'a' + i % 26);
		struct entry e = { .path = path, .type = ENTRY_LINK,
			.target = i == 150 ? target : NULL };

		g_autofree char *number = g_strdup_printf("%05dx", i);

		memcpy(path + 1, number, strlen(number));
		manifest_add(m, &e);
	}
	manifest_sort(m);
	assert_int_equal(manifest_count(m), 300);
	for (int i = 0; i < 300; i++) {
		const struct entry *e = manifest_at(m, i);

		assert_int_equal(strlen(e->path), 4000);
		if (e->target)
			assert_string_equal(e->target, target);
	}
}

static void bounds_between(void **state)
{
	static const struct {
		const char *path;
		size_t at;
	} rows[] = {
		{ "!", 2 }, { "a/", 3 }, { "a/a", 4 }, { "a/b/", 5 },
		{ "a/b/d", 6 }, { "a/zz", 8 }, { "a,", 11 }, { "a-b/", 12 },
		{ "c", 19 }, { "\xff", 20 }, { "\xff/\xff/a", 21 },
		{ "\xff\xff", 21 },
	};
	g_autoptr(manifest_auto) m = manifest_new();

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(sorted); i++)
		add(m, sorted[i], i);
	manifest_sort(m);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		if (manifest_lower_bound(m, rows[i].path) != rows[i].at)
			fail_msg("%s: %zu", rows[i].path,
				manifest_lower_bound(m, rows[i].path));
		assert_null(manifest_find(m, rows[i].path));
	}
}

static size_t end_by_walking(const struct manifest *m, size_t i,
	const char *dir)
{
	while (i < manifest_count(m) &&
		path_is_within(manifest_at(m, i)->path, dir))
		i++;
	return i;
}

/* Subtrees of every size around the powers of two that the search steps by. */
static void subtree_ends(void **state)
{
	g_autoptr(manifest_auto) m = manifest_new();

	(void)state;
	for (int children = 0; children < 70; children++) {
		g_autofree char *dir = g_strdup_printf("d%02d", children);
		g_autofree char *beside = g_strconcat(dir, ".x", NULL);

		add(m, dir, 0);
		add(m, beside, 0);
		for (int i = 0; i < children; i++) {
			g_autofree char *path =
				g_strdup_printf("%s/%d", dir, i);

			add(m, path, 0);
		}
	}
	manifest_sort(m);
	for (size_t i = 0; i < manifest_count(m); i++) {
		const char *path = manifest_at(m, i)->path;

		assert_int_equal(manifest_subtree_end(m, i),
			end_by_walking(m, i, path));
	}
	assert_int_equal(manifest_within_end(m, 0, ""), manifest_count(m));
	assert_int_equal(manifest_within_end(m, 0, "x"), 0);
	assert_int_equal(manifest_within_end(m, 2, "d01"), 2 + 2);
}

/* The bound of the header, on paths such as a large source tree has. */
static void memory_of_a_million(void **state)
{
	enum { PATHS = 1000000 };
	g_autoptr(manifest_auto) m = manifest_new();
	size_t text = 0, heap;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	gint64 start = g_get_monotonic_time();
	double each, heap_each;

	(void)state;
	for (unsigned i = 0; i < PATHS; i++) {
		/* An odd factor scatters the numbers over the range. */
		unsigned n = (unsigned)(i * UINT64_C(7919) % PATHS);
		char path[64];
		int len = snprintf(path, sizeof(path),
			"src/module%03u/part%02u/file-%06u.c", n % 500,
			n / 500 % 20, n);

		text += len + 1;
		add(m, path, n);
	}
	manifest_sort(m);
	assert_int_equal(manifest_count(m), PATHS);
	each = (double)manifest_memory(m) / PATHS;
	heap = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	heap_each = (double)heap / PATHS;
	print_message("a million paths: %.1f bytes an entry (%zu + %.1f of "
		"path), %.1f by malloc, %.2f s\n", each, sizeof(struct entry),
		(double)text / PATHS, heap_each,
		(g_get_monotonic_time() - start) / 1e6);
	assert_true(sizeof(struct entry) <= 88);
	/* Half a per cent and a chunk for what is begun and not full. */
	assert_true(manifest_memory(m) <=
		(sizeof(struct entry) * PATHS + text) * 1.005 + (1 << 18));
	for (size_t i = 1; i < PATHS; i++)
		assert_true(path_compare(manifest_at(m, i - 1)->path,
				    manifest_at(m, i)->path) < 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* manifest_memory() tells the truth. */
	assert_true(heap <= manifest_memory(m) * 1.01);
	assert_true(heap >= manifest_memory(m) * 0.99);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_any_order),
		cmocka_unit_test(empty),
		cmocka_unit_test(last_added_stays),
		cmocka_unit_test(many_duplicates),
		cmocka_unit_test(keeps_all_fields),
		cmocka_unit_test(long_strings),
		cmocka_unit_test(bounds_between),
		cmocka_unit_test(subtree_ends),
		cmocka_unit_test(memory_of_a_million),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
