/*
 * Each operation that can be picked has the path of its item as its key:
 *
 *	in a repository		the outermost ".git"
 *	a conflict's copy	the path it is a copy for
 *	a rename		the new name, also for the old one's removal
 *	below a path where a directory comes or goes for something else	that path
 *	else			its own path
 */
#include "merge/pick.h"

#include <string.h>

#include "merge/lib/path.h"

static bool is_dir_op(const struct plan_op *op)
{
	return op->action == PLAN_MKDIR ||
		(op->action == PLAN_DELETE && op->before.type == ENTRY_DIR);
}

static bool can_be_picked(const struct plan_op *op)
{
	return op->action != PLAN_REPORT && strcmp(op->kind, "git");
}

/* --- keys ------------------------------------------------------------------- */

/* Length of the outermost ".git" path that PATH is, or is within; 0: none. */
static size_t git_length(const char *path)
{
	for (const char *c = path; c; c = strchr(c, '/')) {
		c += *c == '/';
		if (!strncmp(c, ".git", 4) && (c[4] == '\0' || c[4] == '/'))
			return (size_t)(c + 4 - path);
	}
	return 0;
}

struct keys {
	GHashTable *moved;	/* old path -> new path of a rename */
	GPtrArray *swaps;	/* paths where a directory meets something else */
};

static void find_keys(struct keys *k, const struct plan *p)
{
	g_autoptr(GHashTable) gone = g_hash_table_new(g_str_hash, g_str_equal);

	k->moved = g_hash_table_new(g_str_hash, g_str_equal);
	k->swaps = g_ptr_array_new();
	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (op->action == PLAN_DELETE)
			g_hash_table_add(gone, op->path);
	}
	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (op->ours_path && strcmp(op->ours_path, op->path))
			g_hash_table_insert(
				k->moved, op->ours_path, op->path);
		if ((op->action != PLAN_PUT && op->action != PLAN_MKDIR) ||
			op->subject)
			continue;
		if (g_hash_table_contains(gone, op->path) ||
			(op->before.type != ENTRY_ABSENT &&
				(op->before.type == ENTRY_DIR) !=
					(op->action == PLAN_MKDIR)))
			g_ptr_array_add(k->swaps, op->path);
	}
}

static void release_keys(struct keys *k)
{
	g_hash_table_destroy(k->moved);
	g_ptr_array_free(k->swaps, TRUE);
}

/* g_free it. */
static char *key_of(const struct keys *k, const struct plan_op *op)
{
	const char *path = op->subject ? op->subject : op->path;
	size_t git = git_length(path);
	const char *to;

	if (git)
		return g_strndup(path, git);
	for (guint i = 0; !op->subject && i < k->swaps->len; i++)
		if (path_is_within(path, g_ptr_array_index(k->swaps, i)))
			return g_strdup(g_ptr_array_index(k->swaps, i));
	to = op->action == PLAN_DELETE
		? g_hash_table_lookup(k->moved, path) : NULL;
	return g_strdup(to ? to : path);
}

/* --- items ------------------------------------------------------------------ */

static void item_free(gpointer p)
{
	struct pick_item *i = p;

	g_free((char *)i->path);
	g_array_free(i->ops, TRUE);
	g_free(i);
}

static struct pick_item *item_of(GHashTable *by_key, GPtrArray *items,
	const char *key)
{
	struct pick_item *i = g_hash_table_lookup(by_key, key);

	if (i)
		return i;
	i = g_new0(struct pick_item, 1);
	i->path = g_strdup(key);
	i->ops = g_array_new(FALSE, FALSE, sizeof(guint));
	g_ptr_array_add(items, i);
	g_hash_table_insert(by_key, (gpointer)i->path, i);
	return i;
}

static struct plan_op *op_at(const struct plan *p, const struct pick_item *i,
	guint k)
{
	return plan_at(p, g_array_index(i->ops, guint, k));
}

