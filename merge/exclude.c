#include "merge/exclude.h"

#include <errno.h>
#include <string.h>

#include "merge/git_ignore.h"
#include "merge/glob.h"
#include "merge/lib/fail.h"
#include "merge/lib/path.h"

enum { PATTERN_LIMIT = 4096, FILE_LIMIT = 16 << 20 };

/* What a literal pattern applies to; a set, as "x" and "x/" may both be
 * there. */
enum { MATCH_ANY = 1, MATCH_DIR = 2 };

struct rule {
	struct glob *glob; /* owned */
	bool dir_only;
};

/* Patterns of one sort: literal ones are looked up, the others tried. */
struct rules {
	GHashTable *literals; /* owned text -> MATCH_ bits */
	GPtrArray *globs;     /* of struct rule *, owned */
};

struct exclude {
	struct rules names;	  /* unanchored: for one component */
	struct rules paths;	  /* anchored: for a whole path */
	GHashTable *reserved;	  /* owned names */
	GPtrArray *literal_names; /* owned; NULL at the end */
	struct git_ignore *git;	  /* owned, or NULL */
};

static void rule_free(void *p)
{
	struct rule *r = p;

	glob_free(r->glob);
	g_free(r);
}

static void rules_init(struct rules *r)
{
	r->literals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
		NULL);
	r->globs = g_ptr_array_new_with_free_func(rule_free);
}

static void rules_release(struct rules *r)
{
	g_hash_table_destroy(r->literals);
	g_ptr_array_free(r->globs, TRUE);
}

struct exclude *exclude_new(void)
{
	struct exclude *x = g_new0(struct exclude, 1);

	rules_init(&x->names);
	rules_init(&x->paths);
	x->reserved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
		NULL);
	x->literal_names = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(x->literal_names, NULL);
	return x;
}

void exclude_free(struct exclude *x)
{
	if (!x)
		return;
	git_ignore_free(x->git);
	rules_release(&x->names);
	rules_release(&x->paths);
	g_hash_table_destroy(x->reserved);
	g_ptr_array_free(x->literal_names, TRUE);
	g_free(x);
}

/* A pattern taken apart: TEXT without "." components, doubled, leading and
 * trailing slashes. */
struct parsed {
	char *text; /* owned */
	bool anchored, dir_only;
};

/* PATTERN with "\/" as "/": quoting a separator changes nothing. */
static char *unquote_slashes(const char *pattern)
{
	GString *s = g_string_new(NULL);

	for (const char *p = pattern; *p; p++) {
		if (p[0] == '\\' && p[1] == '/')
			continue;
		g_string_append_c(s, *p);
		if (p[0] == '\\' && p[1])
			g_string_append_c(s, *++p);
	}
	return g_string_free(s, FALSE);
}

static int bad_pattern(GError **err, const char *pattern, const char *why)
{
	g_autofree char *head = g_strndup(pattern, 64);
	g_autofree char *shown = path_display(head);

	return fail(err, FAIL_USAGE, "exclude pattern '%s': %s", shown, why);
}

static int parse(struct parsed *to, const char *pattern, GError **err)
{
	g_autofree char *plain = NULL;
	g_auto(GStrv) parts = NULL;
	g_autoptr(GPtrArray) kept = g_ptr_array_new();

	if (strlen(pattern) > PATTERN_LIMIT)
		return bad_pattern(err, pattern, "longer than 4096 bytes; "
			"split it");
	plain = unquote_slashes(pattern);
	parts = g_strsplit(plain, "/", -1);
	for (char **part = parts; *part; part++) {
		if (strcmp(*part, "..") == 0)
			return bad_pattern(err, pattern, "'..' leads out of the "
				"workspace; give it relative to the top");
		if (**part && strcmp(*part, ".") != 0)
			g_ptr_array_add(kept, *part);
	}
	if (kept->len == 0)
		return bad_pattern(err, pattern, "names nothing; use '**' to "
			"leave out everything");
	to->anchored = kept->len > 1 || g_ptr_array_index(kept, 0) != parts[0];
	to->dir_only = g_str_has_suffix(plain, "/") ||
		g_str_has_suffix(plain, "/.");
	g_ptr_array_add(kept, NULL);
	to->text = g_strjoinv("/", (char **)kept->pdata);
	return 0;
}

