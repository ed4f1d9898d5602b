#ifndef FS_CLI_REPORT_TREE_H
#define FS_CLI_REPORT_TREE_H
/*
 * Paths, each with a word ("new", "deleted"), as a short indented tree: a
 * directory with many of them becomes one line with counts. Pure.
 */
#include <stdbool.h>
#include <glib.h>

enum tree_word {
	TREE_NONE,	/* a directory that only holds others */
	TREE_NEW, TREE_CHANGED, TREE_MODE, TREE_RENAMED, TREE_BACK,
	TREE_MERGED, TREE_DELETED, TREE_CONFLICT, TREE_UNDONE, TREE_WORDS
};

struct report_tree;
struct report_tree *report_tree_new(void);
void report_tree_free(struct report_tree *t);
/* DIR: PATH is a directory, shown with a slash. */
void report_tree_add(struct report_tree *t, const char *path, bool dir,
	enum tree_word word);
/* Appends the lines, each indented by two or more. Nothing for no paths. */
void report_tree_print(struct report_tree *t, GString *out, bool color);

#endif