struct plan_op *pick_op(const struct plan *p, const struct pick_item *i)
{
	return op_at(p, i, 0);
}

static enum pick_kind kind_of_put(const struct plan_op *op)
{
	if (op->list == PLAN_CONFLICTS)
		return PICK_COPY;
	if (!g_strcmp0(op->word, "renamed"))
		return PICK_RENAME;
	if (op->before.type == ENTRY_ABSENT)
		return PICK_NEW;
	return op->before.type == ENTRY_FILE && op->after.type == ENTRY_FILE &&
			op->before.flags & ENTRY_HASHED &&
			op->after.flags & ENTRY_HASHED
		? PICK_TEXT : PICK_CHANGE;
}

static enum pick_kind kind_of_op(const struct plan_op *op)
{
	switch (op->action) {
	case PLAN_MKDIR:
		return op->list == PLAN_CONFLICTS ? PICK_COPY : PICK_NEW;
	case PLAN_DELETE:
		return PICK_DELETE;
	case PLAN_CHMOD:
		return PICK_MODE;
	case PLAN_PUT:
	case PLAN_REPORT:
	case PLAN_MERGE:
	case PLAN_GIT:
		break;
	}
	return kind_of_put(op);
}

static enum pick_kind kind_of_item(const struct plan *p,
	const struct pick_item *i)
{
	const struct plan_op *op = pick_op(p, i);

	if (git_length(i->path))
		return PICK_GIT;
	if (i->ops->len == 1 || op->list == PLAN_CONFLICTS)
		return kind_of_op(op);
	for (guint k = 0; k < i->ops->len; k++)
		if (op_at(p, i, k)->ours_path)
			return PICK_RENAME;
	return PICK_SWAP;
}

static void add_entry(GString *out, const struct entry *e)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(&e->digest, hex);
	g_string_append_printf(out, " %d %o %" G_GINT64_FORMAT " %s %zu:%s",
		e->type, e->type == ENTRY_LINK ? 0 : entry_perm(e),
		e->type == ENTRY_FILE ? e->size : 0,
		e->flags & ENTRY_HASHED ? hex : "-",
		e->target ? strlen(e->target) : 0, e->target ? e->target : "");
}

static void digest_item(const struct plan *p, struct pick_item *i)
{
	g_autoptr(GString) all = g_string_new(NULL);

	for (guint k = 0; k < i->ops->len; k++) {
		const struct plan_op *op = op_at(p, i, k);

		g_string_append_printf(all, "%d %d %zu:%s", op->action,
			op->list, strlen(op->path), op->path);
		add_entry(all, &op->before);
		add_entry(all, &op->after);
	}
	digest_bytes(all->str, all->len, &i->digest);
}

static int by_path(gconstpointer a, gconstpointer b)
{
	const struct pick_item *const *x = a, *const *y = b;

	return path_compare((*x)->path, (*y)->path);
}

static bool is_alone(const struct plan *p, const struct pick_item *i)
{
	const struct plan_op *op = pick_op(p, i);

	return i->ops->len == 1 && is_dir_op(op) && !op->subject &&
		op->before.type != ENTRY_FILE && op->before.type != ENTRY_LINK;
}

/* A directory with something asked about in it follows that: in the order of
 * paths what is in it comes next. */
static void drop_followers(const struct plan *p, GPtrArray *items)
{
	for (guint i = items->len; i-- > 0;) {
		const struct pick_item *a = g_ptr_array_index(items, i);
		const struct pick_item *b = i + 1 < items->len
			? g_ptr_array_index(items, i + 1) : NULL;

		if (b && is_alone(p, a) && path_is_within(b->path, a->path))
			g_ptr_array_remove_index(items, i);
	}
}

