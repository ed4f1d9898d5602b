/*
 * The three-way merge into the local directory.
 *
 *	flush, refresh		the sandbox's last word, while it answers
 *	finish			a plan an earlier run was killed in
 *	scan, reconcile, resolve, journal, apply	again (bounded) for
 *				paths that changed meanwhile
 *	rebase			the merged state is the new baseline
 *
 * With the sandbox gone, silent or replaced the mirror is what is merged: it
 * holds everything the mount ever showed.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/sync/conflicts.h"
#include "fs/sync/restore.h"
#include "fs/sync/specials.h"
#include "merge/apply.h"
#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/scan.h"
#include "transport/json.h"

enum { RESTORE_ROUNDS = 3, MARK_GROUP = 256 };

static int open_theirs(void *ctx, const char *path, const struct entry *want,
	GError **err)
{
	struct restore *r = ctx;
	int fd = r->s->mirror
		? mirror_open_content(r->s->mirror, path)
		: content_open(r->s->mirror_fd, path);

	(void)want;
	if (fd < 0) {
		g_autofree char *shown = path_display(path);

		fail_errno(err, fd, "open %s in the mirror", shown);
	}
	return fd;
}

static int open_base(void *ctx, const struct digest *digest)
{
	struct restore *r = ctx;

	return base_store_open(r->s->base, digest);
}

static int mark_until(struct restore *r, const struct plan *p, size_t end,
	GError **err)
{
	size_t first = r->marked;

	r->marked = end;
	return state_mark_ops(
		r->s->state, "restore", p, first, end, err);
}

/* Outcomes are kept in groups, as each transaction waits for the disk. A kill
 * loses those of the last group: apply finds by the state of each path, and of
 * the trash, that it was done. */
static int mark(void *ctx, const struct plan *p, size_t index, GError **err)
{
	struct restore *r = ctx;

	session_step(r->s, "restoring", index + 1, plan_count(p), false);
	if (index + 1 - r->marked < MARK_GROUP)
		return 0;
	return mark_until(r, p, index + 1, err);
}

/* Applies a plan that is journalled, and keeps all its outcomes. */
int restore_apply(struct restore *r, struct plan *p,
	const struct apply_options *o, GError **err)
{
	int ret;

	r->marked = 0;
	ret = apply_plan(p, o, err);
	if (mark_until(r, p, plan_count(p), ret == 0 ? err : NULL) < 0)
		ret = -EIO;
	return ret;
}

int restore_scan_sides(struct restore *r, GError **err)
{
	struct scan_options o = {
		.exclude = r->s->exclude, .hash = SCAN_HASH_CHANGED,
	};

	manifest_free(g_steal_pointer(&r->ours));
	manifest_free(g_steal_pointer(&r->theirs));
	session_step(r->s, "comparing", 0, 0, false);
	o.cache = r->base_ours;
	if (scan_tree(r->local_fd, &o, &r->ours, NULL, err) < 0)
		return -EIO;
	o.cache = r->base_theirs;
	o.stubs = SCAN_STUBS_UNREADABLE;
	if (scan_tree(r->s->mirror_fd, &o, &r->theirs, NULL, err) < 0)
		return -EIO;
	specials_add(r->s, &r->theirs);
	return 0;
}

/* Whether the local file system folds case: asked of the disk itself. The name
 * is always the same, so that one left by a kill goes the next time. */
static bool folds_case(int local_fd)
{
	static const char temp[] = ".sandmount-casefoldtest.tmp";
	g_autofree char *upper = g_ascii_strup(temp, -1);
	struct stat st;
	autofd int fd = beneath_open(
		local_fd, temp, O_WRONLY | O_CREAT, 0600);
	bool folds = fd >= 0 && beneath_stat(local_fd, upper, &st) == 0;

	if (fd >= 0)
		beneath_unlink(local_fd, temp, 0);
	return folds;
}

static enum conflict_policy policy(const struct session *s)
{
	if (!strcmp(s->options->on_conflict, "local"))
		return CONFLICT_OURS;
	if (!strcmp(s->options->on_conflict, "sandbox"))
		return CONFLICT_THEIRS;
	return CONFLICT_BOTH;
}

