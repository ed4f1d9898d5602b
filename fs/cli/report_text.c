#include "fs/cli/report_text.h"

#include <stdint.h>
#include <string.h>

#include "fs/cli/report_tree.h"
#include "merge/lib/path.h"
#include "transport/json.h"

enum { SHOWN_LINES = 20, SHOWN_ALIKE = 4 };

static const char red[] = "\033[1;31m", magenta[] = "\033[35m";
static const char none[] = "\033[0m";

char *json_path(const struct json *obj, const char *key)
{
	g_autofree char *coded = g_strconcat(key, "_base64", NULL);
	const char *s = json_string(json_get(obj, key));
	const char *b64 = json_string(json_get(obj, coded));
	guchar *raw;
	gsize n;

	if (s)
		return g_strdup(s);
	if (!b64)
		return NULL;
	raw = g_base64_decode(b64, &n);
	char *path = g_strndup((const char *)raw, n);

	g_free(raw);
	return path;
}

char *count_text(size_t n, const char *one, const char *many)
{
	return g_strdup_printf("%zu %s", n, n == 1 ? one : many);
}

static bool is_plain(const char *s)
{
	return *s && *s != '~' && *s != '-' &&
		!s[strspn(s, "abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+,@%=:~")];
}

char *kept_text(size_t n, const char *dir)
{
	g_autofree char *count = count_text(n, "path", "paths");
	g_autofree char *shown = path_display(dir);

	if (n == 0)
		return g_strdup("");
	return g_strdup_printf(
		"\nwhat the sandbox had before (%s) is kept there in %s",
		count, shown);
}

char *shell_word(const char *path)
{
	g_autofree char *shown = path_display(path);
	GString *out;

	if (is_plain(path))
		return g_strdup(path);
	if (!strcmp(shown, path) && !strchr(path, '\''))
		return g_strdup_printf("'%s'", path);
	/* bash, zsh and ksh know $'...' and its escapes, which are those of
	 * path_display(). */
	out = g_string_new("$'");
	for (const char *c = shown; *c; c++) {
		if (*c == '\'')
			g_string_append_c(out, '\\');
		g_string_append_c(out, *c);
	}
	g_string_append_c(out, '\'');
	return g_string_free(out, FALSE);
}

static const char *text_of(const struct json *line, const char *key)
{
	const char *s = json_string(json_get(line, key));

	return s ? s : "";
}

static const struct json *list_of(const struct json *report, const char *key)
{
	const struct json *l = json_get(report, key);

	return l && json_kind_of(l) == JSON_ARRAY ? l : NULL;
}

static size_t size_of(const struct json *report, const char *key)
{
	const struct json *l = list_of(report, key);

	return l ? json_count(l) : 0;
}

/* --- counts --------------------------------------------------------------- */

static enum tree_word word_of(const char *list, const struct json *line)
{
	static const struct {
		const char *action;
		enum tree_word word;
	} table[] = {
		{ "created", TREE_NEW }, { "written", TREE_CHANGED },
		{ "mode", TREE_MODE }, { "renamed", TREE_RENAMED },
		{ "resurrected", TREE_BACK }, { "undone", TREE_UNDONE },
	};

	if (!strcmp(list, "deleted"))
		return TREE_DELETED;
	if (!strcmp(list, "merged"))
		return TREE_MERGED;
	if (!strcmp(list, "conflicts"))
		return TREE_CONFLICT;
	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (!strcmp(text_of(line, "action"), table[i].action))
			return table[i].word;
	return TREE_CHANGED;
}

struct tally {
	size_t files, words[TREE_WORDS], dirs;
};

/* Files and directories of LIST apart; a repository's insides are not counted
 * as files of the user. */
static struct tally tally_of(const struct json *report, const char *list)
{
	const struct json *l = list_of(report, list);
	struct tally t = { 0 };

	for (size_t i = 0; l && i < json_count(l); i++) {
		const struct json *line = json_at(l, i);

		if (!strcmp(text_of(line, "kind"), "dir")) {
			t.dirs++;
			continue;
		}
		t.files++;
		t.words[word_of(list, line)]++;
	}
	return t;
}

/* "3 files (2 new, 1 changed) and 1 directory". */
static char *tally_text(const struct tally *t, bool detail)
{
	static const char *const names[TREE_WORDS] = {
		[TREE_NEW] = "new", [TREE_CHANGED] = "changed",
		[TREE_MODE] = "mode only", [TREE_RENAMED] = "renamed",
		[TREE_BACK] = "back again",
	};
	g_autofree char *files = count_text(t->files, "file", "files");
	g_autofree char *dirs = count_text(t->dirs, "directory", "directories");
	GString *out = g_string_new(t->files || !t->dirs ? files : NULL);
	const char *comma = "";

	if (detail && t->files) {
		g_string_append(out, " (");
		for (int w = 0; w < TREE_WORDS; w++) {
			if (!t->words[w] || !names[w])
				continue;
			g_string_append_printf(out, "%s%zu %s", comma,
				t->words[w], names[w]);
			comma = ", ";
		}
		g_string_append_c(out, ')');
	}
	if (t->dirs)
		g_string_append_printf(out, "%s%s", out->len ? " and " : "",
			dirs);
	return g_string_free(out, FALSE);
}

