/*
 * Commands are grouped by directory, or by mode: a batch costs processes in
 * proportion to the directories of the sandbox that it changes, not to its
 * files. Functions are those of transport/batch.sh.
 *
 * Run again after a cut, on what was left in the staging directory, the same
 * commands end as if they had never been cut, and overwrite nothing that they
 * had put into place before: what is no longer staged is done.
 */
#include "transport/batch_script.h"

#include <string.h>

#include "merge/lib/path.h"
#include "transport/batch.sh.h"
#include "transport/listing.h"
#include "transport/sh_group.h"
#include "transport/sh_quote.h"

static const struct batch_op *op_at(const struct batch *b, guint i)
{
	const struct batch_op *op = g_ptr_array_index(b->ops, i);

	return op->result == BATCH_TODO ? op : NULL;
}

static void list_path(GString *list, const char *path)
{
	g_string_append_printf(list, "./%s", path);
	g_string_append_c(list, '\0');
}

char *batch_before_moves(const struct batch *b, const char *path, guint limit)
{
	char *now = g_strdup(path);

	for (guint i = limit; i-- > 0;) {
		const struct batch_op *op = op_at(b, i);

		if (op && op->kind == BATCH_MOVE &&
			path_is_within(now, op->to)) {
			char *next = path_rebase(now, op->to, op->path);

			g_free(now);
			now = next;
		}
	}
	return now;
}

/* What must be seen at PATH before anything is done. */
static void want(struct batch_script *s, const char *path,
	const struct entry *e)
{
	if (e->type == ENTRY_DIR) {
		list_path(s->dirs, path);
		record_format_dir(s->want_dirs, e, path);
		return;
	}
	list_path(s->files, path);
	if (e->type != ENTRY_ABSENT)
		record_format(s->want_files, e, path);
}

static void add_checks(struct batch_script *s, const struct batch *b,
	const struct batch_places *p)
{
	static const struct entry absent;

	/* Paths whose place another operation empties first. */
	g_autoptr(GHashTable) emptied =
		g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && (op->kind == BATCH_MOVE || op->kind == BATCH_DELETE))
			g_hash_table_add(emptied, op->path);
	}
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		g_autofree char *path = NULL;

		if (!op || op->expect_any)
			continue;
		/* As the directory is new, nothing is in it. */
		if (batch_place(p, i)->kind == PLACE_INSIDE) {
			list_path(s->below, op->path);
			continue;
		}
		path = batch_before_moves(b, op->path,
			op->kind == BATCH_MOVE ? i : b->ops->len);
		if (op->kind == BATCH_MOVE) {
			want(s, path, &op->expect);
			if (!g_hash_table_contains(emptied, op->to))
				want(s, op->to, &absent);
		} else if (op->expect.type != ENTRY_ABSENT) {
			want(s, path, &op->expect);
		} else if (!g_hash_table_contains(emptied, op->path)) {
			want(s, op->path, &op->expect);
		}
	}
}

/* Adds DIR and those above it, up to one that is in SEEN. */
static void add_parents(GString *list, GHashTable *seen, const char *dir)
{
	char *at = g_strdup(dir);

	while (*at && g_hash_table_add(seen, at)) {
		list_path(list, at);
		at = path_parent(at);
	}
	if (!*at)
		g_free(at);
}

/* The directories that the batch goes through as they are before it. */
static void add_parents_of_all(struct batch_script *s, const struct batch *b)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GHashTable) made =
		g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GHashTable) done = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && op->kind == BATCH_MKDIR &&
			(op->expect_any || op->expect.type != ENTRY_DIR))
			g_hash_table_add(made, op->path);
	}
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);
		g_autofree char *before = NULL;
		char *dir;

		if (!op)
			continue;
		dir = path_parent(op->path);
		if (g_hash_table_contains(made, dir) ||
			g_hash_table_contains(done, dir)) {
			g_free(dir);
			continue;
		}
		before = batch_before_moves(b, dir,
			op->kind == BATCH_MOVE ? i : b->ops->len);
		add_parents(s->parents, seen, before);
		if (op->kind == BATCH_MOVE)
			g_free(dir);	/* of another moment */
		else
			g_hash_table_add(done, dir);
	}
}

