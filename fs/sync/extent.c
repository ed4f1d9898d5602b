/*
 * What belongs to the workspace, and what becomes of the rest.
 *
 * A path that is left out is frozen: nothing of it is scanned, listed, merged
 * or deleted on any side. What the mount's user makes there goes to the sandbox
 * all the same, and is acknowledged; so rows of such paths exist, and only a
 * batch that meets something unexpected at one of them makes a refresh look
 * there (session_follow).
 */
#include "fs/sync/internal.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/state.h"
#include "merge/diff.h"
#include "merge/exclude.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

bool session_is_left_out(const struct session *s, const char *path,
	bool is_dir)
{
	return exclude_match(s->exclude, path, is_dir) &&
		!(s->follow && g_hash_table_contains(s->follow, path));
}

void session_follow(struct session *s, const char *path)
{
	char *at;

	if (!exclude_match(s->exclude, path, true))
		return;
	if (!s->follow)
		s->follow = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, NULL);
	/* With the directories above: they may be what is gone. */
	for (at = g_strdup(path); *at;) {
		char *up = path_parent(at);

		g_hash_table_add(s->follow, at);
		at = up;
	}
	g_free(at);
}

static bool is_dir(const struct entry *e)
{
	return e && e->type == ENTRY_DIR;
}

bool session_has_same_tree(const struct session *s, const struct manifest *a,
	const struct manifest *b)
{
	struct diff d;
	struct diff_step step;

	diff_init(&d, a, b);
	while (diff_next(&d, &step))
		if ((diff_what(step.a, step.b) & ~(unsigned)DIFF_MTIME) &&
			!exclude_match(s->exclude, step.path,
				is_dir(step.a) || is_dir(step.b)))
			return false;
	return true;
}

static void add_words(GString *text, const char *key, char **words)
{
	for (; words && *words; words++) {
		g_autofree char *word = g_strescape(*words, NULL);

		g_string_append_printf(text, "%s %s\n", key, word);
	}
}

static bool has_rules(const char *path)
{
	return !strcmp(path_name(path), ".gitignore") ||
		g_str_has_suffix(path, ".git/info/exclude");
}

/* Something that changes with git's ignore rules in the local directory: the
 * files that hold them, as they are now. */
static void add_rules(GString *text, struct session *s)
{
	bool replaced, damaged = false;
	int fd = session_open_local(s, &replaced, NULL);
	g_autoptr(manifest_auto) cache = session_load_table(
		s, STATE_BASE_LOCAL, &damaged);
	g_autoptr(manifest_auto) now = NULL;
	struct scan_options o = {
		.exclude = s->exclude, .cache = cache, .hash = SCAN_HASH_NONE,
	};

	if (fd < 0 || scan_tree(fd, &o, &now, NULL, NULL) < 0)
		g_string_append(text, "unreadable\n");
	for (size_t i = 0; now && i < manifest_count(now); i++) {
		const struct entry *e = manifest_at(now, i);
		g_autofree char *path = NULL;

		if (!has_rules(e->path))
			continue;
		path = g_strescape(e->path, NULL);
		g_string_append_printf(text,
			"rules %s %" PRIu64 " %" PRId64 " %" PRId64 "\n", path,
			(uint64_t)e->ino, e->size, e->mtime_ns);
	}
	if (fd >= 0)
		close(fd);
}

char *extent_text(struct session *s)
{
	const struct session_options *o = s->options;
	GString *text = g_string_new(o->gitignore ? "gitignore\n" : "");

	add_words(text, "exclude", o->exclude);
	add_words(text, "preserve", o->preserve);
	add_words(text, "runtime", (char *[]){ o->runtime_dir, NULL });
	if (o->gitignore)
		add_rules(text, s);
	return g_string_free(text, FALSE);
}
