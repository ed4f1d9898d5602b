/*
 * Where a restore keeps replaced and deleted files. The trash is on the file
 * system of the local directory, so that moving there is a rename: in the
 * session's own directory when that is the same file system, else in a hidden
 * sibling of the local directory, else (not writable) in the session's
 * directory all the same, by copying.
 */
#include "fs/sync/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"

static bool same_device(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev;
}

static char *sibling_trash(const struct session *s)
{
	g_autofree char *parent = g_path_get_dirname(s->options->local);
	g_autofree char *base = g_path_get_basename(s->options->local);
	g_autofree char *name =
		g_strdup_printf(".%s.%s.sandmount-trash", base, s->name);

	return g_build_filename(parent, name, NULL);
}

static char *own_trash(const struct session *s)
{
	return g_build_filename(s->dir, "trash", NULL);
}

/* The directory that holds the trash of every restore; made if missing. */
static char *trash_home(struct restore *r)
{
	g_autofree char *sibling = NULL;

	if (same_device(r->local_fd, r->s->dir_fd))
		return own_trash(r->s);
	sibling = sibling_trash(r->s);
	if (g_mkdir_with_parents(sibling, 0700) == 0)
		return g_steal_pointer(&sibling);
	return own_trash(r->s);
}

/* The new trash's name in HOME, and HOME's, last before anything is in it. */
static int sync_above(const char *home)
{
	g_autofree char *up = g_path_get_dirname(home);
	autofd int dir = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd int above = open(up, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dir < 0 || above < 0)
		return -errno;
	r = io_sync_dir(dir);
	return r < 0 ? r : io_sync_dir(above);
}

static int open_trash(struct restore *r, GError **err)
{
	g_autofree char *home = trash_home(r);
	int e;

	r->trash = g_build_filename(home, r->id, NULL);
	if (g_mkdir_with_parents(r->trash, 0700) < 0)
		return fail_errno(err, -errno, "create the trash in %s", home);
	r->trash_fd = open(r->trash,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (r->trash_fd < 0)
		return fail_errno(err, -errno, "open %s", r->trash);
	e = r->o->dry_run ? 0 : sync_above(home);
	return e < 0 ? fail_errno(err, e, "write %s to the disk", home) : 0;
}

/* Staged files of a journalled plan must outlive a crash: their directory has
 * a fixed name until the plan is finished. */
int restore_open_dirs(struct restore *r, GError **err)
{
	int e;

	r->staging = r->o->offer	? g_strdup(RESTORE_PICKING)
		: r->o->dry_run ? io_temp_name() : g_strdup("staging");
	if (r->o->offer || (!r->interrupted && !r->o->dry_run))
		beneath_remove_all(r->s->dir_fd, r->staging);
	e = beneath_mkdir_all(r->s->dir_fd, r->staging, 0700);
	if (e == 0)
		e = r->staging_fd = beneath_open(r->s->dir_fd, r->staging,
			O_RDONLY | O_DIRECTORY, 0);
	if (e < 0)
		return fail_errno(err, e, "create %s/%s", r->s->dir,
			r->staging);
	return open_trash(r, err);
}

int restore_sync_staged(struct restore *r, GError **err)
{
	int e = io_sync_dir(r->staging_fd);

	if (e == 0)
		e = io_sync_dir(r->s->dir_fd);
	return e < 0 ? fail_errno(err, e, "write %s/staging to the disk",
			       r->s->dir)
		     : 0;
}

void restore_close_dirs(struct restore *r)
{
	if (r->trash_fd >= 0) {
		g_autofree char *trash =
			g_strdup_printf("/proc/self/fd/%d", r->trash_fd);
		char path[4096];
		ssize_t n = readlink(trash, path, sizeof(path) - 1);

		if (n > 0) {
			path[n] = '\0';
			rmdir(path);	/* only when empty */
		}
	}
	if (r->staging && !r->o->offer && (r->o->dry_run || !r->all))
		session_remove_staging(r->s, r->staging);
	if (r->o->picks)
		session_remove_staging(r->s, RESTORE_PICKING);
	g_free(r->staging);
	r->staging = NULL;
}

static void expire_in(const char *home, int64_t before_ms)
{
	g_autoptr(GDir) dir = g_dir_open(home, 0, NULL);
	int fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name;

	while (fd >= 0 && dir && (name = g_dir_read_name(dir))) {
		const char *digits = strpbrk(name, "0123456789");
		int64_t stamp = digits ? g_ascii_strtoll(digits, NULL, 10) : 0;

		if (stamp > 0 && stamp < before_ms &&
			beneath_remove_all(fd, name) == 0)
			log_write(LOG_INFO, "trash %s/%s: expired", home, name);
	}
	if (fd >= 0)
		close(fd);
}

void restore_expire_trash(struct restore *r)
{
	int64_t before_ms = io_wall_ns() / 1000000 -
		(int64_t)r->s->options->trash_days * 86400000;
	g_autofree char *own = own_trash(r->s);
	g_autofree char *sibling = sibling_trash(r->s);

	expire_in(own, before_ms);
	expire_in(sibling, before_ms);
}
