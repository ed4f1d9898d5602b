/*
 * The status of a session, live or from its files, and its end.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want.h"
#include "merge/diff.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/scan.h"
#include "transport/json.h"

static void put_optional_path(struct json *j, const char *key,
	const char *path)
{
	if (path && *path)
		json_put_path(j, key, path);
	else
		json_put_string(j, key, NULL);
}

static struct json *pending_json(const struct mirror_pending *p)
{
	struct json *j = json_new_object();

	json_put_int(j, "files", (int64_t)p->files);
	json_put_int(j, "bytes", (int64_t)p->bytes);
	json_put_int(j, "oldest_ms",
		p->oldest_ns ? (io_now_ns() - p->oldest_ns) / 1000000 : 0);
	return j;
}

static void put_expiry(struct json *j, int64_t ms)
{
	g_autoptr(GDateTime) t = ms
		? g_date_time_new_from_unix_utc(ms / 1000) : NULL;
	g_autofree char *text = t ? g_date_time_format_iso8601(t) : NULL;

	json_put_string(j, "expires_at", text);
}

/* What only a loaded mirror knows. */
struct live {
	struct mirror_pending pending;
	uint64_t stubs, stub_bytes;	/* whose bytes are not here */
};

static struct json *status_json(struct session *s, enum session_state st,
	const struct live *l)
{
	struct json *j = json_new_object();
	struct json *sent = json_new_object();
	struct json *fetched = json_new_object();

	json_put_string(j, "name", s->name);
	json_put_string(j, "state", session_state_name(st));
	put_optional_path(j, "mountpoint", s->mountpoint);
	put_optional_path(j, "local", s->options->local);
	json_put_string(j, "provider", s->spec->provider);
	json_put_string(j, "sandbox_id", s->spec->sandbox_id);
	json_put_path(j, "remote_cwd", s->spec->remote_cwd);
	json_put(j, "unsent", pending_json(&l->pending));
	json_put_int(sent, "batches", (int64_t)s->counters.batches);
	json_put_int(sent, "files", (int64_t)s->counters.files);
	json_put_int(sent, "bytes", (int64_t)s->counters.bytes);
	json_put(j, "sent", sent);
	json_put_int(fetched, "files", (int64_t)s->counters.fetched_files);
	json_put_int(fetched, "bytes", (int64_t)s->counters.fetched_bytes);
	json_put_int(fetched, "not_here_files", (int64_t)l->stubs);
	json_put_int(fetched, "not_here_bytes", (int64_t)l->stub_bytes);
	json_put(j, "fetched", fetched);
	json_put_int(j, "conflicts", (int64_t)(s->last_conflicts + s->open_conflicts));
	json_put_int(j, "held", (int64_t)(s->last_held + s->open_held));
	if (s->last_ack_ms)
		json_put_int(j, "last_acknowledged_ms", s->last_ack_ms);
	else
		json_put_string(j, "last_acknowledged_ms", NULL);
	put_expiry(j, s->expires_ms);
	json_put_string(j, "last_error", s->last_error);
	return j;
}

struct json *session_status_json(struct session *s)
{
	struct live l = { 0 };
	struct mirror *m = session_look_at_mirror(s);
	struct json *j;

	if (m) {
		mirror_pending(m, &l.pending);
		mirror_stub_count(m, &l.stubs, &l.stub_bytes);
		session_looked_at_mirror(s);
	}
	mutex_lock(&s->lock);
	j = status_json(s, s->st, &l);
	mutex_unlock(&s->lock);
	return j;
}

/* Whether a process holds the session. */
static bool is_held(const char *dir)
{
	g_autofree char *file = g_build_filename(dir, "lock", NULL);
	int fd = open(file, O_RDWR | O_CLOEXEC);
	bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;

	if (fd >= 0)
		close(fd);
	return held;
}

void session_wait_free(const char *name, int64_t wait_ms)
{
	g_autofree char *dir = session_dir(name);
	int64_t until = io_now_ns() + wait_ms * 1000000;

	while (is_held(dir) && io_now_ns() < until)
		g_usleep(5000);
}

/* What a state in the file means when nobody holds the lock. */
static enum session_state real_state(enum session_state st, bool held)
{
	switch (st) {
	case SESSION_PREPARING:
	case SESSION_MOUNTED:
	case SESSION_OFFLINE:
	case SESSION_RESTORING:
		return held ? st : SESSION_CRASHED;
	case SESSION_PREPARED:
	case SESSION_RESTORED:
	case SESSION_FAILED:
	case SESSION_CRASHED:
		return st;
	}
	return st;
}