void restore_make_input(struct restore *r)
{
	struct statvfs vfs = { 0 };

	fstatvfs(r->local_fd, &vfs);
	r->input = (struct reconcile_input){
		.base_ours = r->base_ours,
		.base_theirs = r->base_theirs,
		.ours = r->ours,
		.theirs = r->theirs,
		.exclude = r->s->exclude,
		.name = r->s->name,
		.remote_cwd = r->s->spec->remote_cwd,
		.preserve_absent =
			(const char *const *)r->s->options->preserve_absent,
		.moves = (const struct reconcile_move *)(void *)
			r->moves->data,
		.move_count = r->moves->len,
		.on_conflict = policy(r->s),
		.fold_case = r->fold_case,
		.name_max = (unsigned)vfs.f_namemax,
		.gates = {
			.allow_deletes = r->o->allow_deletes,
			.ours_replaced = r->replaced,
			.base_damaged = r->damaged,
			.free_bytes = vfs.f_bavail * vfs.f_frsize,
		},
	};
}

static struct plan *plan_round(struct restore *r)
{
	restore_make_input(r);
	return reconcile(&r->input);
}

/* Moves what is final of FROM (done, failed, report) to the end of the plan
 * that is reported. */
static void keep_lines(struct plan *all, struct plan *from)
{
	for (size_t i = 0; i < plan_count(from); i++) {
		struct plan_op *op = plan_at(from, i);

		if (op->outcome == PLAN_CHANGED)
			continue;
		g_ptr_array_index(from->ops, i) = NULL;
		g_ptr_array_add(all->ops, op);
	}
	for (guint i = from->ops->len; i-- > 0;)
		if (!g_ptr_array_index(from->ops, i))
			g_ptr_array_remove_index(from->ops, i);
	all->gated |= from->gated;
	all->incomplete |= from->incomplete;
}

static bool has_changed_ops(const struct plan *p)
{
	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->outcome == PLAN_CHANGED)
			return true;
	return false;
}

struct apply_options restore_apply_options(struct restore *r)
{
	r->content = (struct content){
		.open_theirs = open_theirs, .open_base = open_base, .ctx = r,
	};
	return (struct apply_options){
		.root_fd = r->local_fd,
		.trash_fd = r->trash_fd,
		.staging_fd = r->staging_fd,
		.id = r->id,
		.name = r->s->name,
		.content = &r->content,
		.mark = mark,
		.ctx = r,
	};
}

/* Plans, and applies what was planned until nothing changes under it. */
static int merge_rounds(struct restore *r, GError **err)
{
	struct apply_options ao = restore_apply_options(r);

	for (int i = 0; i < RESTORE_ROUNDS; i++) {
		g_autoptr(plan_auto) plan = NULL;
		bool again;

		if (restore_scan_sides(r, err) < 0)
			return -EIO;
		plan = plan_round(r);
		ao.ours = r->ours;
		ao.theirs = r->theirs;
		ao.name_max = r->input.name_max;
		if (resolve_plan(plan, &ao, err) < 0)
			return -EIO;
		if (r->o->dry_run) {
			keep_lines(r->all, plan);
			return 0;
		}
		if (r->o->picks && restore_take_picks(r, plan, err) < 0)
			return -EIO;
		/* Repeated lines of an earlier round say nothing new. */
		if (i > 0)
			drop_reported(r->all, plan);
		/* The journal speaks of what is staged. */
		if (restore_sync_staged(r, err) < 0 ||
			state_save_plan(r->s->state, "restore", plan, err) < 0 ||
			restore_apply(r, plan, &ao, err) < 0)
			return -EIO;
		again = has_changed_ops(plan);
		if (again && i + 1 == RESTORE_ROUNDS)
			fail_changed(plan);
		keep_lines(r->all, plan);
		if (!again)
			break;
	}
	return 0;
}

/* An earlier run was killed: its journalled plan is applied to the end. */
static int finish_interrupted(struct restore *r, GError **err)
{
	struct plan *plan = NULL;
	struct apply_options ao = restore_apply_options(r);

	if (state_load_plan(r->s->state, "restore", &plan, err) < 0)
		return -EIO;
	if (!plan)
		return 0;
	log_write(LOG_INFO, "finishing an interrupted restore");
	int ret = restore_apply(r, plan, &ao, err);

	if (ret == 0)
		keep_lines(r->all, plan);
	plan_free(plan);
	return ret;
}

/* The id of this restore: an interrupted one's, so that its temporaries and
 * trash are found, else a new one, kept before anything is written. */
