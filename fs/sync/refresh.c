/*
 * The sandbox's own changes -> mirror: the same three-way merge as a restore,
 * with the acknowledged state as the baseline, the mirror as "ours" and the
 * sandbox as "theirs".
 *
 * The listing says what differs from what was acknowledged; changed files and
 * links are fetched in one tar into a staging directory; the plan is applied to
 * the mirror, through the mount point while it is mounted, so that the kernel's
 * caches and file watchers see it. Then the acknowledged rows say what the
 * sandbox was seen to hold, and whatever of it the mirror does not have (a
 * merge, a conflict) is dirty and goes out with the next batch.
 *
 * The id of the listing is kept only when everything in it was dealt with:
 * until then the sandbox keeps telling the same difference.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/apply.h"
#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

struct refresh {
	struct session *s;
	struct tree_listing *listing;
	struct manifest *ack_mirror, *ack_remote;
	GHashTable *changed;	/* path -> remote entry, or NULL when gone */
	struct manifest *got;	/* fetched files and links */
	struct manifest *ours, *theirs;
	struct plan *plan;
	char *staging, *trash;
	int staging_fd, made_fd, trash_fd;
	bool vanished;		/* something was gone before it was fetched */
};

static bool is_same_remote(const struct entry *a, const struct entry *b)
{
	if (a->type != b->type || a->mode != b->mode)
		return false;
	if (a->type == ENTRY_DIR)
		return true;
	return a->size == b->size && a->mtime_ns == b->mtime_ns &&
		a->ctime_ns == b->ctime_ns && a->ino == b->ino &&
		g_strcmp0(a->target, b->target) == 0;
}

static void note_present(struct refresh *r, const struct entry *e)
{
	const struct entry *ack = manifest_find(r->ack_remote, e->path);

	if (e->type == ENTRY_SPECIAL || (ack && is_same_remote(e, ack)))
		return;
	if (!ack && session_is_preserved(r->s, e->path))
		return;		/* the sandbox's own affair */
	g_hash_table_insert(r->changed, (gpointer)e->path, (gpointer)e);
}

static void note_gone(struct refresh *r, const char *path)
{
	if (manifest_find(r->ack_remote, path))
		g_hash_table_insert(r->changed, (gpointer)path, NULL);
}

/* Fills `changed` from the listing. Special files where something else was are
 * "gone" for us; they are never transferred. */
static void find_changed(struct refresh *r)
{
	const struct manifest *seen = r->listing->entries;

	for (size_t i = 0; i < manifest_count(seen); i++) {
		const struct entry *e = manifest_at(seen, i);

		if (e->type == ENTRY_SPECIAL)
			note_gone(r, e->path);
		else
			note_present(r, e);
	}
	if (!r->listing->full) {
		for (guint i = 0; i < r->listing->gone->len; i++)
			note_gone(r, g_ptr_array_index(r->listing->gone, i));
		return;
	}
	for (size_t i = 0; i < manifest_count(r->ack_remote); i++) {
		const char *path = manifest_at(r->ack_remote, i)->path;

		if (!manifest_find(seen, path))
			note_gone(r, path);
	}
}

/* A directory that could not be listed: what is below it is not gone. */
static void spare_unreadable(struct refresh *r)
{
	const struct manifest *seen = r->listing->entries;

	for (size_t i = 0; i < manifest_count(seen); i++) {
		const struct entry *e = manifest_at(seen, i);
		GHashTableIter it;
		gpointer path, entry;

		if (!(e->flags & ENTRY_UNREADABLE))
			continue;
		g_hash_table_iter_init(&it, r->changed);
		while (g_hash_table_iter_next(&it, &path, &entry))
			if (!entry && path_is_within(path, e->path))
				g_hash_table_iter_remove(&it);
	}
}

static int fetch_changed(struct refresh *r, GError **err)
{
	GPtrArray *paths = g_ptr_array_new();
	struct counters add = { 0 };
	struct call call = session_call(r->s);
	GHashTableIter it;
	gpointer path, value;
	int ret = 0;

	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, &value)) {
		const struct entry *e = value;

		if (e && (e->type == ENTRY_FILE || e->type == ENTRY_LINK))
			g_ptr_array_add(paths, path);
	}
	if (paths->len) {
		session_step(r->s, "fetching", 0, 0, true);
		ret = tree_fetch(r->s->tree, paths, r->staging_fd, &call,
			&r->got, err);
	} else {
		r->got = manifest_new();
		manifest_sort(r->got);
	}
	g_ptr_array_free(paths, TRUE);
	for (size_t i = 0; ret == 0 && i < manifest_count(r->got); i++) {
		add.fetched_files++;
		add.fetched_bytes +=
			(uint64_t)MAX(manifest_at(r->got, i)->size, 0);
	}
	session_count(r->s, &add);
	return ret;
}

