#include "fs/cli/pick_ask.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cli/pager.h"
#include "fs/cli/report_text.h"
#include "merge/apply.h"
#include "merge/git_diff.h"
#include "merge/git_hunks.h"
#include "merge/lib/digest.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/json.h"

struct talk {
	const struct json *roots;
	struct json *picks;
	size_t taken;
	bool color, over;	/* no more questions */
};

/* One item, and what was said about it. */
struct asked {
	struct talk *talk;
	const struct json *item;
	char *path;		/* owned */
	GBytes *old, *new;	/* owned; NULL: nothing, or no bytes */
	struct git_hunks *hunks;	/* owned; NULL: asked about as a whole */
	bool *take;		/* of each change; owned */
	bool whole, mode;
};

bool pick_can_ask(void)
{
	struct stat st;

	return isatty(STDIN_FILENO) || (fstat(STDIN_FILENO, &st) == 0 &&
		(S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) ||
			S_ISSOCK(st.st_mode)));
}

/* --- what is shown ------------------------------------------------------------ */

/* The file PATH_KEY below the root named ROOT, if it still has the digest of
 * DIGEST_KEY. */
static GBytes *read_version(const struct asked *a, const char *root,
	const char *path_key, const char *digest_key)
{
	g_autofree char *dir = root ? json_path(a->talk->roots, root) : NULL;
	g_autofree char *path = json_path(a->item, path_key);
	const char *hex = json_string(json_get(a->item, digest_key));
	g_autofree char *file = dir && path
		? g_build_filename(dir, path, NULL) : NULL;
	autofd int fd = file
		? open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
		: -1;
	struct digest want, got;
	struct stat st;
	GBytes *bytes;
	ssize_t n;

	if (fd < 0 || !hex || !digest_from_hex(&want, hex) ||
		fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		st.st_size > TEXT_MERGE_LIMIT)
		return NULL;
	char *data = g_malloc((gsize)st.st_size + 1);

	n = io_read_full(fd, data, (size_t)st.st_size + 1);
	bytes = g_bytes_new_take(data, n < 0 ? 0 : (gsize)n);
	digest_bytes(data, n < 0 ? 0 : (size_t)n, &got);
	if (n >= 0 && digest_equal(&want, &got))
		return bytes;
	g_bytes_unref(bytes);
	return NULL;
}

static int64_t number(const struct asked *a, const char *key, int64_t none)
{
	json_is_integer(json_get(a->item, key), &none);
	return none;
}

static const char *what(const struct asked *a)
{
	const char *w = json_string(json_get(a->item, "what"));

	return w ? w : "";
}

static bool is(const struct asked *a, const char *word)
{
	return !strcmp(what(a), word);
}

static bool has_modes(const struct asked *a)
{
	return number(a, "old_mode", -1) >= 0 &&
		number(a, "new_mode", -1) >= 0 &&
		number(a, "old_mode", -1) != number(a, "new_mode", -1);
}

/* The sandbox's bytes must not reach the terminal as commands to it: control
 * characters but tab and newline are shown as ^X. */
static char *tame(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	GString *out = g_string_new(NULL);

	for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
		gunichar u = g_utf8_get_char(c);

		if (u == '\r' && c[1] == '\n')
			continue;
		if ((u < 0x20 && u != '\n' && u != '\t') || u == 0x7f)
			g_string_append_printf(out, "^%c", (char)(u ^ 0x40));
		else if (g_unichar_iscntrl(u) && u >= 0x80)
			g_string_append_printf(out, "<%02x>", u);
		else
			g_string_append_unichar(out, u);
	}
	return g_string_free(out, FALSE);
}

static void show(const struct talk *t, const char *text)
{
	g_autofree char *safe = tame(text);
	g_autofree char *tinted = t->color ? color_diff(safe) : NULL;

	fputs(tinted ? tinted : safe, stdout);
}

