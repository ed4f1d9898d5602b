/*
 * Fetching with proof: the bytes of a file count only when the sandbox's own
 * stat of it was the same before and after they were read.
 */
#include "transport/tree_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/fill.sh.h"
#include "transport/listing.h"

/* What stat says of a thousand long names. */
enum { LOOK_LIMIT = 64 << 20 };

/* The records in the staged file NAME as a manifest; NULL: none or garbled. */
static struct manifest *read_look(int staging_fd, const char *name)
{
	g_autoptr(manifest_auto) m = manifest_new();
	g_autofree char *text = NULL;
	const char *at;
	struct record r;
	struct stat st;
	size_t left;
	int more;
	autofd int fd = beneath_open(staging_fd, name, O_RDONLY, 0);

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > LOOK_LIMIT)
		return NULL;
	text = g_try_malloc((gsize)st.st_size + 1);
	if (!text || io_read_full(fd, text, (size_t)st.st_size) != st.st_size)
		return NULL;
	at = text;
	left = (size_t)st.st_size;
	while ((more = record_parse(&at, &left, false, &r)) == 1) {
		if (r.kind == 'E')
			manifest_add(m, &r.e);
		record_clear(&r);
	}
	if (more < 0)
		return NULL;
	manifest_sort(m);
	return g_steal_pointer(&m);
}

static bool is_same(const struct entry *a, const struct entry *b)
{
	return a && b && a->type == b->type && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
		a->ino == b->ino;
}

/* Of what arrived: the files whose bytes are proven. */
static struct manifest *choose_proven(const struct manifest *got,
	const struct manifest *before, const struct manifest *after)
{
	struct manifest *proven = manifest_new();

	for (size_t i = 0; i < manifest_count(got); i++) {
		const struct entry *e = manifest_at(got, i);
		const struct entry *b = manifest_find(before, e->path);
		struct entry own;

		if (e->type != ENTRY_FILE || !is_same(b,
				manifest_find(after, e->path)) ||
			b->type != ENTRY_FILE || b->size != e->size)
			continue;
		own = *b;
		own.digest = e->digest;
		own.flags = ENTRY_HASHED;
		manifest_add(proven, &own);
	}
	manifest_sort(proven);
	return proven;
}

int tree_fill(struct tree *t, const GPtrArray *paths, int staging_fd,
	const struct call *call, const struct tree_progress *progress,
	struct tree_filled *out, GError **err)
{
	g_autofree char *word = io_random_hex(6);
	g_autofree char *before_name = g_strdup_printf(
		"%s/.session-%s/fill.%s.a", t->runtime, t->id, word);
	g_autofree char *after_name = g_strdup_printf(
		"%s/.session-%s/fill.%s.b", t->runtime, t->id, word);
	const char *more[] = { word, NULL };
	const struct tree_request q = {
		.script = script_fill, .more = more, .paths = paths,
		.progress = progress,
	};
	g_autoptr(manifest_auto) got = NULL;
	g_autoptr(manifest_auto) before = NULL;
	g_autoptr(manifest_auto) after = NULL;

	if (tree_receive(t, &q, staging_fd, call, &got, err) < 0)
		return -EIO;
	before = read_look(staging_fd, before_name);
	after = read_look(staging_fd, after_name);
	if (!before || !after)
		return tree_garbled(t, "a request for files", err);
	out->files = choose_proven(got, before, after);
	out->seen = g_steal_pointer(&after);
	return 0;
}