/* Their version of a changed path: the fetched bytes with the listed mode. */
static void add_theirs(struct refresh *r, const struct entry *listed)
{
	struct entry e = *listed;
	const struct entry *got = manifest_find(r->got, listed->path);

	if (e.type != ENTRY_DIR) {
		if (!got || got->type != e.type) {
			const struct entry *ack =
				manifest_find(r->ack_mirror, listed->path);

			/* Gone or another thing by now: the next refresh will
			 * tell. Until then as it was. */
			r->vanished = true;
			if (ack)
				manifest_add(r->theirs, ack);
			return;
		}
		e.size = got->size;
		e.digest = got->digest;
		e.target = got->target;
		e.flags = got->flags;
	}
	e.ino = 0;
	e.ctime_ns = 0;
	manifest_add(r->theirs, &e);
}

static void build_theirs(struct refresh *r)
{
	GHashTableIter it;
	gpointer path, entry;

	r->theirs = manifest_new();
	for (size_t i = 0; i < manifest_count(r->ack_mirror); i++) {
		const struct entry *ack = manifest_at(r->ack_mirror, i);

		if (!g_hash_table_contains(r->changed, ack->path))
			manifest_add(r->theirs, ack);
	}
	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, &entry))
		if (entry)
			add_theirs(r, entry);
	manifest_sort(r->theirs);
}

static int scan_ours(struct refresh *r, GError **err)
{
	struct scan_options o = {
		.cache = r->ack_mirror, .hash = SCAN_HASH_CHANGED,
		.stubs = SCAN_STUBS,
	};

	return scan_tree(r->s->mirror_fd, &o, &r->ours, NULL, err);
}

static enum conflict_policy policy(const struct session *s)
{
	if (!strcmp(s->options->on_conflict, "local"))
		return CONFLICT_OURS;
	if (!strcmp(s->options->on_conflict, "sandbox"))
		return CONFLICT_THEIRS;
	return CONFLICT_BOTH;
}

static int open_theirs(void *ctx, const char *path, const struct entry *want,
	GError **err)
{
	struct refresh *r = ctx;
	int fd = beneath_open(r->staging_fd, path, O_RDONLY, 0);

	(void)want;
	if (fd < 0)
		fail_errno(err, fd, "open %s as fetched", path);
	return fd;
}

static int open_base(void *ctx, const struct digest *digest)
{
	struct refresh *r = ctx;

	return base_store_open(r->s->base, digest);
}

static void keep_bases(struct refresh *r)
{
	/* Their version is the ancestor of what comes next. */
	for (size_t i = 0; i < manifest_count(r->got); i++) {
		const struct entry *e = manifest_at(r->got, i);
		struct digest d;
		autofd int fd = -1;

		if (e->type != ENTRY_FILE || e->size > TEXT_MERGE_LIMIT)
			continue;
		fd = beneath_open(r->staging_fd, e->path, O_RDONLY, 0);
		if (fd >= 0)
			base_store_keep(r->s->base, fd, &d);
	}
}

/* The bytes that are about to be replaced in the mirror: what the baseline, or
 * the acknowledged state, may need to merge text against. */
static void keep_replaced(struct refresh *r)
{
	GHashTableIter it;
	gpointer path;

	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, NULL)) {
		const struct entry *ack = manifest_find(r->ack_mirror, path);
		struct digest d;
		autofd int fd = -1;

		if (!ack || ack->type != ENTRY_FILE ||
			ack->size > TEXT_MERGE_LIMIT)
			continue;
		fd = content_open(r->s->mirror_fd, path);
		if (fd >= 0)
			base_store_keep(r->s->base, fd, &d);
	}
}

static int open_dirs(struct refresh *r, GError **err)
{
	g_autofree char *made = NULL;
	g_autofree char *stamp = g_strdup_printf(
		"trash/refresh-%" PRId64, io_wall_ns() / 1000000);

	r->staging_fd = session_make_staging(r->s, &r->staging, err);
	if (r->staging_fd < 0)
		return -EIO;
	/* Made-up files are kept apart from fetched names. */
	made = g_strconcat(r->staging, "-made", NULL);
	int e = beneath_mkdir(r->s->dir_fd, made, 0700);

	if (e == 0)
		r->made_fd = e = beneath_open(
			r->s->dir_fd, made, O_RDONLY | O_DIRECTORY, 0);
	if (e >= 0)
		e = beneath_mkdir_all(r->s->dir_fd, stamp, 0700);
	if (e >= 0)
		r->trash_fd = e = beneath_open(
			r->s->dir_fd, stamp, O_RDONLY | O_DIRECTORY, 0);
	r->trash = g_strdup(stamp);
	return e < 0 ? fail_errno(err, e, "create %s in %s", stamp, r->s->dir)
		     : 0;
}

