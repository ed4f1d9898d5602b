/*
 * The tables must not vouch for more than the disk has. A row that says "the
 * mirror's file is what the sandbox has", beside a file whose bytes a power
 * failure took, would read as a change by the user: an empty file would be sent
 * over the sandbox's good one. So what a transaction vouches for is on the disk
 * before it, and what is sent before it is sent.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

/* Of more, one syncfs costs less. */
enum { EACH = 16 };

static int sync_all(struct session *s)
{
	int r;

	failpoint("syncfs");
	r = syncfs(s->mirror_fd) < 0 ? -errno : 0;
	failpoint("syncfs-done");
	return r;
}

/* 0 also for what is not there or has nothing of its own to be synced. */
static int sync_path(struct session *s, const char *path)
{
	autofd int fd = beneath_open(s->mirror_fd, path,
		O_RDONLY | O_NONBLOCK, 0);

	if (fd >= 0)
		return io_sync_dir(fd);
	return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ENXIO
		? 0 : fd;
}

static int sync_each(struct session *s, const GPtrArray *paths)
{
	g_autoptr(GHashTable) dirs =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	GHashTableIter it;
	gpointer dir;
	int r = 0;

	for (guint i = 0; r == 0 && i < paths->len; i++) {
		const char *path = g_ptr_array_index(paths, i);

		r = sync_path(s, path);
		g_hash_table_add(dirs, path_parent(path));
	}
	g_hash_table_iter_init(&it, dirs);
	while (r == 0 && g_hash_table_iter_next(&it, &dir, NULL))
		r = sync_path(s, dir);
	return r;
}

int session_make_lasting(struct session *s, const GPtrArray *paths,
	GError **err)
{
	int r = paths && paths->len <= EACH ? sync_each(s, paths) : 1;

	/* Also for what may not be opened: a file of mode 0200. */
	if (r != 0)
		r = sync_all(s);
	return r < 0 ? fail_errno(err, r, "write %s/mirror to the disk", s->dir)
		     : 0;
}
