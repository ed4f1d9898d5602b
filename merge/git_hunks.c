#include "merge/git_hunks.h"

#include <git2.h>
#include <string.h>

#include "merge/apply.h"
#include "merge/git_library.h"

enum { CONTEXT = 3 };

struct lines {
	const char *data;
	GArray *at;	/* of size_t: where each begins, and the end */
};

struct change {
	size_t old, old_count;	/* lines of `before`, from 0 */
	size_t new, new_count;
};

struct git_hunks {
	GBytes *before, *after;
	struct lines old, new;
	GArray *changes;	/* of struct change, in order */
};

static bool is_text(GBytes *b)
{
	gsize n;
	const void *data = g_bytes_get_data(b, &n);

	return n <= TEXT_MERGE_LIMIT && !(n && memchr(data, '\0', n));
}

static void find_lines(struct lines *l, GBytes *b)
{
	gsize n;
	size_t at = 0;

	l->data = g_bytes_get_data(b, &n);
	l->at = g_array_new(FALSE, FALSE, sizeof(size_t));
	g_array_append_val(l->at, at);
	while (at < n) {
		const char *end = memchr(l->data + at, '\n', n - at);

		at = end ? (size_t)(end - l->data) + 1 : n;
		g_array_append_val(l->at, at);
	}
}

static size_t line_at(const struct lines *l, size_t i)
{
	return g_array_index(l->at, size_t, i);
}

static size_t line_count(const struct lines *l)
{
	return l->at->len - 1;
}

/* A hunk without context is one change. Of an empty side git gives the line
 * before it. */
static bool add_changes(struct git_hunks *h, git_patch *patch)
{
	for (size_t i = 0; i < git_patch_num_hunks(patch); i++) {
		const git_diff_hunk *k;
		struct change c;

		if (git_patch_get_hunk(&k, NULL, patch, i) < 0)
			return false;
		c.old_count = (size_t)k->old_lines;
		c.new_count = (size_t)k->new_lines;
		c.old = (size_t)k->old_start - (c.old_count ? 1 : 0);
		c.new = (size_t)k->new_start - (c.new_count ? 1 : 0);
		if (c.old + c.old_count > line_count(&h->old) ||
			c.new + c.new_count > line_count(&h->new))
			return false;
		g_array_append_val(h->changes, c);
	}
	return true;
}

static bool compare(struct git_hunks *h)
{
	git_diff_options options;
	git_patch *patch = NULL;
	gsize n, m;
	const void *a = g_bytes_get_data(h->before, &n);
	const void *b = g_bytes_get_data(h->after, &m);
	bool ok;

	git_library_start();
	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	options.flags |= GIT_DIFF_FORCE_TEXT;
	options.context_lines = 0;
	ok = git_patch_from_buffers(&patch, n ? a : "", n, "file", m ? b : "",
		     m, "file", &options) == 0 && add_changes(h, patch);
	git_patch_free(patch);
	return ok;
}

struct git_hunks *git_hunks_new(GBytes *before, GBytes *after)
{
	struct git_hunks *h;

	if (!is_text(before) || !is_text(after))
		return NULL;
	h = g_new0(struct git_hunks, 1);
	h->before = g_bytes_ref(before);
	h->after = g_bytes_ref(after);
	h->changes = g_array_new(FALSE, FALSE, sizeof(struct change));
	find_lines(&h->old, before);
	find_lines(&h->new, after);
	if (compare(h))
		return h;
	git_hunks_free(h);
	return NULL;
}

void git_hunks_free(struct git_hunks *h)
{
	if (!h)
		return;
	g_bytes_unref(h->before);
	g_bytes_unref(h->after);
	g_array_free(h->changes, TRUE);
	g_array_free(h->old.at, TRUE);
	g_array_free(h->new.at, TRUE);
	g_free(h);
}

static const struct change *change_at(const struct git_hunks *h, size_t i)
{
	return &g_array_index(h->changes, struct change, i);
}

size_t git_hunks_count(const struct git_hunks *h)
{
	return h->changes->len;
}

size_t git_hunks_end(const struct git_hunks *h, size_t first)
{
	size_t i = first + 1;

	for (; i < git_hunks_count(h); i++) {
		const struct change *c = change_at(h, i - 1);

		if (change_at(h, i)->old - (c->old + c->old_count) >
			2 * CONTEXT)
			break;
	}
	return i;
}

static void add_lines(GString *out, char mark, const struct lines *l,
	size_t from, size_t count)
{
	for (size_t i = from; i < from + count; i++) {
		size_t at = line_at(l, i), end = line_at(l, i + 1);

		g_string_append_c(out, mark);
		g_string_append_len(out, l->data + at, (gssize)(end - at));
		if (l->data[end - 1] != '\n')
			g_string_append(
				out, "\n\\ No newline at end of file\n");
	}
}

static void add_range(GString *out, char mark, size_t line, size_t count)
{
	g_string_append_printf(
		out, " %c%zu", mark, count ? line + 1 : line);
	if (count != 1)
		g_string_append_printf(out, ",%zu", count);
}

char *git_hunks_text(const struct git_hunks *h, size_t first, size_t end)
{
	const struct change *a = change_at(h, first);
	const struct change *z = change_at(h, end - 1);
	const struct change *next = end < git_hunks_count(h)
		? change_at(h, end) : NULL;
	size_t stop = next ? next->old : line_count(&h->old);
	size_t begun = first ? change_at(h, first - 1)->old +
			change_at(h, first - 1)->old_count : 0;
	size_t lead = MIN((size_t)CONTEXT, a->old - begun);
	size_t tail = MIN((size_t)CONTEXT, stop - (z->old + z->old_count));
	size_t at = a->old - lead;
	GString *out = g_string_new("@@");

	add_range(out, '-', at, z->old + z->old_count + tail - at);
	add_range(out, '+', a->new - lead,
		z->new + z->new_count + tail - (a->new - lead));
	g_string_append(out, " @@\n");
	for (size_t i = first; i < end; i++) {
		const struct change *c = change_at(h, i);

		add_lines(out, ' ', &h->old, at, c->old - at);
		add_lines(out, '-', &h->old, c->old, c->old_count);
		add_lines(out, '+', &h->new, c->new, c->new_count);
		at = c->old + c->old_count;
	}
	add_lines(out, ' ', &h->old, at, tail);
	return g_string_free(out, FALSE);
}

static void append(GByteArray *out, const struct lines *l, size_t from,
	size_t count)
{
	size_t at = line_at(l, from), end = line_at(l, from + count);

	if (end > at)
		g_byte_array_append(out, (const guint8 *)l->data + at,
			(guint)(end - at));
}

GBytes *git_hunks_take(const struct git_hunks *h, const bool *taken)
{
	GByteArray *out = g_byte_array_new();
	size_t at = 0;

	for (size_t i = 0; i < git_hunks_count(h); i++) {
		const struct change *c = change_at(h, i);

		append(out, &h->old, at, c->old - at);
		if (taken[i])
			append(out, &h->new, c->new, c->new_count);
		else
			append(out, &h->old, c->old, c->old_count);
		at = c->old + c->old_count;
	}
	append(out, &h->old, at, line_count(&h->old) - at);
	return g_byte_array_free_to_bytes(out);
}
