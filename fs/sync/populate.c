/*
 * Local directory -> mirror, and the baseline with it.
 *
 * A file that the last baseline vouches for on both sides is left alone; any
 * other is copied (reflink where possible) by temporary name and rename, and
 * what is recorded is what was copied, not what the scan saw first. A file that
 * keeps changing while it is copied is recorded with the digest of the bytes
 * that were copied and no stat identity, so that the next scan reads it again.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/mirror/state.h"
#include "merge/diff.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

enum { COPY_TRIES = 3 };

struct populate {
	struct session *s;
	int local_fd;
	struct manifest *local, *mirror;	   /* scans */
	struct manifest *base_local, *base_mirror; /* new, being made */
	struct manifest *agreed;	/* the last mirror baseline, once it
					 * was needed */
	struct prepare_result *result;
	bool changed; /* the mirror was not yet what the local directory is */
	GError **err;
};

static void add_dir_mode(struct populate *p, const char *path, unsigned mode)
{
	int r = beneath_chmod(p->s->mirror_fd, path, mode & 0777);

	if (r < 0)
		log_write(LOG_WARNING, "mode of a mirror directory: %s",
			g_strerror(-r));
}

/* Records the pair: L as the local side, MIRROR the mirror's as it is now. */
static void record(struct populate *p, const struct entry *l,
	const struct entry *mirror)
{
	struct entry m = *mirror;

	m.path = l->path;
	m.target = l->target;
	m.digest = l->digest;
	m.flags = l->flags & ENTRY_HASHED;
	manifest_add(p->base_local, l);
	manifest_add(p->base_mirror, &m);
}

/* Records L and what was just made of it in the mirror. */
static int record_made(struct populate *p, const struct entry *l)
{
	struct entry m = { 0 };
	struct stat st;
	int r = beneath_stat(p->s->mirror_fd, l->path, &st);

	if (r < 0)
		return r;
	entry_from_stat(&m, &st);
	record(p, l, &m);
	return 0;
}