/* Applies the plan to the mirror; while mounted through the mount point. */
static int apply(struct refresh *r, GError **err)
{
	struct session *s = r->s;
	struct content content = {
		.open_theirs = open_theirs, .open_base = open_base, .ctx = r,
	};
	autofd int mount_fd = -1;
	struct apply_options o = {
		.root_fd = s->mirror_fd,
		.trash_fd = r->trash_fd,
		.staging_fd = r->made_fd,
		.id = "refresh",
		.name = s->name,
		.content = &content,
		.no_sync = true,
	};
	int ret;

	if (s->mounted_at) {
		mount_fd = open(s->mounted_at,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (mount_fd < 0)
			return fail_errno(err, -errno, "open the mount at %s",
				s->mounted_at);
		o.root_fd = mount_fd;
	}
	__atomic_store_n(&s->refresh_tid, (int)syscall(SYS_gettid),
		__ATOMIC_RELEASE);
	ret = resolve_plan(r->plan, &o, err);
	if (ret == 0)
		ret = apply_plan(r->plan, &o, err);
	__atomic_store_n(&s->refresh_tid, 0, __ATOMIC_RELEASE);
	return ret;
}

static int make_plan(struct refresh *r)
{
	struct reconcile_input in = {
		.base_ours = r->ack_mirror,
		.base_theirs = r->ack_mirror,
		.ours = r->ours,
		.theirs = r->theirs,
		.name = r->s->name,
		.remote_cwd = r->s->spec->remote_cwd,
		.on_conflict = policy(r->s),
		.trust_links = true,
		.review_off = true,
		.git_per_file = true,
		/* The mirror's trash keeps what goes; the gates of the restore
		 * guard the local directory. */
		.gates = { .allow_deletes = true },
	};

	r->plan = reconcile(&in);
	return 0;
}

/* The acknowledged rows of one changed path; the mirror's row describes the
 * mirror's file only when that holds exactly what the sandbox has. */
static int acknowledge_path(struct refresh *r, const char *path,
	const struct entry *listed, bool *dirty, GError **err)
{
	struct state *state = r->s->state;
	const struct entry *t = manifest_find(r->theirs, path);
	struct entry row, remote, now = { 0 };
	struct stat st;

	*dirty = false;
	if (!listed)
		return state_remove(state, STATE_ACK_MIRROR, path, err) < 0 ||
				state_remove(state, STATE_ACK_REMOTE, path,
					err) < 0
			? -EIO : 0;
	if (!t || (listed->type != ENTRY_DIR &&
			    !manifest_find(r->got, path)))
		return 0;	/* vanished: as it was */
	row = *t;
	row.path = path;
	*dirty = true;
	if (beneath_stat(r->s->mirror_fd, path, &st) == 0) {
		g_autofree char *target = NULL;

		entry_from_stat(&now, &st);
		now.path = path;
		if (now.type == ENTRY_LINK && beneath_readlink(
				r->s->mirror_fd, path, &target) == 0)
			now.target = target;
		if (content_is_stub(&st))
			now.flags |= ENTRY_STUB;
		else if (now.type == ENTRY_FILE && t->type == ENTRY_FILE &&
			now.size == t->size)
			scan_hash_file(r->s->mirror_fd, &now);
		if (entry_same_content(&now, t) &&
			(now.type == ENTRY_LINK ||
				entry_perm(&now) == entry_perm(t))) {
			row = now;
			row.target = t->target;
			row.flags &= (uint8_t)~ENTRY_RACY;
			*dirty = false;
		}
	}
	remote = *listed;
	remote.target = t->target;
	return state_put(state, STATE_ACK_MIRROR, &row, err) < 0 ||
			state_put(state, STATE_ACK_REMOTE, &remote, err) < 0
		? -EIO : 0;
}

/* Every path that the plan wrote and the sandbox does not list with the same
 * bytes (merged texts, conflict copies) has to be sent. */
static void mark_written(struct refresh *r)
{
	if (!r->s->mirror)
		return;
	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);

		if (op->action != PLAN_REPORT &&
			op->outcome == PLAN_DONE &&
			!g_hash_table_contains(r->changed, op->path))
			mirror_mark(r->s->mirror, op->path, true);
	}
}

