/*
 * A session in one process: its directories, tables and state. How it begins
 * and ends is in session_start.c, the flows are in the files beside this one.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/state.h"
#include "merge/diff.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"

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

static enum session_state state_of(struct session *s)
{
	mutex_lock(&s->lock);
	enum session_state st = s->st;
	mutex_unlock(&s->lock);
	return st;
}

void session_note_failure(struct session *s, const char *what,
	const GError *why)
{
	enum session_state st = state_of(s);

	log_write(LOG_WARNING, "%s: %s", what, why->message);
	if (st == SESSION_MOUNTED || st == SESSION_OFFLINE)
		session_set_state(s, SESSION_OFFLINE, NULL, why->message, NULL);
}

void session_note_success(struct session *s)
{
	if (state_of(s) != SESSION_OFFLINE)
		return;
	log_write(LOG_INFO, "the sandbox answers again");
	session_set_state(s, SESSION_MOUNTED, NULL, NULL, NULL);
}

void session_note_refused(struct session *s, const GError *why)
{
	bool is_new;

	if (state_of(s) != SESSION_MOUNTED)
		return;
	mutex_lock(&s->lock);
	is_new = g_strcmp0(s->refused, why ? why->message : NULL) != 0;
	g_free(s->refused);
	s->refused = why ? g_strdup(why->message) : NULL;
	mutex_unlock(&s->lock);
	if (!is_new)
		return;
	if (why)
		log_write(LOG_WARNING, "sending: %s", why->message);
	session_set_state(s, SESSION_MOUNTED, NULL,
		why ? why->message : NULL, NULL);
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