static void add_move(GString *out, const struct batch_op *op)
{
	g_string_append(out, "[ -e");
	sh_append_path(out, op->to);
	g_string_append(out, " ] || [ -L");
	sh_append_path(out, op->to);
	g_string_append(out, " ] || mv");
	sh_append_path(out, op->path);
	sh_append_path(out, op->to);
	g_string_append_c(out, '\n');
}

static bool is_existing_dir(const struct batch_op *op)
{
	return op && op->kind == BATCH_MKDIR && !op->expect_any &&
		op->expect.type == ENTRY_DIR;
}

/* New directories that do not arrive whole. Nobody else enters them until they
 * have their mode. */
static void add_moves_and_dirs(GString *out, const struct batch *b,
	const struct batch_places *p)
{
	struct sh_group *dirs = sh_group_new();

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && op->kind == BATCH_MKDIR && !is_existing_dir(op) &&
			batch_place(p, i)->kind == PLACE_NONE)
			sh_group_add(dirs, "mkdir", op->path);
		if (!op || op->kind != BATCH_MOVE)
			continue;
		sh_group_end(dirs, out, " 2>/dev/null");
		dirs = sh_group_new();
		add_move(out, op);
	}
	sh_group_end(dirs, out, " 2>/dev/null");
}

static bool replaces(const struct batch_op *op)
{
	return op && op->kind == BATCH_PUT &&
		(op->expect_any || op->expect.type == ENTRY_FILE ||
			op->expect.type == ENTRY_LINK);
}

/* Makes the directories below $s/old that kept versions go to. */
static void add_old_dirs(GString *out, const struct batch *b)
{
	struct sh_group *dirs = sh_group_new();
	g_autoptr(GHashTable) seen = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);
		char *dir;

		if (!op || !(op->kind == BATCH_DELETE || replaces(op)))
			continue;
		dir = path_parent(op->path);
		if (g_hash_table_add(seen, dir))
			sh_group_add(dirs,
				"(mkdir -p \"$s/old\" && cd \"$s/old\" && "
				"mkdir -p", dir);
	}
	sh_group_end(dirs, out, ")");
}

/* The beginning of a call of the function WORD for what is in PATH's
 * directory; g_free it. */
static char *call_for(const char *word, const char *path)
{
	g_autofree char *dir = path_parent(path);
	GString *s = g_string_new(word);

	sh_append_path(s, dir);
	return g_string_free(s, FALSE);
}

/* Files and links go to $s/old by rename, then directories by rmdir: what was
 * in them, in the order given, is deleted before. */
static void add_deletes(GString *out, const struct batch *b)
{
	struct sh_group *files = sh_group_new();
	struct sh_group *dirs = sh_group_new();

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (!op || op->kind != BATCH_DELETE)
			continue;
		if (op->expect.type == ENTRY_DIR) {
			sh_group_add(dirs, "rmdir", op->path);
		} else {
			g_autofree char *begin = call_for("drop", op->path);

			sh_group_add(files, begin, op->path);
		}
	}
	sh_group_end(files, out, "");
	sh_group_end(dirs, out, "");
}

/* What is replaced is kept, and links are not written through. */
static void add_keeps(GString *out, const struct batch *b,
	const struct batch_places *p)
{
	struct sh_group *keep = sh_group_new();

	for (guint i = 0; i < b->ops->len; i++) {
		g_autofree char *begin = NULL;

		if (!replaces(op_at(b, i)))
			continue;
		begin = call_for("keep", op_at(b, i)->path);
		sh_group_add(keep, begin, op_at(b, i)->path);
	}
	sh_group_end(keep, out, "");
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (!replaces(op) ||
			(!op->expect_any && op->expect.type != ENTRY_LINK))
			continue;
		g_string_append(out, "unfollow");
		sh_append_path(out, batch_place(p, i)->staged);
		sh_append_path(out, op->path);
		g_string_append_c(out, '\n');
	}
}

/* What did not arrive whole is not published with the tree that it is in. */
static void add_withdrawals(GString *out, const struct batch *b,
	const struct batch_places *p)
{
	struct sh_group *files = sh_group_new();

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		if (batch_place(p, i)->kind == PLACE_INSIDE &&
			op->result != BATCH_TODO)
			sh_group_add(files, "(cd \"$s/stage\" && rm -f",
				batch_place(p, i)->staged);
	}
	sh_group_end(files, out, ")");
}

