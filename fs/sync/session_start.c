/*
 * How a session begins and ends in a process: its lock, what an earlier run
 * saved under its name, its directories, state and patterns.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/state.h"
#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"

struct session *session_alloc(const char *name)
{
	struct session *s = g_new0(struct session, 1);

	s->name = g_strdup(name);
	s->dir = session_dir(name);
	s->dir_fd = s->mirror_fd = s->base_fd = s->lock_fd = -1;
	s->parts_fd = -1;
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
	close_fd(&s->parts_fd);
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

/* What a killed process had under way: nobody else works here now. */
static void remove_leftovers(struct session *s)
{
	g_autoptr(GDir) dir = g_dir_open(s->dir, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)))
		if (g_str_has_prefix(name, ".sandmount-"))
			session_remove_staging(s, name);
}

/* Opens the session's directory and takes its lock. */
static int lock_session(struct session *s, GError **err)
{
	if (g_mkdir_with_parents(s->dir, 0700) < 0)
		return fail_errno(err, -errno, "create %s", s->dir);
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return fail_errno(err, -errno, "open %s", s->dir);
	s->lock_fd = beneath_open(s->dir_fd, "lock", O_RDWR | O_CREAT, 0600);
	if (s->lock_fd < 0)
		return fail_errno(err, s->lock_fd, "open %s/lock", s->dir);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		char pid[24] = "?";
		ssize_t n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);

		pid[n > 0 ? n : 0] = '\0';
		return fail(err, FAIL_FAILED,
			"session %s: in use by process %s; `sandmount umount "
			"%s` ends it, `sandmount status %s` shows it",
			s->name, g_strstrip(pid), s->name, s->name);
	}
	g_autofree char *own = g_strdup_printf("%ld\n", (long)getpid());

	if (ftruncate(s->lock_fd, 0) < 0 ||
		pwrite(s->lock_fd, own, strlen(own), 0) < 0)
		return fail_errno(err, -errno, "write %s/lock", s->dir);
	remove_leftovers(s);
	return 0;
}

/* The exclude engine of the options. */
static int build_exclude(struct session *s, GError **err)
{
	const char *reserved = remote_reserved(s->spec);

	s->exclude = exclude_new();
	exclude_add_reserved(s->exclude, s->options->runtime_dir);
	for (char **p = s->options->exclude; *p; p++)
		if (exclude_add(s->exclude, *p, err) < 0)
			return -EINVAL;
	if (reserved && exclude_add(s->exclude, reserved, err) < 0)
		return -EINVAL;
	if (s->options->gitignore && s->options->local)
		return exclude_use_gitignore(
			s->exclude, s->options->local, err);
	return 0;
}

/* What start and open have in common, once spec and options are known. */
static int open_parts(struct session *s, GError **err)
{
	s->mirror_fd = session_open_subdir(s, "mirror", err);
	if (s->mirror_fd < 0)
		return -EIO;
	s->base_fd = session_open_subdir(s, "base", err);
	if (s->base_fd < 0)
		return -EIO;
	s->parts_fd = session_open_subdir(s, "parts", err);
	if (s->parts_fd < 0)
		return -EIO;
	s->base = base_store_new(s->base_fd);
	s->state = state_open(s->dir_fd, err);
	if (!s->state || leftovers_sweep(s, err) < 0)
		return -EIO;
	return build_exclude(s, err);
}

static bool session_exists(const char *name)
{
	g_autofree char *dir = session_dir(name);
	g_autofree char *file = g_build_filename(dir, "session.json", NULL);

	return g_file_test(file, G_FILE_TEST_EXISTS);
}

static bool same_local(const struct session_options *a,
	const struct session_options *b)
{
	return g_strcmp0(a->local, b->local) == 0;
}

/* Empties a session directory whose work is done, but for its lock, and for the
 * trash: that is kept for as many days as was promised. */
static int discard_saved(struct session *s, GError **err)
{
	static const char *const parts[] = { "session.json", "state.db",
		"state.db-wal", "state.db-shm", "mirror", "base",
		"report.json", "held", "staging", "parts" };

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		int r = beneath_remove_all(s->dir_fd, parts[i]);

		if (r < 0)
			return fail_errno(
				err, r, "remove %s/%s", s->dir, parts[i]);
	}
	return 0;
}

