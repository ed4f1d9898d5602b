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
#include "fs/sync/refresh.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/sync/specials.h"
#include "merge/apply.h"
#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

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
	r->id = io_random_hex(8);
	return e < 0 ? fail_errno(err, e, "create %s in %s", stamp, r->s->dir)
		     : 0;
}

/* Whether DIR is a FUSE mount's root, and not the directory below that shows
 * again once it was unmounted. */
static bool is_mount(int dir)
{
	struct statfs fs;
	struct stat st, up;

	return fstatfs(dir, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC &&
		fstat(dir, &st) == 0 &&
		(fstatat(dir, "..", &up, 0) < 0 || up.st_dev != st.st_dev);
}

int refresh_expect_temps(struct refresh *r, GError **err)
{
	if (r->writes_temps)
		return 0;
	r->writes_temps = true;
	return leftovers_expect(r->s, r->id, err);
}

/* Below the mirror's node table: nothing is mounted. */
static int apply_unmounted(struct refresh *r, const struct apply_options *o,
	GError **err)
{
	return refresh_expect_temps(r, err) < 0
		? -EIO : apply_plan(r->plan, o, err);
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
		.id = r->id,
		.name = s->name,
		.content = &content,
		/* Through the mount bytes are exchanged in place: after a power
		 * failure in the middle that is as if the user had written. */
		.no_sync = s->mounted_at != NULL,
	};
	int ret;

	if (s->mounted_at) {
		mount_fd = open(s->mounted_at,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (mount_fd < 0)
			return fail_errno(err, -errno, "open the mount at %s",
				s->mounted_at);
		if (!is_mount(mount_fd))
			return fail(err, FAIL_FAILED,
				"refresh: the mount at %s has ended",
				s->mounted_at);
		o.root_fd = mount_fd;
	}
	__atomic_store_n(&s->refresh_tid, (int)syscall(SYS_gettid),
		__ATOMIC_RELEASE);
	ret = resolve_plan(r->plan, &o, err);
	if (ret == 0)
		ret = s->mounted_at ? refresh_apply_mounted(r, &o, err)
				    : apply_unmounted(r, &o, err);
	if (r->writes_temps)
		leftovers_none(s);
	__atomic_store_n(&s->refresh_tid, 0, __ATOMIC_RELEASE);
	if (ret == 0 && r->large->len)
		ret = refresh_place_large(r, o.root_fd, err);
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
		.review_off = !r->review,
		.git_per_file = true,
		/* The mirror's trash keeps what goes; the gates of the restore
		 * guard the local directory. */
		.gates = { .allow_deletes = true },
	};

	r->plan = reconcile(&in);
	return 0;
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
	g_free(r->id);
	tree_listing_free(r->listing);
	manifest_free(r->ack_mirror);
	manifest_free(r->ack_remote);
	manifest_free(r->got);
	manifest_free(r->ours);
	manifest_free(r->theirs);
	plan_free(r->plan);
	if (r->changed)
		g_hash_table_destroy(r->changed);
	if (r->moved)
		g_ptr_array_free(r->moved, TRUE);
	if (r->large)
		g_ptr_array_free(r->large, TRUE);
}

/* What came in, and what is kept of it for later. */
static int make_lasting(struct refresh *r, GError **err)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new();
	GHashTableIter it;
	gpointer path;
	bool trashed = false;

	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, NULL))
		g_ptr_array_add(paths, path);
	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);

		g_ptr_array_add(paths, op->path);
		trashed |= op->trash != NULL;
	}
	return session_make_lasting(r->s,
		trashed || r->moved->len || r->large->len ? NULL : paths, err);
}

static int take_changes(struct refresh *r, GError **err)
{
	bool reload = r->s->mirror && !r->s->mounted_at;
	int ret;

	if (open_dirs(r, err) < 0 || refresh_fetch(r, err) < 0)
		return -EIO;
	refresh_build_theirs(r);
	if (scan_ours(r, err) < 0)
		return -EIO;
	make_plan(r);
	refresh_keep_bases(r);
	/* Below the node table's back only when nobody looks at it. */
	if (reload)
		session_unload_mirror(r->s);
	ret = apply(r, err);
	if (ret == 0)
		ret = make_lasting(r, err);
	if (ret == 0)
		ret = refresh_acknowledge(r, err);
	log_conflicts(r);
	if (reload && session_reload_mirror(r->s, ret == 0 ? err : NULL) < 0)
		ret = -EIO;
	return ret;
}

