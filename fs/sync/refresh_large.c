/*
 * Large files of a refresh: what is new becomes a stub, and so does what was
 * changed, when nobody here has changed it or has it open. Their bytes come when
 * they are opened, or behind the refresh where they must come home.
 *
 * The order: the stub is made beside, goes into its place, and then the rows
 * say what it stands for. Killed in between, it is a stub without a row: never
 * opened, never sent, and the next refresh, which still sees a difference,
 * gives it one.
 */
#include "fs/sync/refresh.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want.h"
#include "merge/apply.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"

/* --- which ------------------------------------------------------------------ */

/* Every directory above PATH is in the mirror, or new in this listing. */
static bool has_way(const struct refresh *r, const char *path)
{
	g_autofree char *up = path_parent(path);
	struct stat st;
	int e = *up ? beneath_stat(r->s->mirror_fd, up, &st) : -EISDIR;

	if (!*up || e == 0)
		return !*up || S_ISDIR(st.st_mode);
	return e == -ENOENT && !manifest_find(r->ack_remote, up) &&
		has_way(r, up);
}

/* A stub that was put in its place before a kill. */
static bool is_orphan(struct refresh *r, const struct stat *st)
{
	struct entry row = { 0 };
	g_autofree char *path = content_is_stub(st)
		? state_find_inode(r->s->state, st->st_ino, &row) : NULL;

	return content_is_stub(st) && !path;
}

static bool is_for_later(struct refresh *r, const struct entry *e)
{
	const struct entry *was = manifest_find(r->ack_mirror, e->path);
	struct stat st;
	int got;

	if (e->type != ENTRY_FILE || e->size <= REFRESH_LARGE ||
		(r->review && reconcile_is_held(NULL, e->path)) ||
		!has_way(r, e->path))
		return false;
	got = beneath_stat(r->s->mirror_fd, e->path, &st);
	if (got == 0 && is_orphan(r, &st))
		return true;
	if (!was && !manifest_find(r->ack_remote, e->path))
		return got == -ENOENT;
	return was && was->type == ENTRY_FILE && got == 0 &&
		S_ISREG(st.st_mode) && (uint64_t)st.st_ino == was->ino &&
		mirror_is_at_rest(r->s->mirror, e->path);
}

void refresh_choose_large(struct refresh *r)
{
	GHashTableIter it;
	gpointer path, listed;

	r->large = g_ptr_array_new();
	/* A restore that is under way needs the bytes. */
	if (r->s->options->prefetch_all ||
		(r->s->options->local && !r->s->mounted_at))
		return;
	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, &listed))
		if (listed && is_for_later(r, listed)) {
			g_ptr_array_add(r->large, listed);
			g_hash_table_iter_remove(&it);
		}
}

/* --- into their places ------------------------------------------------------- */

struct placing {
	struct refresh *r;
	int root;		/* of the mount, or the mirror */
};

/* Size and mtime once more, through the mount: the kernel learns the new ones,
 * and watchers of a change. */
static void announce(const struct placing *p, const struct entry *e)
{
	g_autofree char *whole = g_strdup_printf(
		"/proc/self/fd/%d/%s", p->root, e->path);

	if (truncate(whole, e->size) < 0 ||
		beneath_set_mtime(p->root, e->path, e->mtime_ns) < 0)
		log_write(LOG_DEBUG, "a stub cannot be touched: %s",
			g_strerror(errno));
}

static int put_new(const struct placing *p, const struct entry *e, int dir,
	const char *name)
{
	struct mirror *m = p->r->s->mirror;
	autofd int fd = -1;

	if (!p->r->s->mounted_at)
		return beneath_rename(dir, name, p->root, e->path,
			RENAME_NOREPLACE);
	mirror_offer(m, e->path, dir, name);
	fd = beneath_open(
		p->root, e->path, O_WRONLY | O_CREAT | O_EXCL, e->mode & 0777);
	mirror_offer(m, NULL, -1, NULL);
	return fd < 0 ? fd : 0;
}

/* In the place of an older version, which goes to the trash. */
static int put_over(const struct placing *p, const struct entry *e, int dir,
	const char *name)
{
	struct refresh *r = p->r;
	g_autofree char *up = path_parent(e->path);
	struct entry now;
	struct stat st;
	int ret = beneath_stat(r->s->mirror_fd, e->path, &st);

	if (ret < 0)
		return ret;
	entry_from_stat(&now, &st);
	ret = r->s->mounted_at
		? mirror_exchange(r->s->mirror, e->path, &now, dir, name)
		: beneath_rename(
			  dir, name, p->root, e->path, RENAME_EXCHANGE);
	if (ret < 0 || content_is_stub(&st))
		return ret;
	if (*up)
		beneath_mkdir_all(r->trash_fd, up, 0700);
	beneath_rename(dir, name, r->trash_fd, e->path, 0);
	return 0;
}