/*
 * Looks at what an earlier run saved under this name. 1: take it up (S has its
 * id, state and identity); 0: there is nothing to take up.
 */
static int adopt_saved(struct session *s, const struct spec *spec,
	const struct session_options *o, GError **err)
{
	struct session *old = session_alloc(s->name);
	g_autofree char *why = NULL;
	int r = session_json_load(old, err);

	old->dir_fd = dup(s->dir_fd);
	if (r == 0 && spec_same_sandbox(old->spec, spec) &&
		same_local(old->options, o)) {
		s->id = g_strdup(old->id);
		s->local_dev = old->local_dev;
		s->local_ino = old->local_ino;
		s->counters = old->counters;
		s->last_ack_ms = old->last_ack_ms;
		s->last_conflicts = old->last_conflicts;
		s->last_held = old->last_held;
		s->open_conflicts = old->open_conflicts;
		s->open_held = old->open_held;
		r = 1;
	} else if (r == 0) {
		r = open_parts(old, err);
		if (r == 0 && session_has_work(old, &why))
			r = fail(err, FAIL_PENDING,
				"session %s: is of another sandbox or "
				"directory and has work left (%s); `sandmount "
				"restore %s` brings it home, `sandmount forget "
				"--force %s` drops it, --name starts another",
				s->name, why, s->name, s->name);
		if (r == 0)
			r = discard_saved(s, err);
	}
	session_close(old);
	return r;
}

static int start(struct session *s, const struct spec *spec,
	const struct session_options *o, GError **err)
{
	struct stat st = { 0 };
	bool saved = session_exists(s->name);
	int r;

	if (o->local && session_check_local(o->local, &st, err) < 0)
		return -EIO;
	r = lock_session(s, err);
	if (r == 0 && saved)
		r = adopt_saved(s, spec, o, err);
	if (r < 0)
		return r;
	if (!s->id)
		s->id = io_random_hex(8);
	s->spec = spec_copy(spec);
	s->spec->api_key = g_strdup(spec->api_key);
	if (!s->local_ino && o->local) {
		s->local_dev = st.st_dev;
		s->local_ino = st.st_ino;
	}
	if (open_parts(s, err) < 0)
		return -EIO;
	return session_set_state(s, SESSION_PREPARING, NULL, NULL, err);
}

static struct session_options *options_copy(const struct session_options *o)
{
	struct session_options *c = session_options_new();

	session_options_free(c);
	c = g_memdup2(o, sizeof(*o));
	c->local = g_strdup(o->local);
	c->exclude = g_strdupv(o->exclude);
	c->preserve = g_strdupv(o->preserve);
	c->preserve_absent = g_strdupv(o->preserve_absent);
	c->assets = g_strdupv(o->assets);
	c->assets_follow = g_strdupv(o->assets_follow);
	c->runtime_dir = g_strdup(o->runtime_dir);
	c->on_conflict = g_strdup(o->on_conflict);
	return c;
}

struct session *session_start(const char *name, const struct spec *spec,
	const struct session_options *o, GError **err)
{
	struct session *s = session_alloc(name);

	s->options = options_copy(o);
	if (start(s, spec, o, err) == 0)
		return s;
	/* Leave nothing behind of a session that never was. */
	if (s->dir_fd >= 0 && s->lock_fd >= 0 && !session_exists(name)) {
		beneath_unlink(s->dir_fd, "lock", 0);
		rmdir(s->dir);
	}
	session_close(s);
	return NULL;
}

struct session *session_open(const char *name, GError **err)
{
	struct session *s = session_alloc(name);

	if (!session_exists(name)) {
		fail(err, FAIL_USAGE,
			"%s: no such session; `sandmount list` shows them",
			name);
		session_close(s);
		return NULL;
	}
	if (lock_session(s, err) < 0 || session_json_load(s, err) < 0 ||
		open_parts(s, err) < 0) {
		session_close(s);
		return NULL;
	}
	return s;
}

int session_start_threads(struct session *s, GError **err)
{
	if (session_start_uploader(s, err) < 0)
		return -EIO;
	return session_start_poller(s, err);
}

void session_stop_threads(struct session *s)
{
	session_stop_poller(s);
	session_stop_uploader(s);
}