/* A name that only directories are left out by must not be pruned by name. */
static void add_literal(struct exclude *x, const struct parsed *p,
	const char *text)
{
	GHashTable *table = (p->anchored ? &x->paths : &x->names)->literals;
	unsigned was = GPOINTER_TO_UINT(g_hash_table_lookup(table, text));
	unsigned is = was | (p->dir_only ? MATCH_DIR : MATCH_ANY);

	g_hash_table_insert(table, g_strdup(text), GUINT_TO_POINTER(is));
	if (!p->anchored && (is & ~was & MATCH_ANY))
		g_ptr_array_insert(x->literal_names,
			x->literal_names->len - 1, g_strdup(text));
}

int exclude_add(struct exclude *x, const char *pattern, GError **err)
{
	struct parsed p = { 0 };
	g_autofree char *text = NULL;
	struct glob *glob;
	struct rule *rule;
	int r = parse(&p, pattern, err);

	if (r < 0)
		return r;
	text = p.text;
	glob = glob_new(text);
	if (glob_literal(glob)) {
		add_literal(x, &p, glob_literal(glob));
		glob_free(glob);
		return 0;
	}
	rule = g_new0(struct rule, 1);
	rule->glob = glob;
	rule->dir_only = p.dir_only;
	g_ptr_array_add((p.anchored ? &x->paths : &x->names)->globs, rule);
	return 0;
}

static int add_line(struct exclude *x, char *line, size_t len, GError **err)
{
	if (len && line[len - 1] == '\r')
		line[--len] = '\0';
	if (len == 0 || line[0] == '#')
		return 0;
	if (strlen(line) != len)
		return fail(err, FAIL_USAGE, "a NUL byte in a pattern; write "
			"one pattern a line as plain text");
	return exclude_add(x, line, err);
}

int exclude_add_file(struct exclude *x, const char *file, GError **err)
{
	g_autofree char *text = NULL, *shown = path_display(file);
	g_autoptr(GError) cause = NULL;
	gsize len = 0;
	unsigned number = 1;

	if (!g_file_get_contents(file, &text, &len, &cause))
		return fail(err, FAIL_USAGE, "exclude file %s: %s; check the "
			"name after --exclude-from", shown, cause->message);
	if (len > FILE_LIMIT)
		return fail(err, FAIL_USAGE, "exclude file %s: over 16 MiB; it "
			"should hold one pattern a line", shown);
	for (char *line = text, *end = text + len; line < end; number++) {
		char *stop = memchr(line, '\n', end - line);
		size_t size = (stop ? stop : end) - line;

		line[size] = '\0';
		if (add_line(x, line, size, err) < 0) {
			g_prefix_error(err, "%s, line %u: ", shown, number);
			return -EINVAL;
		}
		line += size + 1;
	}
	return 0;
}

void exclude_add_reserved(struct exclude *x, const char *name)
{
	g_hash_table_add(x->reserved, g_strdup(name));
}

int exclude_use_gitignore(struct exclude *x, const char *root_path,
	GError **err)
{
	struct git_ignore *git = git_ignore_new(root_path, err);

	if (!git)
		return -EIO;
	git_ignore_free(x->git);
	x->git = git;
	return 0;
}

static bool rules_match(const struct rules *r, const char *text, size_t len,
	bool is_dir)
{
	unsigned bits = GPOINTER_TO_UINT(
		g_hash_table_lookup(r->literals, text));

	if (bits & MATCH_ANY || (is_dir && bits & MATCH_DIR))
		return true;
	for (unsigned i = 0; i < r->globs->len; i++) {
		const struct rule *rule = r->globs->pdata[i];

		if ((is_dir || !rule->dir_only) &&
			glob_match(rule->glob, text, len))
			return true;
	}
	return false;
}

bool exclude_match_here(const struct exclude *x, const char *path, bool is_dir)
{
	const char *name;

	if (!x)
		return false;
	name = path_name(path);
	if (name == path && g_hash_table_contains(x->reserved, path))
		return true;
	if (rules_match(&x->names, name, strlen(name), is_dir) ||
		rules_match(&x->paths, path, strlen(path), is_dir))
		return true;
	return x->git && git_ignore_match(x->git, path, is_dir);
}

bool exclude_match(const struct exclude *x, const char *path, bool is_dir)
{
	g_autofree char *prefix = NULL;

	if (!x)
		return false;
	prefix = g_strdup(path);
	for (char *p = prefix; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (exclude_match_here(x, prefix, true))
			return true;
	}
	return exclude_match_here(x, path, is_dir);
}

const char *const *exclude_literal_names(const struct exclude *x)
{
	return (const char *const *)x->literal_names->pdata;
}
