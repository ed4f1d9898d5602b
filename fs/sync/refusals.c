/*
 * What the sandbox refuses. One path that cannot be written there (a directory
 * of another user, a name too long for its file system) must neither hold up
 * the others nor be sent again and again: it is remembered here until the
 * sandbox takes it, with what its tools said.
 */
#include "fs/sync/internal.h"

#include <inttypes.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"

enum {
	LARGE = 1 << 20,	/* bytes; smaller ones are tried with every batch */
	SHOWN = 200,		/* bytes of a path in an error */
};

struct refusals {
	GHashTable *large;	/* path -> int64_t: the ctime it was refused at */
	char *path, *why;	/* the first one; why may be NULL */
	uint64_t count;
	char *long_path;	/* the first of those too long to be sent */
	uint64_t long_count;
	size_t limit;
};

static struct refusals *refusals_of(struct session *s)
{
	if (!s->refusals) {
		s->refusals = g_new0(struct refusals, 1);
		s->refusals->large = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, g_free);
	}
	return s->refusals;
}

uint64_t refusals_note(struct session *s, const struct batch *b)
{
	struct refusals *r = refusals_of(s);

	g_clear_pointer(&r->path, g_free);
	r->count = 0;
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		if (op->result != BATCH_REFUSED) {
			g_hash_table_remove(r->large, op->path);
			continue;
		}
		if (r->count++ == 0)
			r->path = g_strdup(op->path);
		if (op->kind == BATCH_PUT && op->entry.size >= LARGE)
			g_hash_table_insert(r->large, g_strdup(op->path),
				g_memdup2(&op->entry.ctime_ns,
					sizeof(op->entry.ctime_ns)));
	}
	if (r->count) {
		g_free(r->why);
		r->why = g_strdup(b->refusal);
	}
	return r->count;
}

void refusals_note_long(struct session *s, const char *path, size_t limit)
{
	struct refusals *r = s->refusals;

	if (path)
		r = refusals_of(s);
	if (!r)
		return;
	if (!path) {
		g_clear_pointer(&r->long_path, g_free);
		r->long_count = 0;
	} else if (r->long_count++ == 0) {
		r->long_path = g_strdup(path);
		r->limit = limit;
	}
}

bool refusals_hold_back(const struct session *s, const char *path,
	const struct entry *now)
{
	const int64_t *at = s->refusals
		? g_hash_table_lookup(s->refusals->large, path) : NULL;

	return at && *at == now->ctime_ns;
}

void refusals_retry(struct session *s)
{
	if (s->refusals)
		g_hash_table_remove_all(s->refusals->large);
}

bool refusals_any(const struct session *s)
{
	return s->refusals &&
		(s->refusals->count || s->refusals->long_count ||
			g_hash_table_size(s->refusals->large));
}

uint64_t refusals_only_long(const struct session *s)
{
	const struct refusals *r = s->refusals;

	return r && !r->count && !g_hash_table_size(r->large) ? r->long_count
							      : 0;
}

/* For a line of an error: a path may have thousands of bytes. */
static char *short_path(const char *path)
{
	size_t len = strlen(path);
	g_autofree char *end = path_display(
		len > SHOWN ? path + len - SHOWN : path);

	return g_strconcat(len > SHOWN ? "..." : "", end, NULL);
}

static char *and_more(uint64_t count)
{
	return count > 1 ? g_strdup_printf(" and %" PRIu64 " more", count - 1)
			 : g_strdup("");
}

static int fail_long(const struct refusals *r, GError **err)
{
	g_autofree char *shown = short_path(r->long_path);
	g_autofree char *more = and_more(r->long_count);

	return fail(err, FAIL_PENDING,
		"not sent: %s%s: %zu bytes of path, of which the sandbox's "
		"tools take %zu; it stays here and a restore brings it home; "
		"give it a shorter path to have it there", shown, more,
		strlen(r->long_path), r->limit);
}

int refusals_fail(const struct session *s, GError **err)
{
	const struct refusals *r = s->refusals;
	GHashTableIter i;
	gpointer large = NULL;
	g_autofree char *shown = NULL;
	g_autofree char *more = and_more(r->count);

	if (!r->count && !g_hash_table_size(r->large))
		return fail_long(r, err);

	g_hash_table_iter_init(&i, r->large);
	if (!r->path)
		g_hash_table_iter_next(&i, &large, NULL);
	shown = short_path(r->path ? r->path : large);
	return fail(err, FAIL_PENDING,
		"the sandbox could not write %s%s: %s; mend it there "
		"(permissions, space, names)", shown, more,
		r->why ? r->why : "it does not say why");
}

void refusals_free(struct session *s)
{
	if (!s->refusals)
		return;
	g_free(s->refusals->path);
	g_free(s->refusals->why);
	g_free(s->refusals->long_path);
	g_hash_table_destroy(s->refusals->large);
	g_clear_pointer(&s->refusals, g_free);
}