struct session *session_peek(const char *name, GError **err)
{
	struct session *s = g_new0(struct session, 1);

	s->name = g_strdup(name);
	s->dir = session_dir(name);
	s->dir_fd = s->mirror_fd = s->base_fd = s->lock_fd = -1;
	s->parts_fd = -1;
	mutex_init(&s->lock, RANK_LOG);
	cond_init(&s->changed);
	if (session_json_load(s, err) == 0)
		return s;
	session_close(s);
	return NULL;
}

struct json *session_saved_status(const char *name, GError **err)
{
	struct session *s = session_peek(name, err);
	struct live l = { 0 };
	struct json *j;

	if (!s)
		return NULL;
	j = status_json(s, real_state(s->st, is_held(s->dir)), &l);
	session_close(s);
	return j;
}

/* Rows of TABLE against the tree at FD. */
static bool table_differs(struct session *s, enum state_table table)
{
	bool all = table != STATE_BASE_MOUNT;
	bool damaged = false;
	g_autoptr(manifest_auto) rows = session_load_table(s, table, &damaged);
	g_autoptr(manifest_auto) now = NULL;
	struct scan_options o = {
		.cache = rows, .hash = SCAN_HASH_CHANGED, .stubs = SCAN_STUBS,
	};

	if (scan_tree(s->mirror_fd, &o, &now, NULL, NULL) < 0)
		return true;
	return damaged || !(all ? manifest_equal_trees(rows, now)
				: session_has_same_tree(s, rows, now));
}

bool session_is_prepared(struct session *s)
{
	g_autofree char *baseline = state_get(s->state, "baseline");

	return baseline && !strcmp(baseline, "done");
}

bool session_has_work(struct session *s, char **why)
{
	struct plan *p = NULL;

	*why = NULL;
	if (!session_is_prepared(s))
		return false;	/* never shown to anybody */
	if (state_load_plan(s->state, "restore", &p, NULL) < 0 || p)
		*why = g_strdup("an interrupted restore");
	else if (session_is_undoing(s))
		*why = g_strdup("an interrupted undo");
	else if (s->options->local && table_differs(s, STATE_BASE_MOUNT))
		*why = g_strdup("changes that were not restored");
	else if (!s->options->local && table_differs(s, STATE_ACK_MIRROR))
		*why = g_strdup("changes that were not sent");
	plan_free(p);
	return *why != NULL;
}

int session_finish(struct session *s, struct report **out, GError **err)
{
	struct restore_options o = { 0 };

	*out = NULL;
	session_stop_keeper(s);
	session_stop_threads(s);
	session_set_mounted(s, NULL);
	if (s->options->local && !s->options->no_restore)
		return session_restore(s, &o, out, err);
	session_set_state(s, SESSION_RESTORING, NULL, NULL, NULL);
	g_autoptr(GError) why = NULL;

	if (session_flush(s, s->spec->timeout_ms, &why) < 0) {
		session_set_state(s, SESSION_FAILED, NULL, why->message, NULL);
		g_propagate_error(err, g_steal_pointer(&why));
		return -EIO;
	}
	return session_set_state(s, SESSION_PREPARED, NULL, NULL, err);
}

int session_forget(struct session *s, bool force, GError **err)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *work = NULL;
	int r;

	if (!force && session_has_work(s, &work))
		return fail(err, FAIL_PENDING,
			"forget %s: it has %s; `sandmount restore %s` brings "
			"them home, `sandmount forget --force %s` drops them",
			s->name, work, s->name, s->name);
	if (session_connect(s, &why) == 0) {
		struct call call = session_call(s);

		tree_remove_session(s->tree, &call, &why);
	}
	if (why)
		log_write(LOG_INFO, "forget: the sandbox's part stays: %s",
			why->message);
	session_unload_mirror(s);
	state_close(g_steal_pointer(&s->state));
	r = beneath_remove_all(s->dir_fd, "session.json");
	if (r == 0) {
		g_autofree char *top = session_state_dir();
		int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = fd < 0 ? -errno : beneath_remove_all(fd, s->name);
		if (fd >= 0)
			close(fd);
	}
	if (r < 0)
		return fail_errno(err, r, "remove %s", s->dir);
	return 0;
}
