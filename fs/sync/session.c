/*
 * A session in one process: directories, connection, mirror, tables. How it
 * begins is in session_start.c, the flows are in the files beside this one.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/diff.h"
#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"

struct session *session_alloc(const char *name)
{
	struct session *s = g_new0(struct session, 1);

	s->name = g_strdup(name);
	s->dir = session_dir(name);
	s->dir_fd = s->mirror_fd = s->base_fd = s->lock_fd = -1;
	s->cancel = cancel_new();
	mutex_init(&s->lock, RANK_LOG);
	cond_init(&s->changed);
	return s;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	session_stop_fetcher(s);
	session_stop_keeper(s);
	session_stop_threads(s);
	session_free_poller(s);
	session_free_uploader(s);
	session_unload_mirror(s);
	tree_close(s->tree);
	remote_close(s->remote);
	base_store_free(s->base);
	state_close(s->state);
	exclude_free(s->exclude);
	if (s->follow)
		g_hash_table_destroy(s->follow);
	spec_free(s->spec);
	session_options_free(s->options);
	close_fd(&s->base_fd);
	close_fd(&s->mirror_fd);
	close_fd(&s->lock_fd);
	close_fd(&s->dir_fd);
	cancel_free(s->cancel);
	cond_destroy(&s->changed);
	mutex_destroy(&s->lock);
	g_free(s->name);
	g_free(s->dir);
	g_free(s->id);
	g_free(s->mountpoint);
	g_free(s->last_error);
	g_free(s->refused);
	refusals_free(s);
	g_free((char *)s->mounted_at);
	g_free(s);
}

int session_open_subdir(struct session *s, const char *name, GError **err)
{
	int r = beneath_mkdir_all(s->dir_fd, name, 0700);
	int fd = r < 0 ? r
		       : beneath_open(s->dir_fd, name,
				 O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		fail_errno(err, fd, "create %s/%s", s->dir, name);
	return fd;
}

int session_check_local(const char *local, struct stat *st, GError **err)
{
	g_autofree char *shown = path_display(local);
	autofd int fd = -1;

	if (lstat(local, st) < 0)
		return fail_errno(err, -errno, "local directory %s", shown);
	if (!S_ISDIR(st->st_mode))
		return fail(err, FAIL_LOCAL,
			"local directory %s: is not a directory; give a "
			"directory with --local", shown);
	fd = open(local, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, -errno, "local directory %s", shown);
	return 0;
}

/* A sandbox made anew can hold an older copy of the workspace, our mark
 * included (an image, a volume's backup). What such a one says is no news of
 * what was acknowledged: FAIL_GONE, until everything is sent again. */
static int check_identity(struct session *s, bool is_new,
	const struct call *call, GError **err)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *known = state_get(s->state, "sandbox-identity");
	g_autofree char *now = remote_identity(s->remote, call, &why);

	if (why) {
		g_propagate_error(err, g_steal_pointer(&why));
		return -EIO;
	}
	if (!now || g_strcmp0(known, now) == 0)
		return 0;
	if (is_new || !known)
		return state_set(s->state, "sandbox-identity", now, err);
	return fail(err, FAIL_GONE,
		"sandbox %s:%s: was replaced by another of that name; "
		"`sandmount restore %s` merges what the mirror holds, "
		"`prepare` sends it to the new one", s->spec->provider,
		s->spec->sandbox_id, s->name);
}

int session_connect(struct session *s, GError **err)
{
	struct tree_config c = {
		.session_id = s->id,
		.runtime_dir = s->options->runtime_dir,
		/* A workspace that held our work and is gone must be noticed,
		 * not made anew. */
		.create = state_count(s->state, STATE_ACK_REMOTE) == 0,
	};
	struct call call = session_call(s);
	g_autofree char *applied = state_get(s->state, "applied");

	if (s->tree)
		return 0;
	c.applied = applied ? strtoull(applied, NULL, 10) : 0;
	if (!s->remote)
		s->remote = remote_open(s->spec, &call, err);
	if (!s->remote || check_identity(s, c.create, &call, err) < 0)
		return -EIO;
	s->tree = tree_open(s->remote, &c, &call, err);
	if (!s->tree)
		return -EIO;
	if (tree_is_fresh(s->tree) && session_note_applied(s, err) < 0) {
		tree_close(s->tree);
		s->tree = NULL;
		return -EIO;
	}
	lifetime_renew(s, NULL);
	return 0;
}

int session_note_applied(struct session *s, GError **err)
{
	g_autofree char *text =
		g_strdup_printf("%" PRIu64, tree_applied(s->tree));

	return state_set(s->state, "applied", text, err);
}

void session_unload_mirror(struct session *s)
{
	struct mirror *m;

	mutex_lock(&s->lock);
	m = s->mirror;
	s->mirror = NULL;
	while (s->mirror_lookers)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	mirror_close(m);
}

