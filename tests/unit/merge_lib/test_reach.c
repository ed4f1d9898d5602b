/* Trees deeper than the bytes that a system call takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/lib/reach.h"

struct deep {
	char *dir;
	int fd;
	char *path;	/* a directory some 10,000 bytes down */
};

static int set_up(void **state)
{
	struct deep *d = g_new0(struct deep, 1);
	g_autofree char *name = g_strnfill(199, 'n');
	GString *path = g_string_new("top");

	d->dir = g_dir_make_tmp("reach-XXXXXX", NULL);
	d->fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (path->len < 10000)
		g_string_append_printf(path, "/%s", name);
	d->path = g_string_free(path, FALSE);
	*state = d;
	return beneath_mkdir_all(d->fd, d->path, 0755);
}

static int tear_down(void **state)
{
	struct deep *d = *state;

	beneath_remove_all(d->fd, "top");
	close(d->fd);
	rmdir(d->dir);
	g_free(d->dir);
	g_free(d->path);
	g_free(d);
	return 0;
}

static void short_ones_stay(void **state)
{
	struct deep *d = *state;
	autoreach struct reach at = REACH_NONE;
	g_autofree char *longest = g_strnfill(PATH_MAX - 1, 'x');

	assert_int_equal(reach_path(&at, d->fd, "a/b"), 0);
	assert_int_equal(at.dir, d->fd);
	assert_string_equal(at.path, "a/b");
	assert_int_equal(reach_path(&at, d->fd, ""), 0);
	assert_string_equal(at.path, ".");
	assert_int_equal(reach_path(&at, d->fd, longest), 0);
	assert_ptr_equal(at.path, longest);
	assert_int_equal(at.own, -1);
}

static void long_ones_are_cut(void **state)
{
	struct deep *d = *state;
	autoreach struct reach at = REACH_NONE;
	struct stat st;

	assert_int_equal(reach_path(&at, d->fd, d->path), 0);
	assert_true(at.own >= 0);
	assert_int_equal(at.dir, at.own);
	assert_true(strlen(at.path) < PATH_MAX);
	assert_int_equal(fstatat(at.dir, at.path, &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
}

static void what_is_not_there(void **state)
{
	struct deep *d = *state;
	autoreach struct reach at = REACH_NONE;
	g_autofree char *name = g_strnfill(PATH_MAX, 'x');
	g_autofree char *other = g_strdup(d->path);

	assert_int_equal(reach_path(&at, d->fd, name), -ENAMETOOLONG);
	other[2000] = 'o';
	assert_int_equal(reach_path(&at, d->fd, other), -ENOENT);
	assert_int_equal(at.dir, -1);
}

/* Never through a link, wherever a piece may end. */
static void no_link_is_followed(void **state)
{
	struct deep *d = *state;
	autoreach struct reach at = REACH_NONE;
	g_autofree char *through = g_strconcat("l/", d->path + 4, NULL);

	assert_int_equal(beneath_symlink(d->fd, "l", "top"), 0);
	assert_int_equal(reach_path(&at, d->fd, through), -ELOOP);
	assert_int_equal(beneath_unlink(d->fd, "l", 0), 0);
}

static void all_of_beneath(void **state)
{
	struct deep *d = *state;
	g_autofree char *f = g_strconcat(d->path, "/f", NULL);
	g_autofree char *g = g_strconcat(d->path, "/g", NULL);
	g_autofree char *l = g_strconcat(d->path, "/l", NULL);
	g_autofree char *target = NULL;
	struct stat st;
	int fd = beneath_open(d->fd, f, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, "text", 4), 0);
	close(fd);
	assert_int_equal(beneath_rename(d->fd, f, d->fd, "up", 0), 0);
	assert_int_equal(beneath_rename(d->fd, "up", d->fd, g, 0), 0);
	assert_int_equal(beneath_link(d->fd, g, d->fd, f), 0);
	assert_int_equal(beneath_chmod(d->fd, g, 0640), 0);
	assert_int_equal(beneath_set_mtime(d->fd, g, 5), 0);
	assert_int_equal(beneath_stat(d->fd, f, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(st.st_mtim.tv_nsec, 5);
	assert_int_equal(beneath_symlink(d->fd, l, "f"), 0);
	assert_int_equal(beneath_readlink(d->fd, l, &target), 0);
	assert_string_equal(target, "f");
	assert_int_equal(beneath_unlink(d->fd, f, 0), 0);
	assert_int_equal(beneath_stat(d->fd, f, &st), -ENOENT);
}

static void all_by_walking(void **state)
{
	beneath_force_walk(true);
	long_ones_are_cut(state);
	no_link_is_followed(state);
	all_of_beneath(state);
	beneath_force_walk(false);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(short_ones_stay), TEST(long_ones_are_cut),
		TEST(what_is_not_there), TEST(no_link_is_followed),
		TEST(all_of_beneath), TEST(all_by_walking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
