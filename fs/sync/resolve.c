/*
 * Listing and settling conflicts and held paths. What settles one is done to
 * the files as the mount's user would do it, so that it is sent like any other
 * change.
 */
#include "fs/sync/conflicts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/sync/internal.h"
#include "merge/glob.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/plan.h"
#include "transport/json.h"

/* The ancestor's file where it is still kept. */
static void add_base(struct session *s, struct json *line,
	const struct conflict *c)
{
	struct digest d;
	autofd int fd = -1;

	if (!c->base || !digest_from_hex(&d, c->base))
		return;
	fd = base_store_open(s->base, &d);
	g_autofree char *name = g_strdup_printf("%.2s/%s", c->base, c->base + 2);

	if (fd >= 0)
		json_put_string(line, "base", name);
}

static void add_line(struct json *to, struct session *s,
	const struct conflict *c)
{
	struct json *j = json_new_object();

	json_put_path(j, "path", c->path);
	if (c->copy)
		json_put_path(j, "copy", c->copy);
	json_put_string(j, "kind", c->kind);
	json_put_string(j, "action", c->copy ? "copied" : "held");
	json_put_string(j, "why", c->gone
			? "deleted in the sandbox; review it first" : c->why);
	json_put_string(j, "where", c->home ? "local" : "workspace");
	add_base(s, j, c);
	json_append(to, j);
}

static void put_root(struct json *j, const char *key, const char *dir,
	const char *name)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);

	json_put_path(j, key, path);
}

/* Where the files of the lines are. */
static struct json *roots_json(struct session *s)
{
	struct json *j = json_new_object();

	if (s->mounted_at)
		json_put_path(j, "workspace", s->mounted_at);
	else
		put_root(j, "workspace", s->dir, "mirror");
	if (s->options->local)
		json_put_path(j, "local", s->options->local);
	put_root(j, "held", s->dir, "held");
	put_root(j, "base", s->dir, "base");
	return j;
}

struct json *session_conflicts_json(struct session *s)
{
	struct json *j = json_new_object();
	struct json *conflicts = json_new_array(), *held = json_new_array();
	GPtrArray *list;

	session_enter_flow(s);
	list = conflicts_load(s);
	session_leave_flow(s);
	for (guint i = 0; i < list->len; i++) {
		const struct conflict *c = g_ptr_array_index(list, i);

		add_line(c->copy ? conflicts : held, s, c);
	}
	g_ptr_array_unref(list);
	json_put_string(j, "name", s->name);
	json_put(j, "conflicts", conflicts);
	json_put(j, "held", held);
	json_put(j, "roots", roots_json(s));
	return j;
}

/* --- settling one ----------------------------------------------------------- */

struct settling {
	struct session *s;
	int root;	/* the mount, or the mirror when nothing is mounted */
	const struct resolve_request *q;
};

/* FROM (in FROM_ROOT, a file or link) takes the place of PATH at once. MODE:
 * permission bits of a new file. */
static int put_in_place(const struct settling *w, int from_root,
	const char *from, const char *path, unsigned mode)
{
	g_autofree char *dir = path_parent(path);
	g_autofree char *id = io_random_hex(8);
	g_autofree char *name = g_strdup_printf(".sandmount-%s-0.tmp", id);
	g_autofree char *temp = path_join(dir, name);
	g_autofree char *target = NULL;
	autofd int in = -1, out = -1;
	int r = *dir ? beneath_mkdir_all(w->root, dir, 0755) : 0;

	if (leftovers_expect(w->s, id, NULL) < 0)
		return -EIO;

	if (r == 0 && beneath_readlink(from_root, from, &target) == 0) {
		r = beneath_symlink(w->root, temp, target);
	} else if (r == 0) {
		in = beneath_open(from_root, from, O_RDONLY, 0);
		out = in < 0 ? in : beneath_open(w->root, temp,
			O_RDWR | O_CREAT | O_EXCL, 0600);
		r = out < 0 ? out : io_copy_file(in, out, NULL, NULL);
		if (r == 0 && fchmod(out, mode & 0777) < 0)
			r = -errno;
	}
	if (r == 0)
		r = beneath_rename(w->root, temp, w->root, path, 0);
	if (r < 0)
		beneath_unlink(w->root, temp, 0);
	leftovers_none(w->s);
	return r;
}

static int take_copy(const struct settling *w, const struct conflict *c)
{
	struct stat ours, st;
	unsigned mode = 0644;

	if (beneath_stat(w->root, c->copy, &st) < 0)
		return -ENOENT;
	/* A directory cannot take a file's place at once, nor a file its. */
	if (beneath_stat(w->root, c->path, &ours) == 0) {
		mode = ours.st_mode;
		if (S_ISDIR(ours.st_mode) || S_ISDIR(st.st_mode)) {
			int r = beneath_remove_all(w->root, c->path);

			return r < 0 ? r : beneath_rename(w->root, c->copy,
						w->root, c->path, 0);
		}
	}
	return put_in_place(w, w->root, c->copy, c->path, mode);
}

/* Q->merged takes our version's place, if that still is what was merged. */
static int take_merged(const struct settling *w, const struct conflict *c)
{
	struct digest d;
	char hex[DIGEST_HEX_LEN + 1];
	struct stat ours;
	autofd int dir = -1, fd = beneath_open(w->root, c->path, O_RDONLY, 0);
	g_autofree char *home = g_path_get_dirname(w->q->merged);
	g_autofree char *name = g_path_get_basename(w->q->merged);
	int r = fd < 0 ? fd : digest_fd(fd, &d, NULL);

	if (r < 0)
		return r;
	digest_to_hex(&d, hex);
	if (fstat(fd, &ours) < 0 || g_strcmp0(hex, w->q->merged_of))
		return -ESTALE;
	dir = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno
		       : put_in_place(w, dir, name, c->path, ours.st_mode);
}

