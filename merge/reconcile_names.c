/* Names: conflict copies, links, what is held, what a file system refuses. */
#include "merge/reconcile_internal.h"

#include <stdlib.h>
#include <string.h>

#include "merge/lib/path.h"

enum { DEFAULT_NAME_MAX = NAME_LIMIT, HASH_TAIL = 8 };

/* NAME cut to LEN bytes, on a character boundary where it is UTF-8. */
static char *cut_name(const char *name, size_t len)
{
	size_t n = MIN(strlen(name), len);

	while (n > 1 && n < strlen(name) && ((guchar)name[n] & 0xc0) == 0x80)
		n--;
	return g_strndup(name, n);
}

char *conflict_copy_path(const char *path, const char *name, unsigned k,
	unsigned name_max)
{
	g_autofree char *dir = path_parent(path);
	g_autofree char *number = k > 1 ? g_strdup_printf("%u", k)
					: g_strdup("");
	g_autofree char *tail =
		g_strdup_printf(".%s.conflict%s", name, number);
	size_t limit = name_max ? name_max : DEFAULT_NAME_MAX;
	const char *base = path_name(path);
	g_autofree char *head = NULL;
	g_autofree char *full = NULL;

	if (strlen(base) + strlen(tail) <= limit) {
		head = g_strdup(base);
	} else {
		/* Names that share a beginning must not share a copy. */
		char hex[DIGEST_HEX_LEN + 1];
		struct digest d;
		g_autofree char *cut = cut_name(
			base, limit - strlen(tail) - HASH_TAIL - 1);

		digest_bytes(base, strlen(base), &d);
		digest_to_hex(&d, hex);
		head = g_strdup_printf("%s~%.*s", cut, HASH_TAIL, hex);
	}
	full = g_strconcat(head, tail, NULL);
	return path_join(dir, full);
}

bool is_conflict_copy(const char *path)
{
	const char *name = path_name(path);
	const char *at = NULL, *next = name;

	while ((next = strstr(next, ".conflict"))) {
		at = next;
		next++;
	}
	if (!at || at == name || !memchr(name + 1, '.', (size_t)(at - name)))
		return false;
	at += strlen(".conflict");
	while (g_ascii_isdigit(*at))
		at++;
	return *at == '\0';
}

/* --- links -------------------------------------------------------------- */

/* Whether a relative TARGET of the link at PATH stays inside. */
static bool stays_inside(const char *path, const char *target)
{
	g_auto(GStrv) dirs = g_strsplit(path, "/", -1);
	g_auto(GStrv) parts = g_strsplit(target, "/", -1);
	int depth = (int)g_strv_length(dirs) - 1;

	for (char **p = parts; *p; p++) {
		if (!strcmp(*p, ".."))
			depth--;
		else if (**p && strcmp(*p, "."))
			depth++;
		if (depth < 0)
			return false;
	}
	return true;
}

/* REST, below the workspace's root, as seen from the link at PATH. */
static char *relative_target(const char *path, const char *rest)
{
	g_auto(GStrv) dirs = g_strsplit(path, "/", -1);
	GString *s = g_string_new(NULL);

	for (guint i = 1; i < g_strv_length(dirs); i++)
		g_string_append(s, "../");
	g_string_append(s, rest);
	if (s->len == 0)
		g_string_append_c(s, '.');
	return g_string_free(s, FALSE);
}

char *contained_target(const struct reconcile_input *in, const char *path,
	const char *target)
{
	const char *cwd = in->remote_cwd;
	size_t len = cwd ? strlen(cwd) : 0;

	if (*target != '/')
		return stays_inside(path, target) ? g_strdup(target) : NULL;
	if (!len || strncmp(target, cwd, len) ||
		(target[len] != '/' && target[len] != '\0'))
		return NULL;
	target += len;
	while (*target == '/')
		target++;
	if (!stays_inside("", target))
		return NULL;
	return relative_target(path, target);
}

/* --- names with a meaning ------------------------------------------------ */

bool is_preserved_absent(const struct reconcile_input *in, const char *path)
{
	g_auto(GStrv) parts = NULL;

	if (!in->preserve_absent || !*in->preserve_absent)
		return false;
	parts = g_strsplit(path, "/", -1);
	for (const char *const *p = in->preserve_absent; *p; p++)
		if (g_strv_contains((const char *const *)parts, *p))
			return true;
	return false;
}

/* What is held for review, and what runs it. */
static const struct {
	const char *pattern, *why;
} reviewed[] = {
	{ ".git/hooks/*", "git runs it at your next commit, merge or push" },
	{ ".git/config", "it names programs that git runs (aliases, pagers, "
			 "filters, ssh)" },
	{ ".git", "it leads git to another repository, with programs of its "
		  "own" },
	{ ".envrc", "direnv runs it when you enter the directory" },
	{ ".vscode/tasks.json", "VS Code runs its tasks, some on opening the "
				"folder" },
	{ ".vscode/settings.json", "it names programs that VS Code starts" },
	{ ".vscode/launch.json", "VS Code runs what it names at the next "
				 "debugging" },
	{ ".husky/*", "git runs it as a hook at your next commit or push" },
	{ ".mcp.json", "it names servers that your coding tools start" },
};