/* All that the sandbox had is gone at once, two entries or more: emptied or
 * replaced under its mark, unless somebody said that it is so. */
static int check_emptied(struct refresh *r, GError **err)
{
	size_t had = 0;

	if (r->s->allow_emptied || manifest_count(r->listing->entries))
		return 0;
	for (size_t i = 0; i < manifest_count(r->ack_remote); i++) {
		const struct entry *e = manifest_at(r->ack_remote, i);

		had += !session_is_left_out(
			r->s, e->path, e->type == ENTRY_DIR);
	}
	if (had < 2 || (!r->listing->full && r->listing->gone->len < had))
		return 0;
	return fail(err, FAIL_GONE,
		"the workspace in the sandbox was emptied; nothing was taken "
		"as deleted here: `sandmount refresh --allow-deletes %s` takes "
		"it so, `sandmount prepare` fills it again", r->s->name);
}

/* What differs, when anything does. */
static int settle_listing(struct refresh *r, GError **err)
{
	struct session *s = r->s;
	bool damaged = false;

	r->ack_mirror = session_load_table(s, STATE_ACK_MIRROR, &damaged);
	r->ack_remote = session_load_table(s, STATE_ACK_REMOTE, &damaged);
	if (damaged)
		return fail(err, FAIL_LOCAL,
			"refresh: the record of what the sandbox acknowledged "
			"is damaged; `sandmount restore %s` merges what the "
			"mirror holds", s->name);
	if (check_emptied(r, err) < 0)
		return -EIO;
	if (specials_note(s, r->listing, err) < 0)
		return -EIO;
	r->moved = g_ptr_array_new();
	r->changed = g_hash_table_new(g_str_hash, g_str_equal);
	refresh_find_changed(r);
	if (refresh_follow_moves(r, err) < 0)
		return -EIO;
	if (g_hash_table_size(r->changed) &&
		stubs_follow(s, &r->ack_mirror, r->ack_remote, r->changed,
			err) < 0)
		return -EIO;
	refresh_choose_large(r);
	if (g_hash_table_size(r->changed) || r->large->len)
		return take_changes(r, err);
	return state_set(s->state, "listing", r->listing->id, err);
}

static bool is_nothing_new(const struct tree_listing *l, const char *since)
{
	return !l->full && g_strcmp0(l->id, since) == 0;
}

int refresh_with(struct session *s, const struct call *call, bool *changed,
	GError **err)
{
	struct refresh r = {
		.s = s, .staging_fd = -1, .made_fd = -1, .trash_fd = -1,
		.review = s->mounted_at != NULL,
		.call = session_call(s),
	};
	g_autofree char *since = state_get(s->state, "listing");
	int ret;

	if (session_connect(s, err) < 0)
		return -EIO;
	session_step(s, "listing the sandbox", 0, 0, false);
	ret = tree_list(s->tree, since, s->follow ? NULL : s->exclude, call,
		&r.listing, err);
	if (ret == 0 && !is_nothing_new(r.listing, since)) {
		ret = settle_listing(&r, err);
		if (changed)
			*changed = ret == 0 && r.moved &&
				(r.moved->len ||
					(r.plan && (plan_count(r.plan) ||
							r.large->len)));
	}
	/* Only now the rows are known to be what the sandbox has. */
	if (ret == 0 && !r.vanished && s->mounted_at)
		evict_over_limit(s);
	if (ret == 0 && s->follow)
		g_clear_pointer(&s->follow, g_hash_table_destroy);
	release(&r);
	return ret;
}

int refresh_flow(struct session *s, GError **err)
{
	struct call call = session_call(s);

	return refresh_with(s, &call, NULL, err);
}

int session_refresh(struct session *s, bool allow_deletes, GError **err)
{
	session_enter_flow(s);
	s->allow_emptied = allow_deletes;
	int r = refresh_flow(s, err);
	s->allow_emptied = false;
	session_leave_flow(s);
	if (r == 0)
		session_note_success(s);
	session_note_active(s);
	return r;
}
