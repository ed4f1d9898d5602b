/*
 * A part of a file. The answer is a line, bytes, and a line; how many bytes is
 * known beforehand, and when there are fewer (the file was cut off meanwhile)
 * the second line is missing and nothing is proven.
 */
#include "transport/tree_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "merge/entry.h"
#include "merge/lib/fail.h"
#include "transport/listing.h"
#include "transport/range.sh.h"

enum { LINE_LIMIT = 512 };

struct arriving {
	struct tree_range *range;
	const struct tree_progress *progress;
	GString *before, *after;
	uint64_t got;
};

static int store(struct arriving *a, const char *data, size_t len)
{
	while (len) {
		ssize_t n = pwrite(a->range->fd, data, len,
			(off_t)(a->range->off + a->got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		a->got += (uint64_t)n;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int take(void *ctx, const void *buf, size_t len)
{
	struct arriving *a = ctx;
	const char *at = buf;
	size_t n = 0;
	int r = 0;

	if (a->progress)
		a->progress->received(a->progress->ctx, len);
	if (!a->before->len || a->before->str[a->before->len - 1] != '\n') {
		const char *end = memchr(at, '\n', len);

		n = end ? (size_t)(end - at) + 1 : len;
		if (a->before->len + n > LINE_LIMIT)
			return -EFBIG;
		g_string_append_len(a->before, at, (gssize)n);
		at += n;
		len -= n;
	}
	n = (size_t)MIN(len, a->range->len - a->got);
	if (n)
		r = store(a, at, n);
	/* More than was asked for: the file grew, and this is no line. */
	if (a->after->len + (len - n) <= LINE_LIMIT)
		g_string_append_len(a->after, at + n, (gssize)(len - n));
	return r;
}

/* The one entry that TEXT is; false: none. */
static bool parse(const GString *text, struct entry *e)
{
	g_autofree char *whole = g_strconcat(text->str, "Z\n", NULL);
	const char *at = whole;
	size_t left = strlen(whole);
	struct record r = { 0 };
	bool good = strlen(text->str) == text->len &&
		record_parse(&at, &left, false, &r) == 1 && r.kind == 'E';

	if (good) {
		*e = r.e;
		e->path = NULL;
	}
	record_clear(&r);
	return good && record_parse(&at, &left, false, &r) == 0;
}

static bool is_same(const struct entry *a, const struct entry *b)
{
	return a->type == b->type && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
		a->ino == b->ino;
}

static void judge(struct arriving *a)
{
	struct tree_range *r = a->range;
	struct entry before = { 0 };

	r->seen = (struct entry){ 0 };
	r->proven = false;
	/* When fewer bytes came than were expected the line may be among
	 * them. */
	if (!parse(a->before, &before))
		return;
	r->seen = before;
	r->proven = before.type == ENTRY_FILE && a->got == r->len &&
		r->off + r->len <= (uint64_t)before.size &&
		parse(a->after, &r->seen) && is_same(&before, &r->seen);
}

int tree_range(struct tree *t, const char *path, struct tree_range *range,
	const struct call *call, const struct tree_progress *progress,
	GError **err)
{
	g_autofree char *skip = g_strdup_printf(
		"%" G_GUINT64_FORMAT, range->off / TREE_RANGE_UNIT);
	g_autofree char *count = g_strdup_printf("%" G_GUINT64_FORMAT,
		(range->len + TREE_RANGE_UNIT - 1) / TREE_RANGE_UNIT);
	const char *more[] = { skip, count, NULL };
	g_autoptr(GPtrArray) paths = g_ptr_array_new();
	struct arriving a = {
		.range = range, .progress = progress,
		.before = g_string_new(NULL), .after = g_string_new(NULL),
	};
	struct sink out = { .write = take, .ctx = &a };
	int r;

	g_ptr_array_add(paths, (gpointer)path);
	GString *list = tree_path_list(paths);
	struct text_source text = { .text = list->str, .len = list->len };
	struct source in = text_source(&text);

	r = tree_run(t, "reading a part of a file", script_range, more, call,
		&in, &out, err);
	if (r == 0)
		judge(&a);
	g_string_free(list, TRUE);
	g_string_free(a.before, TRUE);
	g_string_free(a.after, TRUE);
	return r;
}

bool tree_has_ranges(const struct tree *t)
{
	return t->has_dd;
}

bool tree_has_digests(const struct tree *t)
{
	return t->has_sha256;
}
