#include "fs/sync/conflicts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/state.h"
#include "fs/sync/refresh.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "transport/json.h"

#define STATE_NAME "conflicts"

static void free_conflict(gpointer data)
{
	struct conflict *c = data;

	g_free(c->path);
	g_free(c->copy);
	g_free(c->kind);
	g_free(c->why);
	g_free(c->base);
	g_free(c);
}

/* --- the stored value ----------------------------------------------------- */

/* Paths are bytes: as base64. */
static void put_bytes(struct json *j, const char *key, const char *text)
{
	g_autofree char *raw = text
		? g_base64_encode((const guchar *)text, strlen(text)) : NULL;

	json_put_string(j, key, raw);
}

static char *get_bytes(const struct json *j, const char *key)
{
	const char *text = json_string(json_get(j, key));
	gsize len = 0;
	g_autofree guchar *raw = text ? g_base64_decode(text, &len) : NULL;

	return raw ? g_strndup((char *)raw, len) : NULL;
}

static struct conflict *from_json(const struct json *j)
{
	struct conflict *c = g_new0(struct conflict, 1);

	c->path = get_bytes(j, "path");
	c->copy = get_bytes(j, "copy");
	c->kind = g_strdup(json_string(json_get(j, "kind")));
	c->why = g_strdup(json_string(json_get(j, "why")));
	c->mode = (unsigned)json_number(json_get(j, "mode"), 0);
	c->gone = json_flag(json_get(j, "gone"), false);
	c->home = json_flag(json_get(j, "home"), false);
	c->base = g_strdup(json_string(json_get(j, "base")));
	if (c->path && c->kind && !path_check(c->path, strlen(c->path)))
		return c;
	free_conflict(c);
	return NULL;
}

/* HOME: the local directory, negative when it cannot be looked at. */
static bool is_settled(struct session *s, int home, const struct conflict *c)
{
	int root = c->home ? home : s->mirror_fd;
	struct stat st;

	return c->copy && root >= 0 &&
		beneath_stat(root, c->copy, &st) == -ENOENT;
}

