#include "merge/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/scan_hash.h"
#include "merge/scan_pool.h"

enum { TRIES = 3 }; /* looks at a path that keeps changing its type */

/* Something that is about to be looked at: NAME in DIR_FD is PATH. */
struct place {
	int dir_fd;
	const char *name, *path;
	unsigned char d_type; /* as readdir(3) has it */
};

static enum entry_type type_of_dirent(unsigned char d_type)
{
	switch (d_type) {
	case DT_DIR:
		return ENTRY_DIR;
	case DT_LNK:
		return ENTRY_LINK;
	case DT_FIFO:
	case DT_SOCK:
	case DT_CHR:
	case DT_BLK:
		return ENTRY_SPECIAL;
	default:
		return ENTRY_FILE;
	}
}

static void add_unreadable(struct worker *w, struct entry *e)
{
	e->flags = ENTRY_UNREADABLE;
	if (e->type == ENTRY_LINK)
		e->target = "";
	add_done(w, e);
}

static bool is_excluded(struct worker *w, const char *path, bool is_dir)
{
	if (!exclude_match_here(w->s->o->exclude, path, is_dir))
		return false;
	w->stats.excluded++;
	return true;
}

static void take_file(struct worker *w, struct entry *e, const struct stat *st)
{
	const struct manifest *cache = w->s->o->cache;
	const struct entry *known = cache ? manifest_find(cache, e->path) : NULL;

	if (w->s->o->stubs != SCAN_NO_STUBS && st->st_mode & S_ISVTX) {
		e->flags |= ENTRY_STUB;
		if (w->s->o->stubs == SCAN_STUBS_UNREADABLE)
			e->flags |= ENTRY_UNREADABLE;
		e->mode &= (uint16_t)~S_ISVTX;
		add_done(w, e);
		return;
	}
	if (known && known->type == ENTRY_FILE &&
		known->flags & ENTRY_HASHED && entry_stat_matches(known, st)) {
		e->digest = known->digest;
		e->flags |= ENTRY_HASHED;
	}
	entry_mark_racy(e, w->s->start_ns);
	if (!(e->flags & ENTRY_HASHED) && w->s->o->hash == SCAN_HASH_CHANGED)
		add_unhashed(w, e);
	else
		add_done(w, e);
}

static void take_subdir(struct worker *w, struct entry *e,
	const struct stat *st)
{
	/* Not even opened: that might mount something, or hang. */
	if (st->st_dev != w->s->dev) {
		add_unreadable(w, e);
		return;
	}
	push_dir(w, e->path, st);
}

/* 0, or -EINVAL when it is no link any more. */
static int take_link(struct worker *w, struct entry *e, const struct place *at)
{
	char target[PATH_MAX + 1];
	ssize_t len = readlinkat(at->dir_fd, at->name, target, PATH_MAX);

	if (len < 0 && errno == EINVAL)
		return -EINVAL;
	if (len < 0 && errno == ENOENT)
		return 0;
	if (len < 0) {
		add_unreadable(w, e);
		return 0;
	}
	target[len] = '\0';
	e->target = target;
	add_done(w, e);
	return 0;
}