static int acknowledge(struct refresh *r, GError **err)
{
	struct state *state = r->s->state;
	GHashTableIter it;
	gpointer path, listed;
	int ret = 0;

	if (state_begin(state, err) < 0)
		return -EIO;
	g_hash_table_iter_init(&it, r->changed);
	while (ret == 0 && g_hash_table_iter_next(&it, &path, &listed)) {
		bool dirty;

		ret = acknowledge_path(r, path, listed, &dirty, err);
		if (ret == 0 && r->s->mirror)
			mirror_mark(r->s->mirror, path, dirty);
	}
	if (ret == 0 && !r->vanished)
		ret = state_set(state, "listing", r->listing->id, err);
	if (ret < 0) {
		state_rollback(state);
		return ret;
	}
	mark_written(r);
	return state_commit(state, err);
}

static void log_conflicts(struct refresh *r)
{
	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);
		g_autofree char *path =
			path_display(op->subject ? op->subject : op->path);

		if (op->outcome == PLAN_FAILED)
			log_write(LOG_ERROR, "refresh: %s: %s", path,
				op->error ? op->error : "failed");
		else if (op->list == PLAN_CONFLICTS)
			log_write(LOG_WARNING,
				"%s was changed here and in the sandbox; the "
				"sandbox's version is beside it", path);
		else if (op->list == PLAN_MERGED)
			log_write(LOG_INFO,
				"%s was changed here and in the sandbox: "
				"merged", path);
	}
}

static void release(struct refresh *r)
{
	if (r->staging_fd >= 0)
		close(r->staging_fd);
	if (r->made_fd >= 0)
		close(r->made_fd);
	if (r->trash_fd >= 0)
		close(r->trash_fd);
	if (r->staging) {
		g_autofree char *made = g_strconcat(r->staging, "-made", NULL);

		session_remove_staging(r->s, r->staging);
		session_remove_staging(r->s, made);
	}
	/* An empty trash is no trash. */
	if (r->trash)
		beneath_unlink(r->s->dir_fd, r->trash, AT_REMOVEDIR);
	g_free(r->staging);
	g_free(r->trash);
	tree_listing_free(r->listing);
	manifest_free(r->ack_mirror);
	manifest_free(r->ack_remote);
	manifest_free(r->got);
	manifest_free(r->ours);
	manifest_free(r->theirs);
	plan_free(r->plan);
	if (r->changed)
		g_hash_table_destroy(r->changed);
}

static int take_changes(struct refresh *r, GError **err)
{
	bool reload = r->s->mirror && !r->s->mounted_at;
	int ret;

	if (open_dirs(r, err) < 0 || fetch_changed(r, err) < 0)
		return -EIO;
	build_theirs(r);
	if (scan_ours(r, err) < 0)
		return -EIO;
	make_plan(r);
	keep_bases(r);
	keep_replaced(r);
	/* Below the node table's back only when nobody looks at it. */
	if (reload)
		session_unload_mirror(r->s);
	ret = apply(r, err);
	if (ret == 0)
		ret = acknowledge(r, err);
	log_conflicts(r);
	if (reload && session_reload_mirror(r->s, ret == 0 ? err : NULL) < 0)
		ret = -EIO;
	return ret;
}

int refresh_flow(struct session *s, GError **err)
{
	struct refresh r = {
		.s = s, .staging_fd = -1, .made_fd = -1, .trash_fd = -1,
	};
	g_autofree char *since = state_get(s->state, "listing");
	struct call call = session_call(s);
	bool damaged = false;
	int ret;

	if (session_connect(s, err) < 0)
		return -EIO;
	session_step(s, "listing the sandbox", 0, 0, false);
	ret = tree_list(s->tree, since, s->exclude, &call, &r.listing, err);
	if (ret == 0) {
		r.ack_mirror = session_load_table(
			s, STATE_ACK_MIRROR, &damaged);
		r.ack_remote = session_load_table(
			s, STATE_ACK_REMOTE, &damaged);
		r.changed = g_hash_table_new(g_str_hash, g_str_equal);
		find_changed(&r);
		spare_unreadable(&r);
		if (!damaged && g_hash_table_size(r.changed))
			ret = stubs_follow(s, &r.ack_mirror, &r.ack_remote,
				r.changed, err);
		if (ret < 0)
			;	/* said already */
		else if (damaged)
			ret = fail(err, FAIL_LOCAL,
				"refresh: the record of what the sandbox "
				"acknowledged is damaged; `sandmount restore "
				"%s` merges what the mirror holds", s->name);
		else if (g_hash_table_size(r.changed))
			ret = take_changes(&r, err);
		else
			ret = state_set(
				s->state, "listing", r.listing->id, err);
	}
	release(&r);
	return ret;
}

int session_refresh(struct session *s, GError **err)
{
	session_enter_flow(s);
	int r = refresh_flow(s, err);
	session_leave_flow(s);
	return r;
}