/* What there is of it in the mirror: 0 nothing, 1 an older version, 2 a stub
 * that waits for its row. */
static int what_is_there(const struct placing *p, const struct entry *e)
{
	struct stat st;

	if (beneath_stat(p->r->s->mirror_fd, e->path, &st) < 0)
		return 0;
	return is_orphan(p->r, &st) ? 2 : 1;
}

static int put_stub(const struct placing *p, const struct entry *e)
{
	g_autofree char *name = g_strdup_printf(
		"%" PRIx64, (uint64_t)(uintptr_t)e);
	int dir = p->r->made_fd, there = what_is_there(p, e), r;
	struct entry wanted = *e;
	struct stat st;

	if (there == 2) {
		announce(p, e);
		return 0;
	}
	wanted.mode |= S_IRUSR | S_IWUSR;
	r = content_make_stub(dir, name, &wanted, &st);
	if (r < 0)
		return r;
	r = there ? put_over(p, e, dir, name) : put_new(p, e, dir, name);
	beneath_unlink(dir, name, 0);
	failpoint("refresh-stub");
	if (r == 0 && p->r->s->mounted_at)
		announce(p, e);
	if (r == 0 && (wanted.mode & 0777) != (e->mode & 0777))
		beneath_chmod(p->root, e->path, e->mode & 0777);
	return r;
}

static int store_row(const struct placing *p, const struct entry *e,
	struct entry *row, GError **err)
{
	struct state *state = p->r->s->state;
	struct stat st;

	/* Gone again, or written to, by the mount's user: what the sandbox has
	 * is known all the same, and the difference is sent. */
	if (beneath_stat(p->r->s->mirror_fd, e->path, &st) == 0 &&
		content_is_stub(&st)) {
		entry_from_stat(row, &st);
	} else {
		*row = *e;
		row->ino = 0;
	}
	row->path = e->path;
	row->mode = e->mode & 0777;
	row->size = e->size;
	row->mtime_ns = e->mtime_ns;
	row->flags = 0;
	return state_put(state, STATE_ACK_MIRROR, row, err) < 0 ||
			state_put(state, STATE_ACK_REMOTE, e, err) < 0
		? -EIO : 0;
}

/* The rows of PUT, all at once. */
static int store_rows(const struct placing *p, const GPtrArray *put,
	GError **err)
{
	struct session *s = p->r->s;
	g_autofree struct entry *rows = g_new0(struct entry, put->len + 1);

	if (state_index_inodes(s->state, err) < 0 ||
		state_begin(s->state, err) < 0)
		return -EIO;
	for (guint i = 0; i < put->len; i++)
		if (store_row(p, g_ptr_array_index(put, i), &rows[i], err) <
			0) {
			state_rollback(s->state);
			return -EIO;
		}
	if (state_commit(s->state, err) < 0)
		return -EIO;
	for (guint i = 0; s->mirror && i < put->len; i++) {
		mirror_mark_same(s->mirror, rows[i].path, &rows[i]);
		/* What has to come home is fetched behind our back. */
		if (s->options->local)
			mirror_want_ahead(s->mirror, rows[i].path);
	}
	return 0;
}

int refresh_place_large(struct refresh *r, int root, GError **err)
{
	const struct placing p = { .r = r, .root = root };
	g_autoptr(GPtrArray) put = g_ptr_array_new();

	__atomic_store_n(&r->s->refresh_tid, (int)syscall(SYS_gettid),
		__ATOMIC_RELEASE);
	for (guint i = 0; i < r->large->len; i++) {
		const struct entry *e = g_ptr_array_index(r->large, i);
		int e_no = put_stub(&p, e);

		if (e_no == 0) {
			g_ptr_array_add(put, (gpointer)e);
			continue;
		}
		/* Somebody was quicker: the next look sees it again. */
		g_autofree char *shown = path_display(e->path);

		log_write(LOG_DEBUG, "refresh %s: %s", shown,
			g_strerror(-e_no));
		r->vanished = true;
	}
	__atomic_store_n(&r->s->refresh_tid, 0, __ATOMIC_RELEASE);
	return put->len ? store_rows(&p, put, err) : 0;
}
