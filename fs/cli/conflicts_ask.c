/*
 * The conversation about conflicts. Merging happens in a directory of its own;
 * only what the person has finished goes to the session, with the digest of
 * what it was made from, so that nothing written meanwhile is lost.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/report_text.h"
#include "fs/cli/resolve.h"
#include "merge/apply.h"
#include "merge/git_diff.h"
#include "merge/git_text.h"
#include "merge/lib/beneath.h"
#include "merge/lib/digest.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/json.h"

/* One line of the list. */
struct asked {
	const char *session;
	char *path, *copy;	/* as listed; copy NULL: held */
	char *ours, *theirs, *base;	/* absolute; base may be NULL */
	bool home, is_file;
};

static void asked_release(struct asked *a)
{
	g_free(a->path);
	g_free(a->copy);
	g_free(a->ours);
	g_free(a->theirs);
	g_free(a->base);
}

static char *below(const struct json *roots, const char *root,
	const char *path)
{
	g_autofree char *dir = json_path(roots, root);

	return dir && path ? g_build_filename(dir, path, NULL) : NULL;
}

static struct asked asked_of(const char *session, const struct json *list,
	const struct json *line)
{
	const struct json *roots = json_get(list, "roots");
	const char *where = json_string(json_get(line, "where"));
	struct asked a = {
		.session = session,
		.path = json_path(line, "path"),
		.copy = json_path(line, "copy"),
		.home = !g_strcmp0(where, "local"),
		.is_file = !g_strcmp0(
			json_string(json_get(line, "kind")), "file"),
	};

	a.ours = below(roots, where ? where : "workspace", a.path);
	a.theirs = a.copy ? below(roots, where ? where : "workspace", a.copy)
			  : below(roots, "held", a.path);
	a.base = below(roots, "base", json_string(json_get(line, "base")));
	return a;
}

/* A regular file's bytes; NULL: it is none, or too long to be shown. */
static GBytes *read_file(const char *file)
{
	struct stat st;
	char *text;
	gsize len;

	if (!file || lstat(file, &st) < 0 || !S_ISREG(st.st_mode) ||
		st.st_size > TEXT_MERGE_LIMIT ||
		!g_file_get_contents(file, &text, &len, NULL))
		return NULL;
	return g_bytes_new_take(text, len);
}

static void drop(GBytes *b)
{
	if (b)
		g_bytes_unref(b);
}

/* A line typed, without its newline (g_free); NULL at the end. */
static char *ask(const char *question)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	char *answer;

	printf("%s ", question);
	fflush(stdout);
	n = getline(&line, &size, stdin);
	answer = n < 0 ? NULL : g_strdup(g_strstrip(line));
	free(line);
	if (!answer)
		printf("\n");
	return answer;
}

static void show_diff(const struct asked *a)
{
	GBytes *ours = read_file(a->ours), *theirs = read_file(a->theirs);
	struct git_side from = { ours, 0100644 }, to = { theirs, 0100644 };
	g_autofree char *text = git_diff_path(a->path, &from, &to);

	cli_print_diff(*text ? text : "No difference that can be shown.\n");
	drop(ours);
	drop(theirs);
}

static bool settle(const struct asked *a, enum conflict_take take,
	const char *merged, const char *merged_of)
{
	const struct resolve_request q = {
		.path = a->path, .copy = a->copy, .home = a->home,
		.take = take, .merged = merged, .merged_of = merged_of,
	};
	g_autoptr(GError) why = NULL;
	struct json *j = cli_resolve(a->session, &q, &why);

	if (!j)
		fprintf(stderr, "sandmount: %s\n", why->message);
	json_free(j);
	return j != NULL;
}

/* --- merging by hand -------------------------------------------------------- */

/* Runs SCRIPT in DIR with FILE as its $1, on this terminal. */
static bool run_script(const char *dir, const char *script, const char *file)
{
	const char *argv[] = { "sh", "-c", script, "sh", file, NULL };
	g_autoptr(GError) why = NULL;
	int status = -1;

	fflush(stdout);
	if (!g_spawn_sync(dir, (char **)argv, NULL,
		    G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL,
		    NULL, NULL, NULL, &status, &why)) {
		fprintf(stderr, "sandmount: %s\n", why->message);
		return false;
	}
	return g_spawn_check_wait_status(status, NULL);
}

static const char edit[] =
	"eval \"${VISUAL:-${EDITOR:-vi}}\" '\"$1\"'";

/* The user's own tool, as `git mergetool` runs it: in a repository of which
 * this file is the one conflict. */
static const char tool[] =
	"unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE\n"
	"git config merge.tool >/dev/null || {\n"
	"echo 'git config merge.tool names no tool' >&2; exit 1; }\n"
	"git init -q . && git config mergetool.keepBackup false || exit 1\n"
	"n=0\n"
	"for f in base ours theirs; do\n"
	"n=$((n + 1))\n"
	"printf '100644 %s %d\\t%s\\n' \"$(git hash-object -w $f)\" $n \"$1\"\n"
	"done | git update-index --index-info || exit 1\n"
	"rm -f base ours theirs\n"
	"git mergetool --no-prompt -- \"$1\"\n";

static bool put(const char *dir, const char *name, GBytes *bytes)
{
	g_autofree char *file = g_build_filename(dir, name, NULL);
	gsize len = 0;
	const void *data = bytes ? g_bytes_get_data(bytes, &len) : NULL;

	return g_file_set_contents(file, data ? data : "", (gssize)len, NULL);
}