/* One copy of the file L into TEMP. 1: it changed meanwhile. */
static int copy_once(struct populate *p, struct entry *l, const char *temp)
{
	struct stat before, after;
	struct timespec times[2];
	autofd int from = beneath_open(p->local_fd, l->path,
		O_RDONLY | O_NONBLOCK, 0);
	autofd int to = -1;
	int r;

	if (from < 0)
		return from;
	if (fstat(from, &before) < 0)
		return -errno;
	if (!S_ISREG(before.st_mode))
		return -ENOENT;
	beneath_unlink(p->s->mirror_fd, temp, 0);
	to = beneath_open(
		p->s->mirror_fd, temp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return to;
	r = io_copy_file(from, to, &l->digest, NULL);
	if (r < 0)
		return r;
	if (fstat(from, &after) < 0)
		return -errno;
	entry_from_stat(l, &after);
	l->flags |= ENTRY_HASHED;
	times[0] = after.st_atim;
	times[1] = after.st_mtim;
	if (fchmod(to, after.st_mode & 0777) < 0 || futimens(to, times) < 0)
		return -errno;
	return before.st_size != after.st_size ||
		before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
		before.st_mtim.tv_nsec != after.st_mtim.tv_nsec ||
		before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
		before.st_ctim.tv_nsec != after.st_ctim.tv_nsec;
}

static int copy_file(struct populate *p, struct entry *l)
{
	const char *temp = ".sandmount-populate.tmp";
	int64_t began = io_wall_ns();
	int r = 1;

	for (int i = 0; i < COPY_TRIES && r == 1; i++)
		r = copy_once(p, l, temp);
	if (r < 0) {
		beneath_unlink(p->s->mirror_fd, temp, 0);
		return r;
	}
	/* Changed during every try, or so lately that the clock's grain could
	 * hide a change: never trust its stat identity. */
	if (r == 1 || l->ctime_ns > began - 20 * 1000000)
		l->flags |= ENTRY_RACY;
	return beneath_rename(
		p->s->mirror_fd, temp, p->s->mirror_fd, l->path, 0);
}

static int copy_link(struct populate *p, const struct entry *l)
{
	const char *temp = ".sandmount-populate.tmp";
	int fd = p->s->mirror_fd;
	int r;

	beneath_unlink(fd, temp, 0);
	r = beneath_symlink(fd, temp, l->target);
	if (r == 0)
		r = beneath_set_mtime(fd, temp, l->mtime_ns);
	return r < 0 ? r : beneath_rename(fd, temp, fd, l->path, 0);
}

static int copy_dir(struct populate *p, const struct entry *l)
{
	int r = beneath_mkdir(p->s->mirror_fd, l->path, 0700);

	if (r == -EEXIST)
		r = 0;
	if (r == 0)
		add_dir_mode(p, l->path, l->mode | 0700);
	return r;
}

/* Whether the mirror already has L, by what the last baseline recorded. */
static bool is_current(const struct entry *l, const struct entry *m)
{
	if (!m || m->type != l->type)
		return false;
	if (l->type == ENTRY_LINK)
		return !strcmp(l->target, m->target);
	if (l->type == ENTRY_DIR)
		return l->mode == m->mode;
	return (l->flags & ENTRY_HASHED) && (m->flags & ENTRY_HASHED) &&
		digest_equal(&l->digest, &m->digest) &&
		entry_perm(l) == entry_perm(m) && l->mtime_ns == m->mtime_ns;
}

static bool is_mere_copy(struct populate *p, const struct entry *e);

/* Something below DIR in the mirror that is left out and only there; NULL: there
 * is none. */
static const struct entry *find_own_below(struct populate *p, const char *dir)
{
	for (size_t i = 0; i < manifest_count(p->mirror); i++) {
		const struct entry *e = manifest_at(p->mirror, i);

		if (e->type != ENTRY_DIR && path_is_within(e->path, dir) &&
			session_is_left_out(p->s, e->path, false) &&
			!is_mere_copy(p, e))
			return e;
	}
	return NULL;
}

static int refuse_way(struct populate *p, const char *path, const char *own)
{
	g_autofree char *shown = path_display(path);
	g_autofree char *below = path_display(own);

	return fail(p->err, FAIL_LOCAL,
		"%s: is no directory in %s any more, but the workspace has one "
		"with what is left out and is nowhere else (%s); rename yours "
		"and try again, or fetch that from %s/mirror", shown,
		p->s->options->local, below, p->s->dir);
}

/* Clears the way for L where the mirror has something of another type. */
static int clear_way(struct populate *p, const struct entry *l,
	const struct entry *m)
{
	const struct entry *own;

	if (!m || m->type == l->type)
		return 0;
	own = m->type == ENTRY_DIR ? find_own_below(p, l->path) : NULL;
	if (own)
		return refuse_way(p, l->path, own->path);
	return beneath_remove_all(p->s->mirror_fd, l->path);
}

/* From the first write until the new baseline is stored there is none. */
static int begin_change(struct populate *p)
{
	if (p->changed)
		return 0;
	p->changed = true;
	return state_set(p->s->state, "baseline", "building", p->err);
}

static int take_entry(struct populate *p, const struct entry *seen)
{
	const struct entry *m = manifest_find(p->mirror, seen->path);
	struct entry l = *seen;
	int r = 0;

	if (l.type == ENTRY_SPECIAL) {
		p->result->special++;
		return 0;
	}
	if (l.flags & ENTRY_UNREADABLE) {
		p->result->unreadable++;
		return 0;
	}
	if (is_current(&l, m)) {
		record(p, &l, m);
		return 0;
	}
	r = begin_change(p);
	if (r == 0)
		r = clear_way(p, &l, m);
	if (r == 0 && l.type == ENTRY_FILE)
		r = copy_file(p, &l);
	else if (r == 0 && l.type == ENTRY_LINK)
		r = copy_link(p, &l);
	else if (r == 0)
		r = copy_dir(p, &l);
	if (r == 0)
		r = record_made(p, &l);
	if (r != -ENOENT && r != -EACCES && r != -ELOOP)
		return r;
	/* Vanished, or became unreadable or a link, since the scan: left out
	 * as if the scan had not seen it. */
	p->result->unreadable += r == -EACCES;
	return 0;
}

/* Whether the mirror's E, which is left out by now, is only a copy of what was
 * agreed on before: not the mount's or the sandbox's own work. */
static bool is_mere_copy(struct populate *p, const struct entry *e)
{
	const struct entry *was;
	bool damaged = false;

	if (!p->agreed)
		p->agreed = session_load_table(
			p->s, STATE_BASE_MOUNT, &damaged);
	was = manifest_find(p->agreed, e->path);
	return was && !(diff_what(was, e) & ~(unsigned)DIFF_MTIME);
}

/* What the mirror has and the local directory has not, children first. */
static GPtrArray *find_extra(struct populate *p)
{
	GPtrArray *extra = g_ptr_array_new();

	for (size_t i = manifest_count(p->mirror); i-- > 0;) {
		const struct entry *e = manifest_at(p->mirror, i);

		if (!manifest_find(p->base_mirror, e->path) &&
			(!session_is_left_out(p->s, e->path,
				 e->type == ENTRY_DIR) ||
				is_mere_copy(p, e)))
			g_ptr_array_add(extra, (gpointer)e);
	}
	return extra;
}

/* Copies that are left out from now on: the sandbox's own stays there, so that
 * their going from the mirror must not be sent. */
static int forget_left_out(struct populate *p, const GPtrArray *extra)
{
	struct state *state = p->s->state;
	int r = state_begin(state, p->err);

	if (r < 0)
		return r;
	for (guint i = 0; r == 0 && i < extra->len; i++) {
		const struct entry *e = g_ptr_array_index(extra, i);

		if (!session_is_left_out(p->s, e->path, e->type == ENTRY_DIR))
			continue;
		r = state_remove(state, STATE_ACK_MIRROR, e->path, p->err);
		if (r == 0)
			r = state_remove(
				state, STATE_ACK_REMOTE, e->path, p->err);
	}
	if (r == 0)
		return state_commit(state, p->err);
	state_rollback(state);
	return r;
}

/* Removes it; a directory only when nothing that is left out remains in it. */
static int remove_extra(struct populate *p)
{
	g_autoptr(GPtrArray) extra = find_extra(p);
	int r = 0;

	if (extra->len) {
		r = begin_change(p);
		if (r == 0)
			r = forget_left_out(p, extra);
	}
	for (guint i = 0; r == 0 && i < extra->len; i++) {
		const struct entry *e = g_ptr_array_index(extra, i);

		r = beneath_unlink(p->s->mirror_fd, e->path,
			e->type == ENTRY_DIR ? AT_REMOVEDIR : 0);
		if (r == -ENOENT || r == -ENOTDIR || r == -ENOTEMPTY)
			r = 0;
		if (r < 0)
			return fail_errno(p->err, r, "remove %s from the mirror",
				e->path);
	}
	return r;
}

static int store_baseline(struct populate *p)
{
	struct state *state = p->s->state;

	return state_begin(state, p->err) < 0 ||
			state_store(state, STATE_BASE_LOCAL, p->base_local,
				p->err) < 0 ||
			state_store(state, STATE_BASE_MOUNT, p->base_mirror,
				p->err) < 0 ||
			state_set(state, "baseline", "done", p->err) < 0 ||
			moves_forget(p->s, p->err) < 0 ||
			state_commit(state, p->err) < 0
		? -EIO : 0;
}

static int copy_all(struct populate *p)
{
	size_t n = manifest_count(p->local);

	for (size_t i = 0; i < n; i++) {
		const struct entry *l = manifest_at(p->local, i);
		int r = take_entry(p, l);

		if (r < 0 && p->err && *p->err)
			return r;
		if (r < 0) {
			g_autofree char *shown = path_display(l->path);

			return fail_errno(p->err, r,
				"copy %s into the mirror in %s", shown,
				p->s->dir);
		}
		if (i % 64 == 0)
			session_step(p->s, "reading", i, n, false);
		if (cancel_is_raised(p->s->cancel))
			return fail(p->err, FAIL_CANCELLED,
				"prepare: interrupted; run it again");
	}
	manifest_sort(p->base_local);
	manifest_sort(p->base_mirror);
	return remove_extra(p);
}

static int scan_both(struct populate *p)
{
	bool damaged = false;
	g_autoptr(manifest_auto) cache_l = session_load_table(
		p->s, STATE_BASE_LOCAL, &damaged);
	g_autoptr(manifest_auto) cache_m = NULL;
	struct scan_options o = {
		.exclude = p->s->exclude,
		.cache = cache_l,
		.hash = SCAN_HASH_NONE,
	};

	if (scan_tree(p->local_fd, &o, &p->local, NULL, p->err) < 0)
		return -EIO;
	if (p->mirror)
		return 0;
	cache_m = session_load_table(p->s, STATE_BASE_MOUNT, &damaged);
	o.exclude = NULL;
	o.stubs = SCAN_STUBS;
	o.cache = cache_m;
	return scan_tree(p->s->mirror_fd, &o, &p->mirror, NULL, p->err);
}

int populate_mirror(struct session *s, struct manifest *mirror,
	struct prepare_result *result, bool *changed, GError **err)
{
	struct populate p = {
		.s = s, .local_fd = -1, .result = result, .err = err,
		.mirror = mirror,
		.base_local = manifest_new(), .base_mirror = manifest_new(),
	};
	bool replaced;
	int r;

	p.local_fd = session_open_local(s, &replaced, err);
	r = p.local_fd < 0 ? -EIO : scan_both(&p);
	if (r == 0)
		r = copy_all(&p);
	if (r == 0 && p.changed)
		r = session_make_lasting(s, NULL, err);
	if (r == 0)
		r = store_baseline(&p);
	if (p.local_fd >= 0)
		close(p.local_fd);
	manifest_free(p.local);
	manifest_free(p.mirror);
	manifest_free(p.agreed);
	manifest_free(p.base_local);
	manifest_free(p.base_mirror);
	if (r == 0)
		*changed = p.changed;
	return r < 0 ? -EIO : 0;
}
