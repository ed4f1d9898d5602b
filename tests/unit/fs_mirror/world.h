#ifndef TESTS_UNIT_FS_MIRROR_WORLD_H
#define TESTS_UNIT_FS_MIRROR_WORLD_H
/*
 * What the tests of this folder share: a mirror with its state and base store
 * in a directory of its own. After cmocka.h.
 */
#include <fcntl.h>
#include <unistd.h>
#include <glib.h>

#include "fs/mirror/base.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"

struct world {
	char *dir;
	int fd, root, base_fd;
	struct state *state;
	struct base_store *base;
	struct mirror *m;
};

static const struct mirror_caller me;

static void open_mirror(struct world *w)
{
	struct mirror_config c = {
		.root_fd = w->root, .base = w->base, .state = w->state,
		.content_timeout_ms = 60000, .runtime_dir = ".sandmount",
	};

	w->m = mirror_open(&c, NULL);
	assert_non_null(w->m);
}

static void reopen(struct world *w)
{
	mirror_close(w->m);
	open_mirror(w);
}

static int set_up(void **state)
{
	struct world *w = g_new0(struct world, 1);

	w->dir = g_dir_make_tmp("content-XXXXXX", NULL);
	w->fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	beneath_mkdir(w->fd, "mirror", 0700);
	beneath_mkdir(w->fd, "base", 0700);
	w->root = beneath_open(w->fd, "mirror", O_RDONLY | O_DIRECTORY, 0);
	w->base_fd = beneath_open(w->fd, "base", O_RDONLY | O_DIRECTORY, 0);
	w->base = base_store_new(w->base_fd);
	w->state = state_open(w->fd, NULL);
	*state = w;
	return w->state ? 0 : -1;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	g_autoptr(GDir) dir = NULL;

	mirror_close(w->m);
	state_close(w->state);
	base_store_free(w->base);
	close(w->root);
	close(w->base_fd);
	beneath_remove_all(w->fd, "mirror");
	beneath_remove_all(w->fd, "base");
	dir = g_dir_open(w->dir, 0, NULL);
	for (const char *n; dir && (n = g_dir_read_name(dir));)
		beneath_remove_all(w->fd, n);
	close(w->fd);
	rmdir(w->dir);
	g_free(w->dir);
	g_free(w);
	return 0;
}

/* Adds one kernel reference. */
static uint64_t look_up(struct world *w, const char *name, struct stat *st)
{
	struct mirror_attr a;

	assert_int_equal(mirror_lookup(w->m, MIRROR_ROOT, name, &a), 0);
	*st = a.st;
	return a.node;
}

#endif