int restore_choose_id(struct restore *r, GError **err)
{
	struct plan *open_plan = NULL;
	g_autofree char *old = state_get(r->s->state, "restore-id");

	if (state_load_plan(r->s->state, "restore", &open_plan, err) < 0)
		return -EIO;
	r->interrupted = open_plan != NULL;
	plan_free(open_plan);
	if (r->interrupted && old) {
		r->id = g_steal_pointer(&old);
		return 0;
	}
	r->id = g_strdup_printf("r%" PRId64, io_wall_ns() / 1000000);
	if (r->o->dry_run)
		return 0;
	return state_set(r->s->state, "restore-id", r->id, err);
}

static int load_bases(struct restore *r, GError **err)
{
	g_autofree char *mark_text = state_get(r->s->state, "baseline");

	r->base_ours = session_load_table(
		r->s, STATE_BASE_LOCAL, &r->damaged);
	r->base_theirs = session_load_table(
		r->s, STATE_BASE_MOUNT, &r->damaged);
	if (mark_text && !strcmp(mark_text, "done"))
		return 0;
	/* Killed while it was prepared: nothing was shown to anybody yet. */
	return fail(err, FAIL_FAILED,
		"session %s: was never fully prepared; run `sandmount prepare` "
		"or `mount` again, or `sandmount forget %s`",
		r->s->name, r->s->name);
}