static void add_part(GString *out, const char *part, const char *after)
{
	g_string_append_printf(out, "%s%s%s", out->len ? ", " : "", part,
		after);
}

static void add_count(GString *out, size_t n, const char *one,
	const char *many)
{
	g_autofree char *text = count_text(n, one, many);

	if (n)
		add_part(out, text, "");
}

char *report_summary(const struct json *report)
{
	struct tally home = tally_of(report, "applied");
	struct tally gone = tally_of(report, "deleted");
	bool undo = json_flag(json_get(report, "undo"), false);
	g_autofree char *home_text = tally_text(&home, !undo);
	g_autofree char *gone_text = tally_text(&gone, false);
	bool dry = json_flag(json_get(report, "dry_run"), false);
	GString *out = g_string_new(NULL);

	if (home.files + home.dirs)
		add_part(out, home_text,
			undo ? " undone"
			     : dry ? " would come home" : " came home");
	if (gone.files + gone.dirs)
		add_part(out, gone_text,
			dry ? " would be deleted" : " deleted");
	add_count(out, size_of(report, "merged"), "file merged",
		"files merged");
	add_count(out, size_of(report, "conflicts"), "conflict", "conflicts");
	add_count(out, size_of(report, "held"), "path held back",
		"paths held back");
	add_count(out, size_of(report, "kept_local"), "path kept as you have it",
		"paths kept as you have them");
	if (out->len == 0)
		g_string_append(out, undo ? "nothing to undo"
					  : "nothing to bring home");
	return g_string_free(out, FALSE);
}

/* --- parts ---------------------------------------------------------------- */

static void add_tree(GString *out, const struct json *report, bool color)
{
	static const char *const shown[] = { "applied", "deleted", "merged",
		"conflicts" };
	struct report_tree *t = report_tree_new();

	for (size_t k = 0; k < G_N_ELEMENTS(shown); k++) {
		const struct json *l = list_of(report, shown[k]);

		for (size_t i = 0; l && i < json_count(l); i++) {
			const struct json *line = json_at(l, i);
			g_autofree char *path = json_path(line, "path");

			if (path)
				report_tree_add(t, path,
					!strcmp(text_of(line, "kind"), "dir"),
					word_of(shown[k], line));
		}
	}
	report_tree_print(t, out, color);
	report_tree_free(t);
}

static void add_heading(GString *out, const char *text, const char *tint,
	bool color)
{
	g_string_append_printf(out, "\n%s%s%s\n", color ? tint : "", text,
		color ? none : "");
}

static void add_more(GString *out, size_t n)
{
	if (n)
		g_string_append_printf(out,
			"  … and %zu more (--json lists all)\n", n);
}

static void add_conflicts(GString *out, const struct json *report,
	const struct report_style *style)
{
	const struct json *l = list_of(report, "conflicts");
	size_t n = l ? json_count(l) : 0;
	g_autofree char *count = count_text(n, "conflict", "conflicts");
	g_autofree char *head = g_strdup_printf(
		"%s: your version stays in place, the sandbox's is beside it",
		count);

	if (!n)
		return;
	add_heading(out, head, red, style->color);
	for (size_t i = 0; i < MIN(n, SHOWN_LINES); i++) {
		const struct json *line = json_at(l, i);
		g_autofree char *path = json_path(line, "path");
		g_autofree char *copy = json_path(line, "copy");
		g_autofree char *shown = path_display(path ? path : "?");
		g_autofree char *theirs = path_display(copy ? copy : "?");
		g_autofree char *word = shell_word(path ? path : "?");
		g_autofree char *other = shell_word(copy ? copy : "?");

		/* In the local directory, by ordinary commands. */
		g_string_append_printf(out,
			"  %s  (%s)\n"
			"    yours      %s   (keep it: rm %s)\n"
			"    sandbox's  %s   (take it: mv %s %s)\n",
			shown, text_of(line, "why"), shown, other, theirs,
			other, word);
	}
	add_more(out, n - MIN(n, SHOWN_LINES));
	g_string_append_printf(out, "  one by one: sandmount conflicts %s\n",
		style->name);
}

static size_t count_alike(const struct json *l, const char *why)
{
	size_t n = 0;

	for (size_t i = 0; i < json_count(l); i++)
		n += !strcmp(text_of(json_at(l, i), "why"), why);
	return n;
}

