#include "merge/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

static const struct stat file_stat = {
	.st_mode = S_IFREG | 04751,
	.st_size = 12,
	.st_ino = 99,
	.st_mtim = { .tv_sec = 7, .tv_nsec = 8 },
	.st_ctim = { .tv_sec = 9, .tv_nsec = 10 },
};

static void from_stat(void **state)
{
	static const struct {
		mode_t mode;
		int64_t size;
		enum entry_type type;
		unsigned bits, perm;
		const char *name;
	} rows[] = {
		{ S_IFREG | 04751, 12, ENTRY_FILE, 04751, 0751, "file" },
		{ S_IFDIR | 01777, 0, ENTRY_DIR, 01777, 0777, "dir" },
		{ S_IFLNK | 0777, 0, ENTRY_LINK, 0, 0, "link" },
		{ S_IFIFO | 0600, 0, ENTRY_SPECIAL, 0600, 0600, "special" },
		{ S_IFSOCK | 0600, 0, ENTRY_SPECIAL, 0600, 0600, "special" },
		{ S_IFCHR | 0600, 0, ENTRY_SPECIAL, 0600, 0600, "special" },
		{ S_IFBLK | 0600, 0, ENTRY_SPECIAL, 0600, 0600, "special" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct stat st = file_stat;
		struct entry e = { .path = "p", .flags = 0xff };

		st.st_mode = rows[i].mode;
		entry_from_stat(&e, &st);
		assert_string_equal(e.path, "p");
		assert_int_equal(e.size, rows[i].size);
		assert_int_equal(e.type, rows[i].type);
		assert_int_equal(e.mode, rows[i].bits);
		assert_int_equal(entry_perm(&e), rows[i].perm);
		assert_int_equal(e.flags, 0);
		assert_int_equal(e.ino, 99);
		assert_int_equal(e.mtime_ns, INT64_C(7000000008));
		assert_int_equal(e.ctime_ns, INT64_C(9000000010));
		assert_string_equal(entry_type_name(e.type), rows[i].name);
	}
	assert_string_equal(entry_type_name(ENTRY_ABSENT), "absent");
}

static void far_times_are_kept_apart_from_wrapping(void **state)
{
	struct stat st = file_stat;
	struct entry e = { 0 };

	(void)state;
	st.st_mtim.tv_sec = INT64_MAX / 2;
	st.st_ctim.tv_sec = INT64_MIN / 2;
	entry_from_stat(&e, &st);
	assert_true(e.mtime_ns == INT64_MAX);
	assert_true(e.ctime_ns == INT64_MIN);
	st.st_mtim.tv_sec = -1;
	entry_from_stat(&e, &st);
	assert_int_equal(e.mtime_ns, -999999992);
}

static void stat_matches(void **state)
{
	struct entry e = { 0 };
	struct stat st;

	(void)state;
	entry_from_stat(&e, &file_stat);
	assert_true(entry_stat_matches(&e, &file_stat));
	for (int i = 0; i < 7; i++) {
		st = file_stat;
		switch (i) {
		case 0:
			st.st_size++;
			break;
		case 1:
			st.st_mtim.tv_nsec++;
			break;
		case 2:
			st.st_ctim.tv_nsec++;
			break;
		case 3:
			st.st_ino++;
			break;
		case 4:
			st.st_mode = S_IFLNK | 0777;
			st.st_size = 0;
			break;
		case 5:
			st.st_mode = S_IFIFO | 0600;
			break;
		default:
			st.st_mtim.tv_sec++;
			break;
		}
		assert_false(entry_stat_matches(&e, &st));
	}
	e.flags = ENTRY_RACY;
	assert_false(entry_stat_matches(&e, &file_stat));
	/* Without an identity nothing is proven. */
	st = file_stat;
	st.st_ino = 0;
	entry_from_stat(&e, &st);
	assert_false(entry_stat_matches(&e, &st));
	st = file_stat;
	memset(&st.st_ctim, 0, sizeof(st.st_ctim));
	entry_from_stat(&e, &st);
	assert_false(entry_stat_matches(&e, &st));
}

#define FILE_OF(...)                                                          \
	{                                                                     \
		.type = ENTRY_FILE, .size = 5, .mtime_ns = 1, .ctime_ns = 2,  \
		.ino = 3, __VA_ARGS__                                         \
	}
#define HASH(n) .flags = ENTRY_HASHED, .digest = { { n } }

static void same_content(void **state)
{
	static const struct {
		struct entry a, b;
		bool same;
	} rows[] = {
		{ { .type = ENTRY_ABSENT }, { .type = ENTRY_ABSENT }, true },
		{ { .type = ENTRY_DIR, .mode = 0700 },
			{ .type = ENTRY_DIR, .mtime_ns = 4 }, true },
		{ { .type = ENTRY_DIR }, { .type = ENTRY_ABSENT }, false },
		{ { .type = ENTRY_SPECIAL }, { .type = ENTRY_SPECIAL }, true },
		{ { .type = ENTRY_LINK, .target = "x" },
			{ .type = ENTRY_LINK, .target = "x", .ino = 4 }, true },
		{ { .type = ENTRY_LINK, .target = "x" },
			{ .type = ENTRY_LINK, .target = "y" }, false },
		{ { .type = ENTRY_LINK, .target = "",
			  .flags = ENTRY_UNREADABLE },
			{ .type = ENTRY_LINK, .target = "",
				.flags = ENTRY_UNREADABLE }, false },
		{ { .type = ENTRY_LINK, .target = "x" },
			{ .type = ENTRY_FILE }, false },
		/* Digests decide where both have one, … */
		{ FILE_OF(HASH(1)), FILE_OF(HASH(1)), true },
		{ FILE_OF(HASH(1)), FILE_OF(HASH(2)), false },
		{ FILE_OF(HASH(1), .mode = 0600),
			{ .type = ENTRY_FILE, .size = 5, HASH(1),
				.mode = 0755 }, true },
		{ FILE_OF(HASH(1)), { .type = ENTRY_FILE, .size = 6, HASH(1) },
			false },
		/* … the stat identity where one has none. */
		{ FILE_OF(HASH(1)), FILE_OF(.mode = 1), true },
		{ FILE_OF(), FILE_OF(), true },
		{ FILE_OF(), FILE_OF(.ino = 4), false },
		{ FILE_OF(), FILE_OF(.ctime_ns = 4), false },
		{ FILE_OF(), FILE_OF(.mtime_ns = 4), false },
		{ FILE_OF(), FILE_OF(.flags = ENTRY_RACY), false },
		{ FILE_OF(.flags = ENTRY_RACY), FILE_OF(), false },
		{ { .type = ENTRY_FILE, .size = 5 },
			{ .type = ENTRY_FILE, .size = 5 }, false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (entry_same_content(&rows[i].a, &rows[i].b) !=
				rows[i].same ||
			entry_same_content(&rows[i].b, &rows[i].a) !=
				rows[i].same)
			fail_msg("row %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_stat),
		cmocka_unit_test(far_times_are_kept_apart_from_wrapping),
		cmocka_unit_test(stat_matches),
		cmocka_unit_test(same_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
