/*
 * Undo of the last restore: each path that is still as the restore left it
 * gets back what the trash kept; the baselines become what they were, so that
 * a later restore offers the same changes again. "undoing" in the state says
 * that it began: killed, it is finished before anything else happens.
 */
#include "fs/sync/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "fs/mirror/state.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"

static int restore_baselines(struct session *s, GError **err)
{
	static const enum state_table pairs[][2] = {
		{ STATE_UNDO_LOCAL, STATE_BASE_LOCAL },
		{ STATE_UNDO_MOUNT, STATE_BASE_MOUNT },
	};
	int r = state_begin(s->state, err);

	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(pairs); i++) {
		g_autoptr(manifest_auto) m = NULL;

		r = state_load(s->state, pairs[i][0], &m, err);
		if (r == 0)
			r = state_store(s->state, pairs[i][1], m, err);
	}
	if (r == 0)
		r = moves_undone(s, err);
	if (r == 0)
		r = state_drop_plan(s->state, "undo", err);
	if (r == 0)
		r = state_set(s->state, "undoing", NULL, err);
	if (r < 0) {
		state_rollback(s->state);
		return -EIO;
	}
	return state_commit(s->state, err);
}

static int run_undo(struct session *s, const struct plan *plan,
	const char *trash, struct plan **result, GError **err)
{
	bool replaced;
	autofd int local_fd = session_open_local(s, &replaced, err);
	autofd int trash_fd = -1;
	struct apply_options o = { .id = "undo", .name = s->name };

	if (local_fd < 0)
		return -EIO;
	if (replaced)
		return fail(err, FAIL_PENDING,
			"undo: %s is not the directory that was restored "
			"into; nothing was changed", s->options->local);
	if (flock(local_fd, LOCK_EX | LOCK_NB) < 0)
		return fail(err, FAIL_PENDING,
			"undo in %s: a restore is writing there; try again "
			"when it has ended", s->options->local);
	trash_fd = open(trash, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (trash_fd < 0 && errno != ENOENT)
		return fail_errno(err, -errno, "open the trash %s", trash);
	if (trash_fd < 0)	/* nothing was replaced or deleted */
		trash_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	o.root_fd = local_fd;
	o.trash_fd = trash_fd;
	o.staging_fd = trash_fd;
	return undo_plan(plan, &o, result, err);
}

bool session_is_undoing(struct session *s)
{
	g_autofree char *mark = state_get(s->state, "undoing");

	return mark != NULL;
}

int restore_undo(struct session *s, struct report **out, GError **err)
{
	g_autoptr(plan_auto) plan = NULL;
	g_autofree char *trash = state_get(s->state, "undo-trash");
	struct plan *result = NULL;
	int64_t began = io_now_ns();

	if (state_load_plan(s->state, "undo", &plan, err) < 0)
		return -EIO;
	if (!plan || !trash)
		return fail(err, FAIL_FAILED,
			"undo: session %s has no restore to undo", s->name);
	if (state_set(s->state, "undoing", "1", err) < 0 ||
		run_undo(s, plan, trash, &result, err) < 0)
		return -EIO;
	*out = g_new0(struct report, 1);
	(*out)->plan = result;
	(*out)->trash = g_strdup(trash);
	(*out)->undo = true;
	(*out)->duration_ms = (io_now_ns() - began) / 1000000;
	if (restore_baselines(s, err) < 0 || report_save(s, *out, err) < 0) {
		report_free(*out);
		*out = NULL;
		return -EIO;
	}
	return 0;
}
