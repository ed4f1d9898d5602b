/* The base store: what is kept, what is taken, what a kill leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "fs/mirror/base.h"
#include "merge/lib/beneath.h"

struct world {
	char *dir;
	int fd;
	struct base_store *base;
};

static int set_up(void **state)
{
	struct world *w = g_new0(struct world, 1);
	int base;

	w->dir = g_dir_make_tmp("base-XXXXXX", NULL);
	w->fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	beneath_mkdir(w->fd, "base", 0700);
	base = beneath_open(w->fd, "base", O_RDONLY | O_DIRECTORY, 0);
	w->base = base_store_new(base);
	*state = w;
	return base < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	base_store_free(w->base);
	beneath_remove_all(w->fd, "base");
	beneath_remove_all(w->fd, "f");
	close(w->fd);
	rmdir(w->dir);
	g_free(w->dir);
	g_free(w);
	return 0;
}

/* Makes "f" of LEN bytes of DATA; its inode number. */
static uint64_t make(struct world *w, const char *data, size_t len)
{
	int fd = beneath_open(w->fd, "f", O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	return st.st_ino;
}

static void take(struct world *w, const char *data, size_t len, mode_t mode)
{
	uint64_t ino = make(w, data, len);
	struct stat st;

	assert_int_equal(beneath_chmod(w->fd, "f", mode), 0);
	assert_int_equal(base_store_take(w->base, w->fd, "f", ino), 0);
	assert_int_equal(beneath_stat(w->fd, "f", &st), -ENOENT);
}

static void assert_kept(struct world *w, const char *data)
{
	char buf[64];
	struct digest d;
	int fd;

	digest_bytes(data, strlen(data), &d);
	fd = base_store_open(w->base, &d);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), strlen(data));
	assert_memory_equal(buf, data, strlen(data));
	close(fd);
}

static int truncate_at(int root, const char *path, off_t size)
{
	int fd = beneath_open(root, path, O_WRONLY, 0);
	int r = fd < 0 ? fd : ftruncate(fd, size);

	close(fd);
	return r;
}

static void assert_nothing_is_left(struct world *w)
{
	struct stat st;

	/* Only an empty directory can be removed. */
	if (beneath_stat(w->fd, "base/new", &st) == 0)
		assert_int_equal(
			beneath_unlink(w->fd, "base/new", AT_REMOVEDIR), 0);
}

static void test_taken(void **state)
{
	struct world *w = *state;

	take(w, "one", 3, 0600);
	take(w, "two", 3, 0);
	take(w, "one", 3, 0444);	/* the same bytes again */
	assert_kept(w, "one");
	assert_kept(w, "two");
	assert_nothing_is_left(w);
	take(w, "three", 5, 0600);
	assert_kept(w, "three");
}

static void test_not_worth(void **state)
{
	struct world *w = *state;
	struct digest d;

	take(w, "a\0b", 3, 0600);
	base_store_sort(w->base);
	digest_bytes("a\0b", 3, &d);
	assert_int_equal(base_store_open(w->base, &d), -ENOENT);
	assert_nothing_is_left(w);
}

static void test_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(base_store_take(w->base, w->fd, "none", 1), -ENOENT);
}

/* Killed before they were sorted: the next process finds them. */
static void test_killed(void **state)
{
	struct world *w = *state;
	int base;

	base_store_sort(w->base);
	take(w, "left", 4, 0600);
	base_store_free(w->base);
	base = beneath_open(w->fd, "base", O_RDONLY | O_DIRECTORY, 0);
	w->base = base_store_new(base);
	assert_kept(w, "left");
}

/* Open elsewhere or not: a kept copy does not touch the file. */
static void test_keep(void **state)
{
	struct world *w = *state;
	struct digest d, is;
	int fd;

	make(w, "here", 4);
	fd = beneath_open(w->fd, "f", O_RDONLY, 0);
	assert_int_equal(base_store_keep(w->base, fd, &d), 0);
	close(fd);
	digest_bytes("here", 4, &is);
	assert_true(digest_equal(&d, &is));
	assert_kept(w, "here");
}

/* A name whose bytes a power failure took is none; the next copy is one. */
static void test_torn(void **state)
{
	struct world *w = *state;
	struct digest d;
	char name[80], hex[DIGEST_HEX_LEN + 1];
	int fd;

	make(w, "whole", 5);
	fd = beneath_open(w->fd, "f", O_RDONLY, 0);
	assert_int_equal(base_store_keep(w->base, fd, &d), 0);
	digest_to_hex(&d, hex);
	snprintf(name, sizeof(name), "base/%.2s/%s", hex, hex + 2);
	assert_int_equal(truncate_at(w->fd, name, 2), 0);
	assert_int_equal(base_store_open(w->base, &d), -ENOENT);
	assert_int_equal(base_store_keep(w->base, fd, &d), 0);
	close(fd);
	assert_kept(w, "whole");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_taken), TEST(test_not_worth), TEST(test_refused),
		TEST(test_killed), TEST(test_keep), TEST(test_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