static void add_puts(GString *out, const struct batch *b,
	const struct batch_places *p)
{
	struct sh_group *puts = sh_group_new();

	add_withdrawals(out, b, p);
	add_keeps(out, b, p);
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);
		const struct place *at = batch_place(p, i);
		GString *begin;

		if (!op || (at->kind != PLACE_FILE && at->kind != PLACE_TREE))
			continue;
		begin = g_string_new(NULL);
		g_string_printf(begin, "%s %u",
			at->kind == PLACE_TREE ? "tree" : "put", at->slot);
		sh_append_path(
			begin, g_ptr_array_index(p->dirs, at->slot));
		sh_group_add(puts, begin->str, path_name(op->path));
		g_string_free(begin, TRUE);
	}
	sh_group_end(puts, out, "");
}

static void add_mode(struct sh_group *g, const struct batch_op *op)
{
	g_autofree char *begin =
		g_strdup_printf("chmod %o", op->entry.mode & 0777u);

	sh_group_add(g, begin, op->path);
}

/* Directories that we may go on working in are opened before. */
static bool opens(const struct batch_op *op)
{
	return is_existing_dir(op) && (op->entry.mode & 0300) == 0300;
}

static void add_opened(GString *out, const struct batch *b)
{
	struct sh_group *modes = sh_group_new();

	for (guint i = 0; i < b->ops->len; i++)
		if (opens(op_at(b, i)))
			add_mode(modes, op_at(b, i));
	sh_group_end(modes, out, "");
}

/* Whether the mode of OP's path is not yet what it is to be. */
static bool lacks_mode(const struct batch_op *op, const struct place *at)
{
	if (!op || opens(op))
		return false;
	/* A tree's directories arrive with their modes, but open to us. */
	if (at->kind == PLACE_TREE || at->kind == PLACE_INSIDE)
		return op->kind == BATCH_MKDIR &&
			(op->entry.mode & 0700) != 0700;
	return op->kind == BATCH_CHMOD || op->kind == BATCH_MKDIR;
}

static void add_modes(GString *out, const struct batch *b,
	const struct batch_places *p)
{
	struct sh_group *modes = sh_group_new();

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (lacks_mode(op, batch_place(p, i)) &&
			(op->kind == BATCH_CHMOD || op->entry.mode & 0100))
			add_mode(modes, op);
	}
	sh_group_end(modes, out, "");
	/* Last those behind which we cannot look, the innermost first. */
	for (guint i = b->ops->len; i-- > 0;) {
		const struct batch_op *op = op_at(b, i);

		if (!lacks_mode(op, batch_place(p, i)) ||
			op->kind == BATCH_CHMOD || op->entry.mode & 0100)
			continue;
		modes = sh_group_new();
		add_mode(modes, op);
		sh_group_end(modes, out, "");
	}
}

static void add_touched(GString *list, const struct batch *b)
{
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op)
			list_path(list, op->kind == BATCH_MOVE ? op->to
							       : op->path);
	}
}

void batch_script_init(struct batch_script *s, const struct batch *b,
	const struct batch_places *p)
{
	*s = (struct batch_script){
		.commands = g_string_new(script_batch),
		.files = g_string_new(NULL),
		.want_files = g_string_new(NULL),
		.dirs = g_string_new(NULL),
		.want_dirs = g_string_new(NULL),
		.below = g_string_new(NULL),
		.parents = g_string_new(NULL),
		.touched = g_string_new(NULL),
	};
	add_checks(s, b, p);
	add_parents_of_all(s, b);
	add_moves_and_dirs(s->commands, b, p);
	add_opened(s->commands, b);
	add_old_dirs(s->commands, b);
	add_deletes(s->commands, b);
	add_puts(s->commands, b, p);
	add_modes(s->commands, b, p);
	add_touched(s->touched, b);
}

void batch_script_release(struct batch_script *s)
{
	g_string_free(s->commands, TRUE);
	g_string_free(s->files, TRUE);
	g_string_free(s->want_files, TRUE);
	g_string_free(s->dirs, TRUE);
	g_string_free(s->want_dirs, TRUE);
	g_string_free(s->below, TRUE);
	g_string_free(s->parents, TRUE);
	g_string_free(s->touched, TRUE);
}