/* What goes on with a held path; NULL: nothing but looking. */
static char *held_command(const struct json *line,
	const struct report_style *style)
{
	if (!strcmp(text_of(line, "action"), "failed"))
		return g_strdup_printf("sandmount restore %s", style->name);
	if (g_str_has_prefix(text_of(line, "why"), "not deleted:"))
		return strstr(text_of(line, "why"), "--allow-deletes")
			? g_strdup_printf(
				  "sandmount restore %s --allow-deletes",
				  style->name)
			: NULL;
	return NULL;
}

static void add_held(GString *out, const struct json *report,
	const struct report_style *style)
{
	const struct json *l = list_of(report, "held");
	bool undo = json_flag(json_get(report, "undo"), false);
	size_t n = l ? json_count(l) : 0, lines = 0;
	g_autofree char *count = count_text(n, "path", "paths");
	g_autofree char *head = g_strdup_printf("%s held back", count);
	g_autoptr(GHashTable) seen =
		g_hash_table_new(g_str_hash, g_str_equal);

	if (!n)
		return;
	add_heading(out, head, magenta, style->color);
	for (size_t i = 0; i < n; i++) {
		const struct json *line = json_at(l, i);
		const char *why = text_of(line, "why");
		size_t alike = count_alike(l, why), so_far;
		g_autofree char *path = json_path(line, "path");
		g_autofree char *shown = path_display(path ? path : "?");
		g_autofree char *command =
			undo ? NULL : held_command(line, style);

		so_far = GPOINTER_TO_SIZE(g_hash_table_lookup(seen, why)) + 1;
		g_hash_table_insert(seen, (gpointer)why,
			GSIZE_TO_POINTER(so_far));
		if (so_far > SHOWN_ALIKE && alike > SHOWN_ALIKE + 1) {
			if (so_far == alike)
				g_string_append_printf(out,
					"  … and %zu more for the same "
					"reason\n", alike - SHOWN_ALIKE);
			continue;
		}
		if (lines++ >= SHOWN_LINES)
			continue;
		g_string_append_printf(out, "  %s\n    %s\n", shown, why);
		if (command)
			g_string_append_printf(out, "    go on      %s\n",
				command);
	}
}

static void add_kept(GString *out, const struct json *report)
{
	const struct json *l = list_of(report, "kept_local");
	size_t n = l ? json_count(l) : 0;

	if (!n)
		return;
	g_string_append(out, "\nKept as you have it\n");
	for (size_t i = 0; i < MIN(n, SHOWN_LINES); i++) {
		const struct json *line = json_at(l, i);
		g_autofree char *path = json_path(line, "path");
		g_autofree char *shown = path_display(path ? path : "?");

		g_string_append_printf(out, "  %s  (%s)\n", shown,
			text_of(line, "why"));
	}
	add_more(out, n - MIN(n, SHOWN_LINES));
}

/* Whether anything of the user's was replaced or deleted. */
static bool has_old_versions(const struct json *report)
{
	struct tally home = tally_of(report, "applied");

	return size_of(report, "deleted") || size_of(report, "merged") ||
		home.words[TREE_CHANGED] || home.words[TREE_RENAMED];
}

static void add_ending(GString *out, const struct json *report,
	const struct report_style *style)
{
	g_autofree char *trash = json_path(report, "trash");
	bool dry = json_flag(json_get(report, "dry_run"), false);
	bool undo = json_flag(json_get(report, "undo"), false);
	size_t written = size_of(report, "applied") +
		size_of(report, "deleted") + size_of(report, "merged");

	if (json_string(json_get(report, "note"))) {
		g_autofree char *note = path_display(
			json_string(json_get(report, "note")));

		g_string_append_printf(out, "note: %s\n", note);
	}
	if (dry || undo)
		return;
	if (style->code == 4)
		g_string_append_printf(out,
			"Not everything was done; what is left is kept. "
			"`sandmount restore %s` goes on.\n", style->name);
	if (!written)
		return;
	g_string_append_printf(out, "Undo: sandmount restore %s --undo",
		style->name);
	if (trash && has_old_versions(report)) {
		g_autofree char *shown = path_display(trash);

		g_string_append_printf(out, "   (your old versions: %s)",
			shown);
	}
	g_string_append_c(out, '\n');
}

char *report_text(const struct json *report, const struct report_style *style)
{
	GString *out = g_string_new(NULL);
	g_autofree char *summary = report_summary(report);

	add_tree(out, report, style->color);
	add_conflicts(out, report, style);
	add_held(out, report, style);
	add_kept(out, report);
	if (out->len)
		g_string_append_c(out, '\n');
	summary[0] = g_ascii_toupper(summary[0]);
	g_string_append_printf(out, "%s.\n", summary);
	add_ending(out, report, style);
	return g_string_free(out, FALSE);
}