GPtrArray *pick_items(const struct plan *p)
{
	GPtrArray *items = g_ptr_array_new_with_free_func(item_free);
	g_autoptr(GHashTable) by_key = g_hash_table_new(
		g_str_hash, g_str_equal);
	struct keys keys;

	find_keys(&keys, p);
	for (guint i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (can_be_picked(op)) {
			g_autofree char *key = key_of(&keys, op);

			g_array_append_val(
				item_of(by_key, items, key)->ops, i);
		}
	}
	release_keys(&keys);
	g_ptr_array_sort(items, by_path);
	drop_followers(p, items);
	for (guint i = 0; i < items->len; i++) {
		struct pick_item *item = g_ptr_array_index(items, i);

		item->kind = kind_of_item(p, item);
		digest_item(p, item);
	}
	return items;
}

/* --- taking and leaving -------------------------------------------------------- */

static void leave_op(struct plan_op *op, const char *why)
{
	op->action = PLAN_REPORT;
	op->list = PLAN_HELD;
	op->word = "held";
	g_clear_pointer(&op->copy, g_free);
	g_free(op->why);
	op->why = g_strdup(why);
}

void pick_leave(struct plan *p, const struct pick_item *i, const char *why)
{
	for (guint k = 0; k < i->ops->len; k++)
		leave_op(op_at(p, i, k), why);
}

void pick_part(struct plan *p, const struct pick_item *i,
	const struct pick_text *t, const char *left)
{
	struct plan_op *op = pick_op(p, i);
	struct plan_op *held = plan_add(p, PLAN_REPORT, op->path);

	held->list = PLAN_HELD;
	held->kind = op->kind;
	held->word = "held";
	held->why = g_strdup(left);
	op->after.mode = (uint16_t)t->mode;
	if (!t->from) {
		plan_entry_set(&op->after, &op->before);
		op->after.mode = (uint16_t)t->mode;
		op->action = PLAN_CHMOD;
		op->word = "mode";
		return;
	}
	op->source = PLAN_FROM_STAGED;
	g_free(op->from);
	op->from = g_strdup(t->from);
	op->after.size = t->size;
	op->after.mtime_ns = t->mtime_ns;
	op->after.digest = t->digest;
	op->after.flags = ENTRY_HASHED;
	op->after.ino = 0;
	g_free(op->why);
	op->why = g_strdup("a part of it, as you picked");
}

/* Whether any operation of P that ACTS is strictly below DIR. */
static bool any_below(const struct plan *p, const char *dir,
	bool (*acts)(const struct plan_op *op))
{
	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (acts(op) && strcmp(op->path, dir) &&
			path_is_within(op->path, dir))
			return true;
	}
	return false;
}

static bool makes_something(const struct plan_op *op)
{
	return op->action == PLAN_PUT || op->action == PLAN_MKDIR;
}

static bool was_left(const struct plan_op *op)
{
	return op->list == PLAN_HELD;
}

/* By number of operation; g_free it. */
static bool *find_asked(const struct plan *p, const GPtrArray *items)
{
	bool *asked = g_new0(bool, plan_count(p) + 1);

	for (guint i = 0; i < items->len; i++) {
		const struct pick_item *item = g_ptr_array_index(items, i);

		for (guint k = 0; k < item->ops->len; k++)
			asked[g_array_index(item->ops, guint, k)] = true;
	}
	return asked;
}

/* Outer directories are made first and removed last: either way the inner ones
 * are decided before. */
void pick_finish(struct plan *p, const GPtrArray *items)
{
	g_autofree bool *asked = find_asked(p, items);

	for (size_t i = plan_count(p); i-- > 0;) {
		struct plan_op *op = plan_at(p, i);

		if (!asked[i] && op->action == PLAN_MKDIR &&
			!any_below(p, op->path, makes_something))
			leave_op(op, "you took nothing in it");
	}
	for (size_t i = 0; i < plan_count(p); i++) {
		struct plan_op *op = plan_at(p, i);

		if (!asked[i] && op->action == PLAN_DELETE && is_dir_op(op) &&
			any_below(p, op->path, was_left))
			leave_op(op, "you left something in it");
	}
}