const char *const *reconcile_default_held(void)
{
	static const char *held[G_N_ELEMENTS(reviewed) + 1];
	static gsize filled;

	if (g_once_init_enter(&filled)) {
		for (size_t i = 0; i < G_N_ELEMENTS(reviewed); i++)
			held[i] = reviewed[i].pattern;
		g_once_init_leave(&filled, 1);
	}
	return held;
}

/* Whether REST, below a .git directory, is a branch, log or object: those may
 * have any name. */
static bool is_git_data(const char *rest)
{
	static const char *const dirs[] = { "refs/", "logs/", "objects/" };

	for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++) {
		g_autofree char *inner = g_strconcat("/", dirs[i], NULL);

		if (g_str_has_prefix(rest, dirs[i]) || strstr(rest, inner))
			return true;
	}
	return false;
}

/* What PATTERN means for the repositories inside a .git directory (submodules,
 * worktrees), and for files that say where the configuration is. */
static bool matches_inner_git(const char *pattern, const char *path)
{
	const char *rest = path + strlen(".git/");
	const char *name = path_name(path);

	if (!g_str_has_prefix(path, ".git/") || is_git_data(rest))
		return false;
	if (!strcmp(pattern, ".git/hooks/*"))
		return strstr(rest, "/hooks/") != NULL;
	return !strcmp(pattern, ".git/config") &&
		(!strcmp(name, "config") || !strcmp(name, "commondir") ||
			!strcmp(name, "config.worktree"));
}

/* PATTERN against PATH from one of its components on: "x/ *" holds all below.
 */
static bool matches_tail(const char *pattern, const char *path)
{
	size_t len = strlen(pattern);

	if (g_str_has_suffix(pattern, "/*"))
		return !strncmp(path, pattern, len - 1) && path[len - 1];
	return !strcmp(path, pattern);
}

bool reconcile_is_held(const char *const *patterns, const char *path)
{
	if (!patterns)
		patterns = reconcile_default_held();
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		for (const char *const *p = patterns; *p; p++)
			if (matches_tail(*p, at) || matches_inner_git(*p, at))
				return true;
	}
	return false;
}

const char *reconcile_why_held(const char *path)
{
	for (size_t i = 0; i < G_N_ELEMENTS(reviewed); i++) {
		const char *one[] = { reviewed[i].pattern, NULL };

		if (reconcile_is_held(one, path))
			return reviewed[i].why;
	}
	return "it could run programs";
}

/* --- what the file system refuses ---------------------------------------- */

static char *short_name(const char *path, const char *name, unsigned limit)
{
	g_autofree char *dir = path_parent(path);
	char hex[DIGEST_HEX_LEN + 1];
	struct digest d;

	digest_bytes(path, strlen(path), &d);
	digest_to_hex(&d, hex);
	g_autofree char *made = g_strdup_printf(
		"%.16s.%.*s.conflict", hex, (int)MAX((int)limit - 26, 8), name);

	return path_join(dir, made);
}

static char *fold(const char *path)
{
	return g_utf8_validate(path, -1, NULL) ? g_utf8_casefold(path, -1)
						: g_strdup(path);
}

static bool creates(const struct plan_op *op)
{
	return (op->action == PLAN_PUT || op->action == PLAN_MKDIR) &&
		op->before.type == ENTRY_ABSENT &&
		op->list != PLAN_CONFLICTS;
}

static void make_conflict(struct plan_op *op, char *to, const char *why)
{
	op->subject = op->path;
	op->path = to;
	g_free(op->copy);
	op->copy = g_strdup(to);
	g_free(op->why);
	op->why = g_strdup(why);
	op->list = PLAN_CONFLICTS;
	op->word = "copied";
}

static void fix_long(struct rec *r, unsigned limit)
{
	for (size_t i = 0; i < plan_count(r->main); i++) {
		struct plan_op *op = plan_at(r->main, i);

		if (creates(op) && strlen(path_name(op->path)) > limit)
			make_conflict(op,
				short_name(op->path, r->in->name, limit),
				"its name is too long for the file system "
				"here");
	}
}

static void fix_folded(struct rec *r)
{
	g_autoptr(GHashTable) taken = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);

	for (size_t i = 0; i < manifest_count(r->in->ours); i++)
		g_hash_table_add(
			taken, fold(manifest_at(r->in->ours, i)->path));
	for (size_t i = 0; i < plan_count(r->main); i++) {
		struct plan_op *op = plan_at(r->main, i);

		if (!creates(op) || g_hash_table_add(taken, fold(op->path)))
			continue;
		make_conflict(op,
			conflict_copy_path(op->path, r->in->name, 1,
				r->in->name_max),
			"the file system here does not tell it from another "
			"name");
	}
}

void fix_names(struct rec *r)
{
	if (r->in->name_max && r->in->name_max < NAME_LIMIT)
		fix_long(r, r->in->name_max);
	if (r->in->fold_case)
		fix_folded(r);
}