/* The name shown to an editor: with the file's ending, for its colours. */
static char *merge_name(const char *path)
{
	const char *dot = strrchr(path_name(path), '.');

	for (const char *c = dot ? dot + 1 : ""; *c; c++)
		if (!g_ascii_isalnum(*c))
			dot = NULL;
	return g_strconcat("merged", dot ? dot : "", NULL);
}

static bool has_markers(GBytes *text)
{
	gsize len;
	const char *data = g_bytes_get_data(text, &len);
	g_autofree char *copy = g_strndup(data ? data : "", len);

	return g_str_has_prefix(copy, "<<<<<<< ") ||
		strstr(copy, "\n<<<<<<< ") || strstr(copy, "\n>>>>>>> ");
}

/* What the person made of FILE settles A. */
static bool take_result(const struct asked *a, const char *file,
	const char *merged_of)
{
	GBytes *made = read_file(file);
	bool left = made && has_markers(made), ok = made != NULL;

	if (left) {
		g_autofree char *answer =
			ask("Conflict markers are left. Take it so? [y/N]");

		ok = answer && (*answer == 'y' || *answer == 'Y');
	}
	drop(made);
	return ok && settle(a, TAKE_MERGED, file, merged_of);
}

static bool merge_in(const struct asked *a, const char *dir, GBytes *ours,
	GBytes *theirs, const char *script)
{
	GBytes *base = read_file(a->base), *marked = NULL;
	g_autofree char *name = merge_name(a->path);
	g_autofree char *file = g_build_filename(dir, name, NULL);
	char hex[DIGEST_HEX_LEN + 1];
	struct digest d;
	gsize len;
	const void *data = g_bytes_get_data(ours, &len);
	bool ok;

	digest_bytes(data ? data : "", len, &d);
	digest_to_hex(&d, hex);
	if (!base)
		base = g_bytes_new_static("", 0);
	ok = git_text_markers(base, ours, theirs, &marked) >= 0 && marked;
	if (!ok)
		printf("This is no text: take one of the two.\n");
	ok = ok && put(dir, name, marked) && put(dir, "base", base) &&
		put(dir, "ours", ours) && put(dir, "theirs", theirs);
	drop(base);
	drop(marked);
	return ok && run_script(dir, script, name) &&
		take_result(a, file, hex);
}

static void remove_dir(const char *dir)
{
	g_autofree char *parent = g_path_get_dirname(dir);
	g_autofree char *name = g_path_get_basename(dir);
	autofd int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		beneath_remove_all(fd, name);
}

static bool merge(const struct asked *a, const char *script)
{
	GBytes *ours = read_file(a->ours), *theirs = read_file(a->theirs);
	g_autofree char *dir = g_dir_make_tmp("sandmount-merge-XXXXXX", NULL);
	bool ok = false;

	if (!dir)
		printf("No temporary directory can be made.\n");
	else if (!a->copy || !ours || !theirs)
		printf("Only two texts can be merged.\n");
	else
		ok = merge_in(a, dir, ours, theirs, script);
	if (dir)
		remove_dir(dir);
	drop(ours);
	drop(theirs);
	return ok;
}

/* --- the questions ----------------------------------------------------------- */

static void introduce(const struct asked *a, const struct json *line,
	size_t i, size_t n)
{
	g_autofree char *path = path_display(a->path);
	g_autofree char *ours = path_display(a->ours ? a->ours : "?");
	g_autofree char *theirs = path_display(a->theirs ? a->theirs : "?");
	const char *why = json_string(json_get(line, "why"));

	printf("(%zu of %zu) %s: %s\n  yours      %s\n  sandbox's  %s\n", i, n,
		path, why ? why : "", ours, theirs);
}

static void explain(void)
{
	printf("l  your version stays (--take local)\n"
	       "s  the sandbox's takes its place (--take sandbox)\n"
	       "k  yours as it is by now: merged already (--take merged)\n"
	       "m  merge both in $VISUAL, $EDITOR or vi\n"
	       "t  merge both with the tool of `git mergetool`\n"
	       "d  show what the sandbox's version has otherwise\n"
	       "n  not now\n"
	       "q  no more questions\n");
}

/* False: no more questions. */
static bool ask_about(const struct asked *a)
{
	for (;;) {
		g_autofree char *answer = ask("[l]ocal, [s]andbox, [k]eep as "
			"merged, [m]erge, [t]ool, [d]iff, [n]ot now, [q]uit, "
			"[?]:");
		bool done = false;

		if (!answer || *answer == 'q')
			return false;
		switch (*answer) {
		case 'l':
			done = settle(a, TAKE_LOCAL, NULL, NULL);
			break;
		case 's':
			done = settle(a, TAKE_SANDBOX, NULL, NULL);
			break;
		case 'k':
			done = settle(a, TAKE_MERGED, NULL, NULL);
			break;
		case 'm':
			done = merge(a, edit);
			break;
		case 't':
			done = merge(a, tool);
			break;
		case 'd':
			show_diff(a);
			break;
		case 'n':
			return true;
		default:
			explain();
		}
		if (done) {
			printf("Settled.\n");
			return true;
		}
	}
}

void conflicts_ask(const char *name, const struct json *list)
{
	static const char *const keys[] = { "conflicts", "held" };
	size_t n = 0, at = 0;
	bool more = true;

	for (size_t k = 0; k < G_N_ELEMENTS(keys); k++)
		n += json_count(json_get(list, keys[k]));
	for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
		const struct json *lines = json_get(list, keys[k]);

		for (size_t i = 0; more && i < json_count(lines); i++) {
			struct asked a =
				asked_of(name, list, json_at(lines, i));

			if (a.path) {
				introduce(&a, json_at(lines, i), ++at, n);
				more = ask_about(&a);
			}
			asked_release(&a);
		}
	}
}
