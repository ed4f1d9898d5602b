#include "merge/git_diff.h"

#include <git2.h>
#include <stdbool.h>
#include <string.h>

#include "merge/apply.h"
#include "merge/git_library.h"

enum { LINK_MODE = 0120000, ABBREVIATED = 7 };

static bool is_text(GBytes *b)
{
	gsize n;
	const void *data = b ? g_bytes_get_data(b, &n) : NULL;

	return !data || (n <= TEXT_MERGE_LIMIT && !memchr(data, '\0', n));
}

/* --- names ---------------------------------------------------------------- */

static bool needs_quotes(const char *s)
{
	if (!g_utf8_validate(s, -1, NULL))
		return true;
	for (; *s; s = g_utf8_next_char(s))
		if (*s == '"' || *s == '\\' ||
			!g_unichar_isprint(g_utf8_get_char(s)))
			return true;
	return false;
}

static void quote_byte(GString *out, unsigned char c)
{
	static const char plain[] = "\a\b\t\n\v\f\r\"\\";
	static const char letter[] = "abtnvfr\"\\";
	const char *at = c ? strchr(plain, c) : NULL;

	if (at)
		g_string_append_printf(out, "\\%c", letter[at - plain]);
	else if (c >= 0x20 && c < 0x7f)
		g_string_append_c(out, (char)c);
	else
		g_string_append_printf(out, "\\%03o", c);
}

/* "a/PATH", quoted if it must be; g_free it. */
static char *label(const char *side, const char *path)
{
	GString *out;

	if (!needs_quotes(path))
		return g_strconcat(side, path, NULL);
	out = g_string_new("\"");
	g_string_append(out, side);
	for (; *path; path++)
		quote_byte(out, (unsigned char)*path);
	g_string_append_c(out, '"');
	return g_string_free(out, FALSE);
}

/* A name with a blank ends with a tab, as git writes it. */
static void add_file_line(GString *out, const char *mark, const char *name)
{
	g_string_append_printf(out, "%s %s%s\n", mark, name,
		*name != '"' && strchr(name, ' ') ? "\t" : "");
}

/* --- body ----------------------------------------------------------------- */

static void add_modes(GString *out, const struct git_side *a,
	const struct git_side *b)
{
	if (!a->bytes)
		g_string_append_printf(out, "new file mode %06o\n", b->mode);
	else if (!b->bytes)
		g_string_append_printf(out, "deleted file mode %06o\n",
			a->mode);
	else if (a->mode != b->mode)
		g_string_append_printf(out, "old mode %06o\nnew mode %06o\n",
			a->mode, b->mode);
}

static void blob_id(GBytes *b, char hex[GIT_OID_HEXSZ + 1])
{
	git_oid id = { { 0 } };
	gsize n = 0;
	const void *data = b ? g_bytes_get_data(b, &n) : NULL;

	if (b)
		git_odb_hash(&id, data ? data : "", n, GIT_OBJECT_BLOB);
	git_oid_tostr(hex, ABBREVIATED + 1, &id);
}

static void add_index(GString *out, const struct git_side *a,
	const struct git_side *b)
{
	char old[GIT_OID_HEXSZ + 1], new[GIT_OID_HEXSZ + 1];

	blob_id(a->bytes, old);
	blob_id(b->bytes, new);
	g_string_append_printf(out, "index %s..%s", old, new);
	if (a->bytes && b->bytes && a->mode == b->mode)
		g_string_append_printf(out, " %06o", a->mode);
	g_string_append_c(out, '\n');
}

static void add_hunk(GString *out, git_patch *patch, size_t h)
{
	const git_diff_hunk *hunk;
	size_t lines;

	if (git_patch_get_hunk(&hunk, &lines, patch, h) < 0)
		return;
	g_string_append_len(out, hunk->header, (gssize)hunk->header_len);
	for (size_t l = 0; l < lines; l++) {
		const git_diff_line *line;

		if (git_patch_get_line_in_hunk(&line, patch, h, l) < 0)
			return;
		if (strchr("+- ", line->origin))
			g_string_append_c(out, line->origin);
		g_string_append_len(out, line->content,
			(gssize)line->content_len);
	}
}

static void add_hunks(GString *out, const struct git_side *a,
	const struct git_side *b)
{
	gsize na = 0, nb = 0;
	const void *pa = a->bytes ? g_bytes_get_data(a->bytes, &na) : NULL;
	const void *pb = b->bytes ? g_bytes_get_data(b->bytes, &nb) : NULL;
	git_diff_options options;
	git_patch *patch = NULL;

	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	options.flags |= GIT_DIFF_FORCE_TEXT;
	if (git_patch_from_buffers(&patch, pa ? pa : "", na, "file",
		    pb ? pb : "", nb, "file", &options) == 0)
		for (size_t h = 0; h < git_patch_num_hunks(patch); h++)
			add_hunk(out, patch, h);
	git_patch_free(patch);
}

static bool same_bytes(GBytes *a, GBytes *b)
{
	return a && b && g_bytes_equal(a, b);
}

static void add_change(GString *out, const char *path,
	const struct git_side *a, const struct git_side *b)
{
	g_autofree char *old = label("a/", path);
	g_autofree char *new = label("b/", path);
	const char *from = a->bytes ? old : "/dev/null";
	const char *to = b->bytes ? new : "/dev/null";
	size_t empty;

	g_string_append_printf(out, "diff --git %s %s\n", old, new);
	add_modes(out, a, b);
	if (same_bytes(a->bytes, b->bytes))
		return;
	add_index(out, a, b);
	if (!is_text(a->bytes) || !is_text(b->bytes)) {
		g_string_append_printf(
			out, "Binary files %s and %s differ\n", from, to);
		return;
	}
	/* An empty file that comes or goes has no hunk and no names. */
	empty = (a->bytes ? g_bytes_get_size(a->bytes) : 0) +
		(b->bytes ? g_bytes_get_size(b->bytes) : 0);
	if (!empty)
		return;
	add_file_line(out, "---", from);
	add_file_line(out, "+++", to);
	add_hunks(out, a, b);
}

char *git_diff_path(const char *path, const struct git_side *before,
	const struct git_side *after)
{
	static const struct git_side absent;
	GString *out = g_string_new(NULL);
	bool links = before->bytes && after->bytes &&
		(before->mode == LINK_MODE) != (after->mode == LINK_MODE);

	git_library_start();
	if (links) {	/* git: the old one goes, the new one comes */
		add_change(out, path, before, &absent);
		add_change(out, path, &absent, after);
	} else if (before->bytes || after->bytes) {
		add_change(out, path, before, after);
	}
	return g_string_free(out, FALSE);
}
