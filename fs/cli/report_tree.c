#include "fs/cli/report_tree.h"

#include <string.h>

#include "merge/lib/path.h"

enum {
	SHOWN_ALL = 24,		/* so few paths are shown one by one */
	SHOWN_IN_DIR = 8,	/* more below a directory: one line */
	SHOWN_LINES = 40,
	COLUMN_MAX = 44,	/* where the words begin, at most */
};

struct node {
	char *name;		/* owned; "" at the top */
	GPtrArray *children;	/* struct node, owned */
	GHashTable *by_name;	/* borrows */
	enum tree_word word;
	bool dir;
	size_t leaves;		/* paths with a word, it included */
	size_t counts[TREE_WORDS];
};

struct report_tree {
	struct node *top;
};

static const struct {
	const char *text;
	const char *color;
} words[TREE_WORDS] = {
	[TREE_NONE] = { "", "" },
	[TREE_NEW] = { "new", "\033[32m" },
	[TREE_CHANGED] = { "changed", "\033[33m" },
	[TREE_MODE] = { "mode changed", "\033[33m" },
	[TREE_RENAMED] = { "renamed", "\033[33m" },
	[TREE_BACK] = { "back again", "\033[32m" },
	[TREE_MERGED] = { "merged", "\033[36m" },
	[TREE_DELETED] = { "deleted", "\033[31m" },
	[TREE_CONFLICT] = { "conflict", "\033[1;31m" },
	[TREE_UNDONE] = { "undone", "\033[32m" },
};

static void node_free(gpointer p)
{
	struct node *n = p;

	if (!n)
		return;
	g_free(n->name);
	if (n->by_name)
		g_hash_table_destroy(n->by_name);
	g_ptr_array_free(n->children, TRUE);
	g_free(n);
}

static struct node *node_new(const char *name)
{
	struct node *n = g_new0(struct node, 1);

	n->name = g_strdup(name);
	n->children = g_ptr_array_new_with_free_func(node_free);
	n->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	return n;
}

struct report_tree *report_tree_new(void)
{
	struct report_tree *t = g_new0(struct report_tree, 1);

	t->top = node_new("");
	return t;
}

void report_tree_free(struct report_tree *t)
{
	if (t)
		node_free(t->top);
	g_free(t);
}

static struct node *child_of(struct node *n, const char *name)
{
	struct node *c = g_hash_table_lookup(n->by_name, name);

	if (c)
		return c;
	c = node_new(name);
	g_ptr_array_add(n->children, c);
	g_hash_table_insert(n->by_name, c->name, c);
	n->dir = true;
	return c;
}

void report_tree_add(struct report_tree *t, const char *path, bool dir,
	enum tree_word word)
{
	g_auto(GStrv) parts = g_strsplit(path, "/", -1);
	struct node *n = t->top;

	n->leaves++;
	n->counts[word]++;
	for (char **p = parts; *p; p++) {
		n = child_of(n, *p);
		n->leaves++;
		n->counts[word]++;
	}
	n->word = word;
	n->dir |= dir;
}

static int by_name(gconstpointer a, gconstpointer b)
{
	const struct node *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

struct line {
	char *name;	/* indented, escaped */
	char *text;	/* behind it, plain */
	enum tree_word word;
};

static void line_free(gpointer p)
{
	struct line *l = p;

	g_free(l->name);
	g_free(l->text);
	g_free(l);
}

/* "500 new, 2 deleted". */
static char *counts_text(const struct node *n)
{
	GString *out = g_string_new(NULL);

	for (int w = TREE_NONE + 1; w < TREE_WORDS; w++)
		if (n->counts[w])
			g_string_append_printf(out, "%s%zu %s",
				out->len ? ", " : "", n->counts[w],
				words[w].text);
	return g_string_free(out, FALSE);
}

static void add_line(GPtrArray *lines, const struct node *n, int depth,
	bool folded)
{
	struct line *l = g_new0(struct line, 1);
	g_autofree char *shown = path_display(n->name);

	l->name = g_strdup_printf("%*s%s%s", 2 + 2 * depth, "", shown,
		n->dir ? "/" : "");
	l->text = folded ? counts_text(n) : g_strdup(words[n->word].text);
	l->word = folded ? TREE_NONE : n->word;
	g_ptr_array_add(lines, l);
}

/* A repository's own files say little one by one. */
static bool is_folded(const struct node *n, bool all)
{
	return n->children->len &&
		(!strcmp(n->name, ".git") ||
			(!all && n->leaves > SHOWN_IN_DIR));
}

static void collect(GPtrArray *lines, struct node *n, int depth, bool all)
{
	g_ptr_array_sort(n->children, by_name);
	for (guint i = 0; i < n->children->len; i++) {
		struct node *c = g_ptr_array_index(n->children, i);
		bool folded = is_folded(c, all);

		add_line(lines, c, depth, folded);
		if (!folded)
			collect(lines, c, depth + 1, all);
	}
}

static size_t width_of(const struct line *l)
{
	return (size_t)g_utf8_strlen(l->name, -1);
}

static void print_line(GString *out, const struct line *l, size_t column,
	bool color)
{
	size_t width = width_of(l);
	bool tinted = color && l->word != TREE_NONE;

	g_string_append(out, l->name);
	if (*l->text)
		g_string_append_printf(out, "%*s%s%s%s",
			(int)(width < column ? column - width + 2 : 2), "",
			tinted ? words[l->word].color : "", l->text,
			tinted ? "\033[0m" : "");
	g_string_append_c(out, '\n');
}

void report_tree_print(struct report_tree *t, GString *out, bool color)
{
	g_autoptr(GPtrArray) lines =
		g_ptr_array_new_with_free_func(line_free);
	size_t column = 0;
	guint shown;

	collect(lines, t->top, 0, t->top->leaves <= SHOWN_ALL);
	shown = lines->len > SHOWN_LINES + 1 ? SHOWN_LINES : lines->len;
	for (guint i = 0; i < shown; i++)
		column = MAX(column,
			MIN(width_of(g_ptr_array_index(lines, i)),
				(size_t)COLUMN_MAX));
	for (guint i = 0; i < shown; i++)
		print_line(out, g_ptr_array_index(lines, i), column, color);
	if (shown < lines->len)
		g_string_append_printf(out,
			"  … and %u more lines (--json lists all)\n",
			lines->len - shown);
}