int restore_lock_local(struct restore *r, GError **err)
{
	r->local_fd = session_open_local(r->s, &r->replaced, err);
	if (r->local_fd < 0)
		return -EIO;
	if (flock(r->local_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return fail(err, FAIL_PENDING,
			"restore into %s: another restore is writing there; "
			"try again when it has ended", r->s->options->local);
	r->fold_case = folds_case(r->local_fd);
	return 0;
}

/* Everything dirty out. FAIL_PENDING as long as the sandbox answers. */
static int send_dirty(struct restore *r, GError **err)
{
	struct session *s = r->s;

	refusals_retry(s);
	return upload_until(
		s, mirror_sequence(s->mirror), r->deadline_ns, NULL, err);
}

/* Everything dirty out, everything new in; a sandbox that does not answer is
 * no reason not to merge, and paths that it refuses none not to look. */
static void exchange_with_sandbox(struct restore *r)
{
	g_autoptr(GError) why = NULL;
	struct session *s = r->s;

	if (session_load(s, &why) < 0 ||
		(send_dirty(r, &why) < 0 && !refusals_any(s)))
		goto out;
	if (refresh_flow(s, why ? NULL : &why) < 0)
		goto out;
	/* What the refresh merged or kept beside goes out as well. */
	send_dirty(r, why ? NULL : &why);
out:
	if (!why)
		return;
	log_write(LOG_WARNING, "before the restore: %s", why->message);
	r->note = g_strdup_printf(
		"%s; what was merged is the state the mount last had",
		why->message);
	r->unsent = true;
}

/* What is to be merged must be here; what cannot be had counts as unreadable:
 * neither changed nor gone. */
static void fetch_missing(struct restore *r)
{
	g_autoptr(GError) why = NULL;

	if (!r->s->mirror || fetch_all(r->s, &why) == 0)
		return;
	log_write(LOG_WARNING, "before the restore: %s", why->message);
	if (!r->note)
		r->note = g_strdup(why->message);
	r->unsent = true;
}

void restore_release(struct restore *r)
{
	if (r->local_fd >= 0)
		close(r->local_fd);
	if (r->trash_fd >= 0)
		close(r->trash_fd);
	if (r->staging_fd >= 0)
		close(r->staging_fd);
	manifest_free(r->base_ours);
	manifest_free(r->base_theirs);
	manifest_free(r->ours);
	manifest_free(r->theirs);
	plan_free(r->all);
	g_free(r->id);
	g_free(r->trash);
	g_free(r->note);
	g_free(r->diff);
	json_free(r->offer);
	if (r->moves)
		g_array_free(r->moves, TRUE);
	if (r->parts)
		g_array_free(r->parts, TRUE);
}

static int run(struct restore *r, GError **err)
{
	r->moves = moves_load(r->s);
	if (load_bases(r, err) < 0 || restore_lock_local(r, err) < 0 ||
		restore_choose_id(r, err) < 0 || restore_open_dirs(r, err) < 0)
		return -EIO;
	if (!r->o->dry_run && finish_interrupted(r, err) < 0)
		return -EIO;
	if (merge_rounds(r, err) < 0)
		return -EIO;
	conflicts_report(r->s, r->all);
	if (r->o->with_diff)
		r->diff = restore_diff(r);
	if (r->o->offer)
		r->offer = restore_offer(r);
	return r->o->dry_run ? 0 : restore_store(r, err);
}

static struct report *make_report(struct restore *r, int64_t began_ns,
	uint64_t fetched_before)
{
	struct report *rep = g_new0(struct report, 1);

	rep->plan = g_steal_pointer(&r->all);
	rep->trash = g_steal_pointer(&r->trash);
	rep->diff = g_steal_pointer(&r->diff);
	rep->offer = g_steal_pointer(&r->offer);
	rep->note = g_steal_pointer(&r->note);
	rep->unsent = r->unsent;
	rep->dry_run = r->o->dry_run;
	rep->duration_ms = (io_now_ns() - began_ns) / 1000000;
	mutex_lock(&r->s->lock);
	rep->bytes_fetched = r->s->counters.fetched_bytes - fetched_before;
	mutex_unlock(&r->s->lock);
	return rep;
}

/* Session state and report file after a restore that ran. */
static int conclude(struct restore *r, struct report *rep, GError **err)
{
	int code = report_exit_code(rep);

	mutex_lock(&r->s->lock);
	r->s->last_conflicts = 0;	/* they are open ones now */
	r->s->last_held = plan_list_count(rep->plan, PLAN_HELD);
	mutex_unlock(&r->s->lock);
	restore_expire_trash(r);
	if (report_save(r->s, rep, err) < 0)
		return -EIO;
	if (r->s->mounted_at)
		return session_json_save(r->s, err);
	if (code == 4)
		return session_set_state(r->s, SESSION_FAILED, NULL,
			rep->note ? rep->note
				  : "something was held or could not be "
				    "restored; `sandmount restore` shows it",
			err);
	return session_set_state(r->s, SESSION_RESTORED, NULL, NULL, err);
}

static int restore_in_flow(struct session *s, const struct restore_options *o,
	struct report **out, GError **err)
{
	struct restore r = {
		.s = s, .o = o, .local_fd = -1, .trash_fd = -1,
		.staging_fd = -1, .all = plan_new(),
		.deadline_ns = io_now_ns() + s->spec->timeout_ms * 1000000,
	};
	int64_t began = io_now_ns();
	uint64_t fetched = s->counters.fetched_bytes;
	int ret = 0;

	if (!s->options->local)
		ret = fail(err, FAIL_USAGE,
			"session %s: has no local directory to restore into; "
			"mount it with --local DIR", s->name);
	if (ret == 0 && !s->mounted_at && !o->dry_run)
		ret = session_set_state(s, SESSION_RESTORING, NULL, NULL, err);
	if (ret == 0)
		exchange_with_sandbox(&r);
	if (ret == 0)
		fetch_missing(&r);
	if (ret == 0)
		ret = run(&r, err);
	if (ret == 0) {
		*out = make_report(&r, began, fetched);
		if (!o->dry_run)
			ret = conclude(&r, *out, err);
		if (ret < 0) {
			report_free(*out);
			*out = NULL;
		}
	}
	restore_close_dirs(&r);
	restore_release(&r);
	return ret;
}

/* An undo that was killed comes first, whatever is asked for. */
static int finish_undo(struct session *s, const struct restore_options *o,
	GError **err)
{
	struct report *undone = NULL;
	int r = 0;

	if (!o->undo && !o->dry_run && session_is_undoing(s))
		r = restore_undo(s, &undone, err);
	report_free(undone);
	return r;
}

int session_restore(struct session *s, const struct restore_options *o,
	struct report **out, GError **err)
{
	g_autoptr(GError) why = NULL;
	int r;

	session_enter_flow(s);
	s->allow_emptied = o->allow_deletes;
	r = finish_undo(s, o, &why);
	if (r == 0)
		r = o->undo ? restore_undo(s, out, &why)
			    : restore_in_flow(s, o, out, &why);
	s->allow_emptied = false;
	session_leave_flow(s);
	if (r < 0) {
		if (!s->mounted_at && !o->dry_run &&
			why->code != FAIL_USAGE)
			session_set_state(s, SESSION_FAILED, NULL,
				why->message, NULL);
		g_propagate_error(err, g_steal_pointer(&why));
	}
	return r;
}
