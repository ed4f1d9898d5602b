#include "merge/git_guard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "merge/entry.h"
#include "merge/lib/io.h"
#include "merge/scan_hash.h"

enum { SIZE_LIMIT = 16 << 20 };

struct git_guard {
	char *root;	   /* owned */
	GHashTable *seen;  /* owned directory -> owned struct verdict */
};

struct verdict {
	struct entry was; /* of the file; no strings */
	bool allowed;
};

struct git_guard *git_guard_new(const char *root_path)
{
	struct git_guard *g = g_new0(struct git_guard, 1);

	g->root = g_strdup(root_path);
	g->seen = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, g_free);
	return g;
}

void git_guard_free(struct git_guard *g)
{
	if (!g)
		return;
	g_hash_table_destroy(g->seen);
	g_free(g->root);
	g_free(g);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A pattern that begins with a vertical tab or a form feed is never finished:
 * libgit2 takes it for an empty one that is still to be read. */
static bool is_endless(const char *line, size_t len)
{
	for (size_t i = 0; i < len && line[i] != '#'; i++) {
		if (line[i] == '\v' || line[i] == '\f')
			return true;
		if (!strchr(" \t\r/!\\", line[i]))
			return false;
	}
	return false;
}

/* A line without its newline. What is left of a pattern is empty when it is
 * made of nothing but these characters; a plain "!" and "!/" are harmless. */
static bool allows_line(const char *line, size_t len)
{
	const char *nul = memchr(line, '\0', len);
	bool quotes = false;

	if (nul)
		len = nul - line;
	if (is_endless(line, len))
		return false;
	if (len == 0 || line[0] != '!')
		return true;
	while (is_blank(line[len - 1]))
		len--;
	for (size_t i = 1; i < len; i++) {
		if (line[i] != '/' && line[i] != '\\' && !is_blank(line[i]))
			return true;
		quotes |= line[i] == '\\';
	}
	return !quotes && len <= 2;
}

bool git_guard_allows_text(const char *text, size_t len)
{
	const char *end = len ? text + len : text;

	while (text < end) {
		const char *stop = memchr(text, '\n', end - text);

		if (!stop)
			stop = end;
		if (!allows_line(text, stop - text))
			return false;
		text = stop + 1;
	}
	return true;
}

/* Reads FD, whose size was SIZE. One that cannot be read has no rules for
 * libgit2 either. */
static bool allows_file(int fd, int64_t size)
{
	g_autofree char *text = NULL;
	ssize_t n;

	if (size > SIZE_LIMIT)
		return false;
	text = g_try_malloc(size + 1);
	if (!text)
		return false;
	n = io_read_full(fd, text, size + 1);
	if (n > size)
		return false; /* grows: look again the next time */
	return n < 0 || git_guard_allows_text(text, n);
}

static bool look(struct git_guard *g, const char *dir, const char *file)
{
	autofd int fd = open(
		file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct verdict *v;
	struct stat st;

	/* Nor will libgit2 be able to open it. */
	if (fd < 0)
		return true;
	if (fstat(fd, &st) < 0)
		return false;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode);
	v = g_new0(struct verdict, 1);
	entry_from_stat(&v->was, &st);
	entry_mark_racy(&v->was, io_wall_ns());
	v->allowed = allows_file(fd, st.st_size);
	g_hash_table_insert(g->seen, g_strdup(dir), v);
	return v->allowed;
}

static bool allows_dir(struct git_guard *g, const char *dir)
{
	g_autofree char *file =
		g_build_filename(g->root, dir, ".gitignore", NULL);
	const struct verdict *v;
	struct stat st;

	/* As libgit2: links are followed, also one that is the name. */
	if (stat(file, &st) < 0) {
		g_hash_table_remove(g->seen, dir);
		return true;
	}
	v = g_hash_table_lookup(g->seen, dir);
	if (v && S_ISREG(st.st_mode) && entry_stat_matches(&v->was, &st))
		return v->allowed;
	return look(g, dir, file);
}

bool git_guard_allows(struct git_guard *g, const char *path)
{
	g_autofree char *dir = g_strdup(path);
	size_t len = strlen(dir);

	for (;;) {
		if (!allows_dir(g, dir))
			return false;
		if (len == 0)
			return true;
		while (len > 0 && dir[len - 1] != '/')
			len--;
		if (len > 0)
			len--;
		dir[len] = '\0';
	}
}
