/*
 * A new directory can arrive whole when nothing else of the batch concerns its
 * path, a path below it, or (for moves) one above it.
 */
#include "transport/batch_place.h"

#include "merge/lib/path.h"

struct finding {
	const struct batch *b;
	GHashTable *disturbed;	/* path: it or one below it is concerned */
	GHashTable *moved;	/* paths that moves take away */
	GHashTable *whole;	/* new directories that can arrive whole */
};

static bool is_new_dir(const struct batch_op *op)
{
	return op->result == BATCH_TODO && op->kind == BATCH_MKDIR &&
		!op->expect_any && op->expect.type == ENTRY_ABSENT;
}

static bool is_new(const struct batch_op *op)
{
	return is_new_dir(op) ||
		(op->kind == BATCH_PUT && !op->expect_any &&
			op->expect.type == ENTRY_ABSENT);
}

/* Notes PATH and the directories above it, up to one that is noted. */
static void disturb(struct finding *f, const char *path)
{
	char *at = g_strdup(path);

	while (*at && g_hash_table_add(f->disturbed, at))
		at = path_parent(at);
	if (!*at)
		g_free(at);
}

static bool is_below_moved(const struct finding *f, const char *path)
{
	g_autofree char *at = g_strdup(path);

	while (*at) {
		char *up = path_parent(at);

		if (g_hash_table_contains(f->moved, at)) {
			g_free(up);
			return true;
		}
		g_free(at);
		at = up;
	}
	return false;
}

static void find_whole(struct finding *f)
{
	for (guint i = 0; i < f->b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(f->b->ops, i);

		if (op->result != BATCH_TODO || is_new(op))
			continue;
		disturb(f, op->path);
		if (op->kind != BATCH_MOVE)
			continue;
		disturb(f, op->to);
		g_hash_table_add(f->moved, op->path);
	}
	for (guint i = 0; i < f->b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(f->b->ops, i);

		if (is_new_dir(op) &&
			!g_hash_table_contains(f->disturbed, op->path) &&
			!is_below_moved(f, op->path))
			g_hash_table_add(f->whole, op->path);
	}
}

static guint slot_of(struct batch_places *p, const char *dir)
{
	guint slot = GPOINTER_TO_UINT(g_hash_table_lookup(p->slots, dir));

	if (!slot) {
		char *own = g_strdup(dir);

		g_ptr_array_add(p->dirs, own);
		slot = p->dirs->len;
		g_hash_table_insert(p->slots, own, GUINT_TO_POINTER(slot));
	}
	return slot - 1;
}

/* The highest directory at or above PATH that arrives whole, or NULL, where
 * all between them do; g_free it. */
static char *find_top(const struct finding *f, const char *path)
{
	char *top = NULL;
	char *at = g_strdup(path);

	while (g_hash_table_contains(f->whole, at)) {
		g_free(top);
		top = at;
		at = path_parent(top);
	}
	g_free(at);
	return top;
}

static void place_op(struct batch_places *p, const struct finding *f, guint i)
{
	const struct batch_op *op = g_ptr_array_index(f->b->ops, i);
	struct place *at = &g_array_index(p->places, struct place, i);
	bool is_dir = op->kind == BATCH_MKDIR;
	g_autofree char *dir = path_parent(op->path);
	g_autofree char *top = NULL;
	g_autofree char *above = NULL;

	if (op->result != BATCH_TODO ||
		(op->kind != BATCH_PUT && !is_dir) ||
		(is_dir && !g_hash_table_contains(f->whole, op->path)))
		return;
	top = find_top(f, is_dir ? op->path : dir);
	above = path_parent(top ? top : op->path);
	at->kind = !top		       ? PLACE_FILE
		: g_str_equal(top, op->path) ? PLACE_TREE
					     : PLACE_INSIDE;
	at->slot = slot_of(p, above);
	at->staged = g_strdup_printf("t/%u/%s", at->slot,
		op->path + (*above ? strlen(above) + 1 : 0));
}

static void clear_place(gpointer data)
{
	struct place *p = data;

	g_free(p->staged);
}

void batch_places_init(struct batch_places *p, const struct batch *b)
{
	struct finding f = {
		.b = b,
		.disturbed = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, NULL),
		.moved = g_hash_table_new(g_str_hash, g_str_equal),
		.whole = g_hash_table_new(g_str_hash, g_str_equal),
	};

	*p = (struct batch_places){
		.places = g_array_sized_new(
			FALSE, TRUE, sizeof(struct place), b->ops->len),
		.dirs = g_ptr_array_new_with_free_func(g_free),
		.slots = g_hash_table_new(g_str_hash, g_str_equal),
	};
	g_array_set_clear_func(p->places, clear_place);
	g_array_set_size(p->places, b->ops->len);
	find_whole(&f);
	for (guint i = 0; i < b->ops->len; i++)
		place_op(p, &f, i);
	g_hash_table_destroy(f.disturbed);
	g_hash_table_destroy(f.moved);
	g_hash_table_destroy(f.whole);
}

void batch_places_release(struct batch_places *p)
{
	g_hash_table_destroy(p->slots);
	g_ptr_array_free(p->dirs, TRUE);
	g_array_free(p->places, TRUE);
}

const struct place *batch_place(const struct batch_places *p, guint op)
{
	return &g_array_index(p->places, struct place, op);
}