/* Of a long new file the beginning is enough to decide. */
static void show_first(const struct talk *t, const char *text)
{
	enum { MOST_LINES = 60 };
	const char *end = text;
	size_t lines = 0, more = 0;

	while (*end && lines < MOST_LINES) {
		end = strchr(end, '\n');
		if (!end)
			break;
		end++;
		lines++;
	}
	g_autofree char *first = end
		? g_strndup(text, (gsize)(end - text)) : g_strdup(text);

	show(t, first);
	for (const char *c = end; c && *c; c++)
		more += *c == '\n';
	if (more)
		printf("(%zu more lines)\n", more);
}

static void introduce(const struct asked *a)
{
	g_autofree char *path = path_display(a->path);
	const char *why = json_string(json_get(a->item, "why"));
	g_autofree char *shown_why = why ? path_display(why) : NULL;

	printf("%s%s%s%s%s\n", a->talk->color ? "\033[1m" : "", path,
		shown_why ? ": " : "", shown_why ? shown_why : "",
		a->talk->color ? "\033[0m" : "");
}

static void show_whole(const struct asked *a)
{
	struct git_side old = { a->old, 0100644 }, new = { a->new, 0100644 };
	g_autofree char *copy = json_path(a->item, "copy");

	introduce(a);
	if (copy) {
		g_autofree char *shown = path_display(copy);

		printf("would be put beside yours as %s\n", shown);
	} else if (has_modes(a)) {
		printf("permissions %03" G_GINT64_MODIFIER "o -> %03"
			G_GINT64_MODIFIER "o\n", number(a, "old_mode", 0),
			number(a, "new_mode", 0));
	}
	if (is(a, "new") || is(a, "delete") || is(a, "change")) {
		g_autofree char *diff = a->old || a->new
			? git_diff_path(a->path, &old, &new) : g_strdup("");

		show_first(a->talk, diff);
	}
}

/* --- asking ------------------------------------------------------------------- */

