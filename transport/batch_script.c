/*
 * Commands are grouped by directory and cut below ARGS_LIMIT, so that ten
 * thousand files in a few hundred directories cost a few hundred forks. $s is
 * our session directory. Every command may fail without stopping the others
 * and may run again after a cut: the read-back decides what was done.
 */
#include "transport/batch_script.h"

#include <string.h>

#include "merge/lib/path.h"
#include "transport/listing.h"
#include "transport/sh_quote.h"

enum { ARGS_LIMIT = 48 * 1024 };

/* A command that takes many files of one directory. */
struct group {
	GString *out;
	const char *before, *after;	/* around the files; after: "" or a
					 * word before the directory */
	char *dir;			/* of the open command, or NULL */
	GString *words;
};

static void close_group(struct group *g)
{
	if (!g->dir)
		return;
	g_string_append(g->out, g->before);
	g_string_append_len(g->out, g->words->str, (gssize)g->words->len);
	if (g->after) {
		g_string_append(g->out, g->after);
		sh_join_path(g->out, *g->dir ? g->dir : ".");
		g_string_append_c(g->out, '/');
	}
	g_string_append_c(g->out, '\n');
	g_string_truncate(g->words, 0);
	g_clear_pointer(&g->dir, g_free);
}

/* Adds PREFIX and PATH as one word to the command of PATH's directory. */
static void add_to_group(struct group *g, const char *prefix, const char *path)
{
	g_autofree char *dir = path_parent(path);

	if (g->dir && (strcmp(g->dir, dir) || g->words->len > ARGS_LIMIT))
		close_group(g);
	if (!g->dir)
		g->dir = g_steal_pointer(&dir);
	g_string_append(g->words, prefix);
	sh_join_path(g->words, path);
}

static struct group open_group(GString *out, const char *before,
	const char *after)
{
	return (struct group){
		.out = out, .before = before, .after = after,
		.words = g_string_new(NULL),
	};
}

static void end_group(struct group *g)
{
	close_group(g);
	g_string_free(g->words, TRUE);
}

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

static void add_checks(struct batch_script *s, const struct batch *b)
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

static void add_mkdir(GString *out, const struct batch_op *op)
{
	if (op->expect_any || op->expect.type != ENTRY_DIR) {
		g_string_append(out, "mkdir");
		sh_append_path(out, op->path);
		g_string_append(out, " 2>/dev/null\n");
	}
	g_string_append_printf(out, "chmod %o", op->entry.mode & 0777);
	sh_append_path(out, op->path);
	g_string_append_c(out, '\n');
}

static void add_moves_and_dirs(GString *out, const struct batch *b)
{
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && op->kind == BATCH_MOVE)
			add_move(out, op);
		else if (op && op->kind == BATCH_MKDIR &&
			op->expect.type != ENTRY_DIR)
			add_mkdir(out, op);
	}
}

/* Makes the directories below $s/old that kept versions go to. */
static void add_old_dirs(GString *out, const struct batch *b)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);
	GHashTableIter it;
	gpointer dir;

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && (op->kind == BATCH_DELETE ||
				  (op->kind == BATCH_PUT &&
					  (op->expect_any ||
						  op->expect.type !=
							  ENTRY_ABSENT))))
			g_hash_table_add(seen, path_parent(op->path));
	}
	g_hash_table_iter_init(&it, seen);
	while (g_hash_table_iter_next(&it, &dir, NULL)) {
		g_string_append(out, "mkdir -p \"$s/old\"/");
		sh_join_path(out, *(char *)dir ? dir : ".");
		g_string_append_c(out, '\n');
	}
}

/* Files and links go to $s/old by rename, directories by rmdir. */
static void add_deletes(GString *out, const struct batch *b)
{
	struct group files = open_group(out, "mv -f", " \"$s/old\"/");

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (!op || op->kind != BATCH_DELETE)
			continue;
		if (op->expect.type != ENTRY_DIR) {
			add_to_group(&files, " ", op->path);
			continue;
		}
		close_group(&files);
		g_string_append(out, "rmdir");
		sh_append_path(out, op->path);
		g_string_append_c(out, '\n');
	}
	end_group(&files);
}

static bool replaces(const struct batch_op *op)
{
	return op && op->kind == BATCH_PUT &&
		(op->expect_any || op->expect.type == ENTRY_FILE ||
			op->expect.type == ENTRY_LINK);
}

static void add_puts(GString *out, const struct batch *b)
{
	struct group keep = open_group(out, "ln", " \"$s/old\"/");
	struct group put = open_group(out, "mv -f", " ");

	for (guint i = 0; i < b->ops->len; i++)
		if (replaces(op_at(b, i)))
			add_to_group(&keep, " ", op_at(b, i)->path);
	end_group(&keep);
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (!op || op->kind != BATCH_PUT)
			continue;
		/* mv would go through a link to a directory. */
		if (op->expect_any || op->expect.type == ENTRY_LINK) {
			g_string_append(out, "[ -L");
			sh_append_path(out, op->path);
			g_string_append(out, " ] && rm -f");
			sh_append_path(out, op->path);
			g_string_append_c(out, '\n');
		}
	}
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && op->kind == BATCH_PUT)
			add_to_group(&put, " \"$s\"/stage/t/", op->path);
	}
	end_group(&put);
}

static void add_modes(GString *out, const struct batch *b)
{
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = op_at(b, i);

		if (op && op->kind == BATCH_CHMOD) {
			g_string_append_printf(
				out, "chmod %o", op->entry.mode & 0777);
			sh_append_path(out, op->path);
			g_string_append_c(out, '\n');
		} else if (op && op->kind == BATCH_MKDIR &&
			op->expect.type == ENTRY_DIR) {
			add_mkdir(out, op);
		}
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

void batch_script_init(struct batch_script *s, const struct batch *b)
{
	*s = (struct batch_script){
		.commands = g_string_new("s=$1\nLC_ALL=C\n"),
		.files = g_string_new(NULL),
		.want_files = g_string_new(NULL),
		.dirs = g_string_new(NULL),
		.want_dirs = g_string_new(NULL),
		.touched = g_string_new(NULL),
	};
	add_checks(s, b);
	add_moves_and_dirs(s->commands, b);
	add_old_dirs(s->commands, b);
	add_deletes(s->commands, b);
	add_puts(s->commands, b);
	add_modes(s->commands, b);
	add_touched(s->touched, b);
}

void batch_script_release(struct batch_script *s)
{
	g_string_free(s->commands, TRUE);
	g_string_free(s->files, TRUE);
	g_string_free(s->want_files, TRUE);
	g_string_free(s->dirs, TRUE);
	g_string_free(s->want_dirs, TRUE);
	g_string_free(s->touched, TRUE);
}