/* 0 when done with PLACE, -EINVAL when its type changed on the way. */
static int look_once(struct worker *w, const struct place *at)
{
	struct entry e = { .path = at->path };
	struct stat st;
	bool known = at->d_type != DT_UNKNOWN;

	if (known && is_excluded(w, at->path, at->d_type == DT_DIR))
		return 0;
	if (fstatat(at->dir_fd, at->name, &st,
		    AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
		e.type = type_of_dirent(at->d_type);
		if (errno != ENOENT)
			add_unreadable(w, &e);
		return 0;
	}
	if ((!known || S_ISDIR(st.st_mode) != (at->d_type == DT_DIR)) &&
		is_excluded(w, at->path, S_ISDIR(st.st_mode)))
		return 0;
	entry_from_stat(&e, &st);
	switch ((enum entry_type)e.type) {
	case ENTRY_FILE:
		take_file(w, &e, &st);
		break;
	case ENTRY_DIR:
		take_subdir(w, &e, &st);
		break;
	case ENTRY_LINK:
		return take_link(w, &e, at);
	case ENTRY_SPECIAL:
	case ENTRY_ABSENT:
		add_done(w, &e);
		break;
	}
	return 0;
}

static void look(struct worker *w, const struct place *at)
{
	struct entry e = { .path = at->path, .type = ENTRY_LINK };

	for (unsigned tries = 0; tries < TRIES; tries++)
		if (look_once(w, at) == 0)
			return;
	add_unreadable(w, &e);
}

/* E turned out to be something else than it was when it was queued. */
static void look_again(struct worker *w, struct entry *e)
{
	struct place at = { .path = e->path, .d_type = DT_UNKNOWN };
	autofd int fd = -1;

	if (w->tries >= TRIES) {
		add_unreadable(w, e);
		return;
	}
	fd = beneath_open_parent(w->s->root_fd, e->path, &at.name);
	/* Its directory is none any more: then it is gone too. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return;
	if (fd < 0) {
		add_unreadable(w, e);
		return;
	}
	at.dir_fd = fd;
	flush_unhashed(w);
	w->tries++;
	look(w, &at);
	flush_unhashed(w);
	w->tries--;
}

/* 0, or -ENAMETOOLONG when it has no place in a manifest. */
static int look_at_name(struct worker *w, int dir_fd, const char *dir,
	const struct dirent *d)
{
	g_autofree char *path = NULL;
	struct place at = { .dir_fd = dir_fd, .d_type = d->d_type };

	if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
		return 0;
	if (!w->s->o->keep_temps && io_is_temp_name(d->d_name))
		return 0;
	path = path_join(dir, d->d_name);
	if (path_check(path, strlen(path)) < 0)
		return is_excluded(w, path, d->d_type == DT_DIR)
			? 0
			: -ENAMETOOLONG;
	at.name = d->d_name;
	at.path = path;
	look(w, &at);
	return 0;
}

/* Takes ownership of FD. 0, or a negative errno when not all could be listed;
 * what could be was. */
static int list_dir(struct worker *w, int fd, const char *path)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (!is_cancelled(w->s->o->cancel)) {
		int one;

		errno = 0;
		d = readdir(dir);
		if (!d) {
			r = errno ? -errno : r;
			break;
		}
		one = look_at_name(w, fd, path, d);
		r = r ? r : one;
	}
	closedir(dir);
	flush_unhashed(w);
	return r;
}

static bool is_mount_point(const struct scan *s, int fd, const struct stat *st)
{
	struct statx sx = { 0 };

	if (st->st_dev != s->dev)
		return true;
	return statx(fd, "", AT_EMPTY_PATH, 0, &sx) == 0 &&
		sx.stx_attributes_mask & sx.stx_attributes &
		STATX_ATTR_MOUNT_ROOT;
}

static void run_dir(struct worker *w, const struct job *j)
{
	struct entry e = { .path = j->path };
	struct stat st;
	autofd int fd = -1;

	entry_from_stat(&e, &j->st);
	fd = beneath_open(w->s->root_fd, j->path,
		O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
	if (fd == -ENOENT)
		return;
	if (fd == -ENOTDIR || fd == -ELOOP) {
		look_again(w, &e);
		return;
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		add_unreadable(w, &e);
		return;
	}
	entry_from_stat(&e, &st);
	if (is_mount_point(w->s, fd, &st) ||
		list_dir(w, steal_fd(&fd), j->path) < 0)
		add_unreadable(w, &e);
	else
		add_done(w, &e);
}

static void run_file(struct worker *w, struct entry *e)
{
	const struct scan_options *o = w->s->o;
	const struct hash_options hash = {
		.root_fd = w->s->root_fd,
		.start_ns = w->s->start_ns,
		.cancel = o->cancel,
	};
	int r;

	if (o->on_hash)
		o->on_hash(o->ctx, e->path, e->size);
	r = hash_entry(&hash, e, &w->stats.hashed_bytes);
	w->stats.hashed_files += r == 0;
	if (r == 0 || r == -EAGAIN)
		add_done(w, e);
	else if (r == -ENOTSUP)
		look_again(w, e);
	else if (r != -ENOENT && r != -ECANCELED)
		add_unreadable(w, e);
}

static void run_job(struct worker *w, const struct job *j)
{
	w->tries = j->tries;
	if (j->path)
		run_dir(w, j);
	for (unsigned i = 0; j->files && i < j->files->entries->len; i++) {
		if (is_cancelled(w->s->o->cancel))
			return;
		run_file(w, &g_array_index(j->files->entries, struct entry, i));
	}
}

static int root_fail(int root_fd, int r, GError **err)
{
	g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", root_fd);
	g_autofree char *path = g_file_read_link(link, NULL);
	g_autofree char *shown = path_display(path ? path : "the directory");

	return fail(err, FAIL_LOCAL, "cannot list all of %s: %s; check that it "
		"is there and readable", shown, g_strerror(-r));
}

/* The root is listed before any thread runs: without it there is no scan. */
static int scan_root(struct worker *w, GError **err)
{
	struct scan *s = w->s;
	autofd int fd = beneath_open(s->root_fd, "", O_RDONLY | O_DIRECTORY, 0);
	struct stat st;
	int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;

	if (r < 0)
		return root_fail(s->root_fd, r, err);
	s->dev = st.st_dev;
	r = list_dir(w, steal_fd(&fd), "");
	return r < 0 ? root_fail(s->root_fd, r, err) : 0;
}

int scan_tree(int root_fd, const struct scan_options *options,
	struct manifest **out, struct scan_stats *stats, GError **err)
{
	struct scan s;
	struct worker w;
	int r;

	pool_init(&s, root_fd, options);
	s.run_job = run_job;
	worker_init(&w, &s);
	r = scan_root(&w, err);
	if (r == 0)
		pool_run(&w);
	worker_release(&w);
	if (r == 0 && is_cancelled(options->cancel)) {
		fail(err, FAIL_CANCELLED, "scan: stopped as asked; nothing was "
			"changed");
		r = -ECANCELED;
	}
	if (r == 0) {
		manifest_sort(s.out);
		s.stats.entries = manifest_count(s.out);
		if (stats)
			*stats = s.stats;
		*out = g_steal_pointer(&s.out);
	}
	pool_release(&s);
	return r;
}