static int settle_conflict(const struct settling *w, const struct conflict *c)
{
	int r = 0;

	if (w->q->take == TAKE_SANDBOX)
		r = take_copy(w, c);
	else if (w->q->merged)
		r = take_merged(w, c);
	return r < 0 ? r : beneath_remove_all(w->root, c->copy);
}

/* From now on the mount's version, or that there is none, is what has to be
 * sent: no file is like this row. */
static int send_ours(struct session *s, const struct conflict *c)
{
	struct entry remote = { 0 };
	struct entry none = { .path = c->path, .size = -1 };
	int r;

	if (state_find(s->state, STATE_ACK_REMOTE, c->path, &remote)) {
		none.type = remote.type;
		none.target = remote.type == ENTRY_LINK ? "" : NULL;
		r = state_put(s->state, STATE_ACK_MIRROR, &none, NULL);
		plan_entry_clear(&remote);
	} else {
		r = state_remove(s->state, STATE_ACK_MIRROR, c->path, NULL);
	}
	if (r == 0)
		mirror_mark(s->mirror, c->path, true);
	return r < 0 ? -EIO : 0;
}

static int settle_held(const struct settling *w, const struct conflict *c)
{
	g_autofree char *from = g_strconcat("held/", c->path, NULL);
	int r = 0;

	if (w->q->take != TAKE_SANDBOX) {
		r = send_ours(w->s, c);
	} else if (c->gone) {
		r = beneath_unlink(w->root, c->path, 0);
		r = r == -ENOENT ? 0 : r;
	} else {
		r = put_in_place(w, w->s->dir_fd, from, c->path, c->mode);
	}
	if (r == 0)
		beneath_remove_all(w->s->dir_fd, from);
	return r;
}

/* --- all that match ----------------------------------------------------------- */

static bool matches(const struct resolve_request *q, const struct glob *g,
	const struct conflict *c)
{
	if (!g)
		return !strcmp(c->path, q->path) && c->home == q->home &&
			!g_strcmp0(c->copy, q->copy);
	return glob_match(g, c->path, strlen(c->path)) ||
		(c->copy && glob_match(g, c->copy, strlen(c->copy)));
}

static int settle_one(const struct settling *w, const struct conflict *c,
	GError **err)
{
	g_autofree char *shown = path_display(c->path);
	int r;

	if (c->home)
		return conflicts_settle_home(w->s, c, w->q, err);
	r = c->copy ? settle_conflict(w, c) : settle_held(w, c);
	if (r == -ESTALE)
		return fail(err, FAIL_FAILED, "conflicts: %s: it changed "
			"meanwhile; look at it again", shown);
	return r < 0 ? fail_errno(err, r, "conflicts: settle %s", shown) : 0;
}

static int settle_all(const struct settling *w, struct json *done, GError **err)
{
	g_autoptr(GPtrArray) list = conflicts_load(w->s);
	struct glob *g = w->q->pattern ? glob_new(w->q->pattern) : NULL;
	int r = 0, n = 0;

	for (guint i = 0; r == 0 && i < list->len;) {
		struct conflict *c = g_ptr_array_index(list, i);

		if (!matches(w->q, g, c)) {
			i++;
			continue;
		}
		r = settle_one(w, c, err);
		if (r < 0)
			break;
		add_line(done, w->s, c);
		g_ptr_array_remove_index(list, i);
		n++;
	}
	glob_free(g);
	/* Also what was settled before one failed. */
	if (conflicts_store(w->s, list, r ? NULL : err) < 0)
		return -EIO;
	if (r == 0 && n == 0)
		return fail(err, FAIL_FAILED,
			"conflicts: nothing open matches %s; `sandmount "
			"conflicts %s` lists what is",
			w->q->pattern ? w->q->pattern : "that path", w->s->name);
	return r < 0 ? -EIO : 0;
}

static int resolve_in_flow(struct session *s, const struct resolve_request *q,
	struct json *done, GError **err)
{
	struct settling w = { .s = s, .root = s->mirror_fd, .q = q };
	autofd int mount = -1;
	int r;

	if (s->mounted_at) {
		mount = w.root = open(s->mounted_at,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (mount < 0)
			return fail_errno(err, -errno, "open the mount at %s",
				s->mounted_at);
		return settle_all(&w, done, err);
	}
	/* Below the node table's back: it is made anew. */
	r = session_load(s, err) < 0 ? -EIO : settle_all(&w, done, err);
	if (session_reload_mirror(s, r == 0 ? err : NULL) < 0)
		r = -EIO;
	return r;
}

int session_resolve(struct session *s, const struct resolve_request *q,
	struct json **out, GError **err)
{
	struct json *done = json_new_array();
	int r;

	session_enter_flow(s);
	r = resolve_in_flow(s, q, done, err);
	session_leave_flow(s);
	session_wake(s);
	*out = json_new_object();
	json_put_string(*out, "name", s->name);
	json_put(*out, "resolved", done);
	if (r == 0)
		return 0;
	json_free(*out);
	*out = NULL;
	return r;
}