GPtrArray *conflicts_load(struct session *s)
{
	GPtrArray *list = g_ptr_array_new_with_free_func(free_conflict);
	g_autofree char *text = state_get(s->state, STATE_NAME);
	struct json *j = text ? json_parse(text, strlen(text), NULL) : NULL;
	autofd int home = s->options->local ? open(s->options->local,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	for (size_t i = 0; j && i < json_count(j); i++) {
		struct conflict *c = from_json(json_at(j, i));

		if (c && is_settled(s, home, c))
			free_conflict(c);
		else if (c)
			g_ptr_array_add(list, c);
	}
	json_free(j);
	return list;
}

static gint by_path(gconstpointer a, gconstpointer b)
{
	const struct conflict *x = *(struct conflict *const *)a;
	const struct conflict *y = *(struct conflict *const *)b;
	int r = path_compare(x->path, y->path);

	if (r == 0)
		r = g_strcmp0(x->copy, y->copy);
	return r ? r : x->home - y->home;
}

static void count(struct session *s, const GPtrArray *list)
{
	uint64_t held = 0;

	for (guint i = 0; i < list->len; i++) {
		const struct conflict *c = g_ptr_array_index(list, i);

		held += c->copy == NULL;
	}
	mutex_lock(&s->lock);
	s->open_conflicts = list->len - held;
	s->open_held = held;
	mutex_unlock(&s->lock);
}

int conflicts_store(struct session *s, GPtrArray *list, GError **err)
{
	struct json *j = json_new_array();
	g_autofree char *text = NULL;

	g_ptr_array_sort(list, by_path);
	for (guint i = 0; i < list->len; i++) {
		const struct conflict *c = g_ptr_array_index(list, i);
		struct json *o = json_new_object();

		put_bytes(o, "path", c->path);
		put_bytes(o, "copy", c->copy);
		json_put_string(o, "kind", c->kind);
		json_put_string(o, "why", c->why);
		json_put_int(o, "mode", c->mode);
		json_put_bool(o, "gone", c->gone);
		json_put_bool(o, "home", c->home);
		json_put_string(o, "base", c->base);
		json_append(j, o);
	}
	text = json_to_text(j, false);
	json_free(j);
	count(s, list);
	return state_set(s->state, STATE_NAME, list->len ? text : NULL, err);
}

/* --- what a refresh leaves ------------------------------------------------- */

/* A later version of the same thing takes the place of the earlier. */
static struct conflict *put(GPtrArray *list, const char *path,
	const char *copy, bool home)
{
	struct conflict *c;

	for (guint i = 0; i < list->len; i++) {
		c = g_ptr_array_index(list, i);
		if (!strcmp(c->path, path) && !g_strcmp0(c->copy, copy) &&
			c->home == home) {
			g_ptr_array_remove_index(list, i);
			break;
		}
	}
	c = g_new0(struct conflict, 1);
	c->path = g_strdup(path);
	c->copy = g_strdup(copy);
	c->home = home;
	g_ptr_array_add(list, c);
	return c;
}

static bool is_held_op(const struct refresh *r, const struct plan_op *op)
{
	return r->review && op->list == PLAN_HELD &&
		reconcile_is_held(NULL, op->path) &&
		g_hash_table_contains(r->changed, op->path);
}

bool conflicts_is_held(const struct refresh *r, const char *path)
{
	if (!r->review || !reconcile_is_held(NULL, path))
		return false;
	for (size_t i = 0; i < plan_count(r->plan); i++)
		if (!strcmp(plan_at(r->plan, i)->path, path) &&
			is_held_op(r, plan_at(r->plan, i)))
			return true;
	return false;
}

static int keep_held(struct refresh *r, const char *path)
{
	g_autofree char *to = g_strconcat("held/", path, NULL);
	g_autofree char *dir = path_parent(to);
	int e = beneath_mkdir_all(r->s->dir_fd, dir, 0700);

	if (e == 0)
		e = beneath_remove_all(r->s->dir_fd, to);
	if (e == 0)
		e = beneath_rename(
			r->staging_fd, path, r->s->dir_fd, to, 0);
	return e;
}

static int note_held(struct refresh *r, GPtrArray *list,
	const struct plan_op *op, GError **err)
{
	const struct entry *t = manifest_find(r->theirs, op->path);
	struct conflict *c = put(list, op->path, NULL, false);
	g_autofree char *shown = path_display(op->path);
	int e;

	c->kind = g_strdup(op->kind);
	c->why = g_strdup(op->why);
	c->gone = t == NULL;
	c->mode = t ? entry_perm(t) : 0;
	log_write(LOG_WARNING,
		"%s was changed in the sandbox and is held for review; "
		"`sandmount conflicts %s` shows it", shown, r->s->name);
	e = t ? keep_held(r, op->path) : 0;
	return e < 0 ? fail_errno(err, e, "keep %s for review", shown) : 0;
}

static bool is_conflict_op(const struct plan_op *op)
{
	return op->list == PLAN_CONFLICTS && op->subject && op->copy &&
		(op->outcome == PLAN_DONE || op->action == PLAN_REPORT);
}

/* The conflicts of a plan that was applied. */
static void note_copy(GPtrArray *list, const struct plan_op *op, bool home)
{
	struct conflict *c = put(list, op->subject, op->copy, home);
	char hex[DIGEST_HEX_LEN + 1];

	c->kind = g_strdup(op->kind);
	c->why = g_strdup(op->why);
	if (op->base.type == ENTRY_FILE && (op->base.flags & ENTRY_HASHED)) {
		digest_to_hex(&op->base.digest, hex);
		c->base = g_strdup(hex);
	}
}

int conflicts_note_home(struct session *s, const struct plan *p, GError **err)
{
	g_autoptr(GPtrArray) list = conflicts_load(s);

	for (size_t i = 0; i < plan_count(p); i++)
		if (is_conflict_op(plan_at(p, i)))
			note_copy(list, plan_at(p, i), true);
	return conflicts_store(s, list, err);
}

int conflicts_note(struct refresh *r, GError **err)
{
	g_autoptr(GPtrArray) list = conflicts_load(r->s);

	for (size_t i = 0; i < plan_count(r->plan); i++) {
		const struct plan_op *op = plan_at(r->plan, i);

		if (is_conflict_op(op))
			note_copy(list, op, false);
		else if (is_held_op(r, op) &&
			note_held(r, list, op, err) < 0)
			return -EIO;
	}
	return conflicts_store(r->s, list, err);
}

void conflicts_report(struct session *s, struct plan *all)
{
	g_autoptr(GPtrArray) list = conflicts_load(s);

	for (guint i = 0; i < list->len; i++) {
		const struct conflict *c = g_ptr_array_index(list, i);
		struct plan_op *op;

		if (c->copy)
			continue;
		op = plan_add(all, PLAN_REPORT, c->path);
		op->list = PLAN_HELD;
		op->kind = !strcmp(c->kind, "link") ? "link" : "file";
		op->word = "held";
		op->why = g_strdup(c->why);
		op->outcome = PLAN_DONE;
	}
}