static void explain(const char *keys)
{
	static const struct {
		char key;
		const char *text;
	} table[] = {
		{ 'y', "take this" },
		{ 'n', "leave this: it is held until the next restore" },
		{ 'q', "quit: take neither this nor what is left to ask" },
		{ 'a', "take this and everything after it in this file" },
		{ 'd', "leave this and everything after it in this file" },
		{ 's', "split this into smaller hunks" },
		{ '?', "print this help" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (strchr(keys, table[i].key))
			printf("%c - %s\n", table[i].key, table[i].text);
}

/* One of KEYS; 'q' at the end of the input. */
static char ask(const char *question, const char *keys)
{
	for (;;) {
		char *line = NULL;
		size_t size = 0;
		ssize_t n;
		char key;

		printf("%s [", question);
		for (const char *k = keys; *k; k++)
			printf("%s%c", k > keys ? "," : "", *k);
		printf("]? ");
		fflush(stdout);
		n = getline(&line, &size, stdin);
		key = n < 0 ? 'q' : (char)tolower((unsigned char)
				*g_strchug(line));
		free(line);
		if (n < 0)
			printf("\n");
		if (key && key != '?' && strchr(keys, key))
			return key;
		explain(keys);
	}
}

/* The answer KEY stands for here: take it or not; REST gets what it says of
 * what follows in this file, and the talk may be over. */
static bool takes(struct talk *t, char key, char *rest)
{
	if (key == 'a' || key == 'd')
		*rest = key == 'a' ? 'y' : 'n';
	if (key == 'q') {
		*rest = 'n';
		t->over = true;
	}
	return key == 'y' || key == 'a';
}

static void ask_mode(struct asked *a, char *rest)
{
	printf("old permissions %03" G_GINT64_MODIFIER "o\nnew permissions "
		"%03" G_GINT64_MODIFIER "o\n", number(a, "old_mode", 0),
		number(a, "new_mode", 0));
	a->mode = takes(a->talk,
		ask("Take this change of permissions", "ynqad?"), rest);
}

/* Asks about the changes from FIRST to END; false: split it. */
static bool ask_hunk(struct asked *a, size_t first, size_t end, char *rest)
{
	g_autofree char *text = git_hunks_text(a->hunks, first, end);
	g_autofree char *question = g_strdup_printf("(%zu/%zu) Take this hunk",
		first + 1, git_hunks_count(a->hunks));
	char key;
	bool take;

	show(a->talk, text);
	key = ask(question, end > first + 1 ? "ynqads?" : "ynqad?");
	if (key == 's')
		return false;
	take = takes(a->talk, key, rest);
	for (size_t i = first; i < end; i++)
		a->take[i] = take;
	return true;
}

static void ask_hunks(struct asked *a)
{
	size_t n = git_hunks_count(a->hunks), split = 0;
	char rest = 0;

	introduce(a);
	if (has_modes(a))
		ask_mode(a, &rest);
	for (size_t i = 0, end; i < n; i = end) {
		end = i < split ? i + 1 : git_hunks_end(a->hunks, i);
		if (rest) {
			for (size_t k = i; k < end; k++)
				a->take[k] = rest == 'y';
		} else if (!ask_hunk(a, i, end, &rest)) {
			printf("Split into %zu hunks.\n", end - i);
			split = end;
			end = i;
		}
	}
}

static void ask_whole(struct asked *a)
{
	static const struct {
		const char *what, *question;
	} table[] = {
		{ "new", "Take this, which is new" },
		{ "delete", "Take this deletion" },
		{ "mode", "Take this change of permissions" },
		{ "copy", "Put the sandbox's version beside yours" },
		{ "rename", "Take this rename" },
		{ "replace", "Let the sandbox's take its place" },
		{ "git", "Take the changes in this repository" },
		{ "change", "Take the sandbox's version" },
		{ "text", "Take the sandbox's version" },
	};
	const char *question = "Take this";
	char rest = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (is(a, table[i].what))
			question = table[i].question;
	show_whole(a);
	a->whole = takes(a->talk, ask(question, "ynqad?"), &rest);
}

/* --- one item ------------------------------------------------------------------ */

static struct asked asked_of(struct talk *t, const struct json *item)
{
	struct asked a = { .talk = t, .item = item };

	a.path = json_path(item, "path");
	if (t->over)	/* it is left, unseen */
		return a;
	a.old = read_version(&a, "local", "old", "old_digest");
	a.new = read_version(&a, json_string(json_get(item, "new_root")),
		"new", "new_digest");
	if (is(&a, "text") && a.old && a.new)
		a.hunks = git_hunks_new(a.old, a.new);
	if (a.hunks)
		a.take = g_new0(bool, git_hunks_count(a.hunks) + 1);
	return a;
}

static void asked_release(struct asked *a)
{
	g_free(a->path);
	if (a->old)
		g_bytes_unref(a->old);
	if (a->new)
		g_bytes_unref(a->new);
	git_hunks_free(a->hunks);
	g_free(a->take);
}

static void add_pick(struct asked *a)
{
	struct json *pick = json_new_object();
	struct json *list = json_new_array();
	size_t n = a->mode || a->whole;

	json_put_path(pick, "path", a->path);
	json_put_string(pick, "digest",
		json_string(json_get(a->item, "digest")));
	for (size_t i = 0; a->hunks && i < git_hunks_count(a->hunks); i++) {
		g_autofree char *text = g_strdup_printf("%zu", i);

		if (a->take[i])
			json_append(list, json_parse(text, strlen(text), NULL));
		n += a->take[i];
	}
	if (a->hunks) {
		json_put(pick, "take", list);
		json_put_bool(pick, "mode", a->mode);
	} else {
		json_free(list);
		json_put_bool(pick, "take", a->whole);
	}
	json_append(a->talk->picks, pick);
	a->talk->taken += n > 0;
}

struct json *pick_ask(const struct json *offer, size_t *taken)
{
	const struct json *items = json_get(offer, "items");
	struct talk t = {
		.roots = json_get(offer, "roots"),
		.picks = json_new_array(),
		.color = cli_color(STDOUT_FILENO),
	};

	for (size_t i = 0; i < json_count(items); i++) {
		struct asked a = asked_of(&t, json_at(items, i));

		if (a.hunks)
			ask_hunks(&a);
		else if (a.path && !t.over)
			ask_whole(&a);
		if (a.path)
			add_pick(&a);
		asked_release(&a);
	}
	*taken = t.taken;
	return t.picks;
}