struct mirror *session_look_at_mirror(struct session *s)
{
	mutex_lock(&s->lock);
	struct mirror *m = s->mirror;

	s->mirror_lookers += m != NULL;
	mutex_unlock(&s->lock);
	return m;
}

void session_looked_at_mirror(struct session *s)
{
	mutex_lock(&s->lock);
	s->mirror_lookers--;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

static void on_dirty(void *ctx)
{
	session_wake(ctx);
}

int session_reload_mirror(struct session *s, GError **err)
{
	struct mirror_config c = {
		.root_fd = s->mirror_fd,
		.base = s->base,
		.state = s->state,
		.runtime_dir = s->options->runtime_dir,
		.callbacks = { .dirty = on_dirty, .ctx = s },
		.content_timeout_ms = s->options->timeout_ms
			? s->options->timeout_ms : s->spec->timeout_ms,
		.read_only = s->options->read_only,
	};

	session_unload_mirror(s);
	struct mirror *m = mirror_open(&c, err);

	mutex_lock(&s->lock);
	s->mirror = m;
	mutex_unlock(&s->lock);
	return m ? 0 : -EIO;
}

int session_load(struct session *s, GError **err)
{
	return s->mirror ? 0 : session_reload_mirror(s, err);
}

int session_set_state(struct session *s, enum session_state st,
	const char *mountpoint, const char *last_error, GError **err)
{
	mutex_lock(&s->lock);
	s->st = st;
	if (mountpoint) {
		g_free(s->mountpoint);
		s->mountpoint = g_strdup(mountpoint);
	}
	g_free(s->last_error);
	s->last_error = g_strdup(last_error);
	mutex_unlock(&s->lock);
	return session_json_save(s, err);
}

int session_open_local(struct session *s, bool *replaced, GError **err)
{
	const char *local = s->options->local;
	struct stat st;
	int fd;

	*replaced = false;
	if (session_check_local(local, &st, err) < 0)
		return -EIO;
	fd = open(local, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, -errno, "open %s", local);
	*replaced = st.st_dev != s->local_dev || st.st_ino != s->local_ino;
	return fd;
}

int session_make_staging(struct session *s, char **name, GError **err)
{
	char *temp = io_temp_name();
	int fd = session_open_subdir(s, temp, err);

	if (fd < 0)
		g_free(temp);
	else
		*name = temp;
	return fd;
}

void session_remove_staging(struct session *s, const char *name)
{
	int r = name ? beneath_remove_all(s->dir_fd, name) : 0;

	if (r < 0)
		log_write(LOG_WARNING, "remove %s/%s: %s", s->dir, name,
			g_strerror(-r));
}

struct manifest *session_load_table(struct session *s, int table,
	bool *damaged)
{
	g_autoptr(GError) why = NULL;
	struct manifest *m = NULL;

	if (state_load(s->state, (enum state_table)table, &m, &why) == 0)
		return m;
	log_write(LOG_ERROR, "%s", why->message);
	*damaged = true;
	m = manifest_new();
	manifest_sort(m);
	return m;
}

bool manifest_equal_trees(const struct manifest *a, const struct manifest *b)
{
	struct diff d;
	struct diff_step step;

	diff_init(&d, a, b);
	while (diff_next(&d, &step))
		if (diff_what(step.a, step.b) & ~(unsigned)DIFF_MTIME)
			return false;
	return true;
}

bool session_is_preserved(const struct session *s, const char *path)
{
	g_auto(GStrv) parts = g_strsplit(path, "/", -1);

	for (char **p = s->options->preserve; *p; p++)
		if (g_strv_contains((const char *const *)parts, *p))
			return true;
	return false;
}

void session_set_progress(struct session *s, const struct session_progress *p)
{
	mutex_lock(&s->lock);
	s->progress = *p;
	mutex_unlock(&s->lock);
}

void session_set_key(struct session *s, const char *api_key)
{
	g_free(s->spec->api_key);
	s->spec->api_key = g_strdup(api_key);
}

struct cancel *session_cancel(struct session *s)
{
	return s->cancel;
}

const char *session_name(const struct session *s)
{
	return s->name;
}

const struct spec *session_spec(const struct session *s)
{
	return s->spec;
}

const struct session_options *session_options(const struct session *s)
{
	return s->options;
}

struct mirror *session_mirror(struct session *s)
{
	return s->mirror;
}

void session_set_mounted(struct session *s, const char *mountpoint)
{
	session_enter_flow(s);
	g_free((char *)s->mounted_at);
	s->mounted_at = g_strdup(mountpoint);
	session_leave_flow(s);
}

bool session_is_refresh_tid(struct session *s, int tid)
{
	return __atomic_load_n(&s->refresh_tid, __ATOMIC_ACQUIRE) == tid;
}
