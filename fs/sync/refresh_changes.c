/* What the sandbox did since it was last looked at. */
#include "fs/sync/refresh.h"

#include <fcntl.h>
#include <string.h>

#include "fs/mirror/base.h"
#include "fs/mirror/content.h"
#include "merge/apply.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

static bool is_same_remote(const struct entry *a, const struct entry *b)
{
	if (a->type != b->type || a->mode != b->mode)
		return false;
	if (a->type == ENTRY_DIR)
		return true;
	return a->size == b->size && a->mtime_ns == b->mtime_ns &&
		a->ctime_ns == b->ctime_ns && a->ino == b->ino &&
		g_strcmp0(a->target, b->target) == 0;
}

static void note_present(struct refresh *r, const struct entry *e)
{
	const struct entry *ack = manifest_find(r->ack_remote, e->path);

	if (e->type == ENTRY_SPECIAL || (ack && is_same_remote(e, ack)))
		return;
	if (!ack && session_is_preserved(r->s, e->path))
		return;		/* the sandbox's own affair */
	/* Else the listing knows what is left out. */
	if (r->s->follow &&
		session_is_left_out(r->s, e->path, e->type == ENTRY_DIR))
		return;
	g_hash_table_insert(r->changed, (gpointer)e->path, (gpointer)e);
}

static void note_gone(struct refresh *r, const char *path)
{
	const struct entry *ack = manifest_find(r->ack_remote, path);

	/* Not listed because it is left out is not gone. */
	if (ack && !session_is_left_out(r->s, path, ack->type == ENTRY_DIR))
		g_hash_table_insert(r->changed, (gpointer)path, NULL);
}

/* Fills `changed` from the listing. Special files where something else was are
 * "gone" for us; they are never transferred. */
static void compare_listing(struct refresh *r)
{
	const struct manifest *seen = r->listing->entries;

	for (size_t i = 0; i < manifest_count(seen); i++) {
		const struct entry *e = manifest_at(seen, i);

		if (e->type == ENTRY_SPECIAL)
			note_gone(r, e->path);
		else
			note_present(r, e);
	}
	if (!r->listing->full) {
		for (guint i = 0; i < r->listing->gone->len; i++)
			note_gone(r, g_ptr_array_index(r->listing->gone, i));
		return;
	}
	for (size_t i = 0; i < manifest_count(r->ack_remote); i++) {
		const char *path = manifest_at(r->ack_remote, i)->path;

		if (!manifest_find(seen, path))
			note_gone(r, path);
	}
}

/* A directory that could not be listed: what is below it is not gone. */
static void spare_unreadable(struct refresh *r)
{
	const struct manifest *seen = r->listing->entries;

	for (size_t i = 0; i < manifest_count(seen); i++) {
		const struct entry *e = manifest_at(seen, i);
		GHashTableIter it;
		gpointer path, entry;

		if (!(e->flags & ENTRY_UNREADABLE))
			continue;
		g_hash_table_iter_init(&it, r->changed);
		while (g_hash_table_iter_next(&it, &path, &entry))
			if (!entry && path_is_within(path, e->path))
				g_hash_table_iter_remove(&it);
	}
}

/* A delta tells what is gone by the paths before a rename; of what was moved it
 * lists everything. */
static void note_gone_from_moved(struct refresh *r)
{
	for (size_t i = 0; r->moved->len && i < manifest_count(r->ack_remote);
		i++) {
		const char *path = manifest_at(r->ack_remote, i)->path;

		for (guint k = 0; k < r->moved->len; k++)
			if (path_is_within(
				    path, g_ptr_array_index(r->moved, k)) &&
				!manifest_find(r->listing->entries, path))
				note_gone(r, path);
	}
}

void refresh_find_changed(struct refresh *r)
{
	compare_listing(r);
	if (!r->listing->full)
		note_gone_from_moved(r);
	spare_unreadable(r);
}

/* How far a fetch is. */
struct fetching {
	struct session *s;
	uint64_t done, total;
};

static void received(void *ctx, uint64_t bytes)
{
	struct fetching *f = ctx;

	f->done += bytes;	/* with the archive's headers */
	session_step(f->s, "fetching", MIN(f->done, f->total), f->total, true);
}

int refresh_fetch(struct refresh *r, GError **err)
{
	GPtrArray *paths = g_ptr_array_new();
	struct fetching f = { .s = r->s };
	const struct tree_progress progress = {
		.received = received, .ctx = &f,
	};
	struct counters add = { 0 };
	GHashTableIter it;
	gpointer path, value;
	int ret = 0;

	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, &value)) {
		const struct entry *e = value;

		if (!e || (e->type != ENTRY_FILE && e->type != ENTRY_LINK))
			continue;
		g_ptr_array_add(paths, path);
		f.total += (uint64_t)MAX(e->size, 0);
	}
	if (paths->len) {
		session_step(r->s, "fetching", 0, f.total, true);
		ret = tree_fetch(r->s->tree, paths, r->staging_fd, &r->call,
			&progress, &r->got, err);
	} else {
		r->got = manifest_new();
		manifest_sort(r->got);
	}
	g_ptr_array_free(paths, TRUE);
	for (size_t i = 0; ret == 0 && i < manifest_count(r->got); i++) {
		add.fetched_files++;
		add.fetched_bytes +=
			(uint64_t)MAX(manifest_at(r->got, i)->size, 0);
	}
	session_count(r->s, &add);
	return ret;
}

/* Their version of a changed path: the fetched bytes with the listed mode. */
static void add_theirs(struct refresh *r, const struct entry *listed)
{
	struct entry e = *listed;
	const struct entry *got = manifest_find(r->got, listed->path);

	if (e.type != ENTRY_DIR) {
		if (!got || got->type != e.type) {
			const struct entry *ack =
				manifest_find(r->ack_mirror, listed->path);

			/* Gone or another thing by now: the next refresh will
			 * tell. Until then as it was. */
			r->vanished = true;
			if (ack)
				manifest_add(r->theirs, ack);
			return;
		}
		e.size = got->size;
		e.digest = got->digest;
		e.target = got->target;
		e.flags = got->flags;
	}
	e.ino = 0;
	e.ctime_ns = 0;
	manifest_add(r->theirs, &e);
}

void refresh_build_theirs(struct refresh *r)
{
	GHashTableIter it;
	gpointer path, entry;

	r->theirs = manifest_new();
	for (size_t i = 0; i < manifest_count(r->ack_mirror); i++) {
		const struct entry *ack = manifest_at(r->ack_mirror, i);

		if (!g_hash_table_contains(r->changed, ack->path))
			manifest_add(r->theirs, ack);
	}
	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, &entry))
		if (entry)
			add_theirs(r, entry);
	manifest_sort(r->theirs);
}

static void keep_bases(struct refresh *r)
{
	/* Their version is the ancestor of what comes next. */
	for (size_t i = 0; i < manifest_count(r->got); i++) {
		const struct entry *e = manifest_at(r->got, i);
		struct digest d;
		autofd int fd = -1;

		if (e->type != ENTRY_FILE || e->size > TEXT_MERGE_LIMIT)
			continue;
		fd = beneath_open(r->staging_fd, e->path, O_RDONLY, 0);
		if (fd >= 0)
			base_store_keep(r->s->base, fd, &d);
	}
}

/* The bytes that are about to be replaced in the mirror: what the baseline, or
 * the acknowledged state, may need to merge text against. */
static void keep_replaced(struct refresh *r)
{
	GHashTableIter it;
	gpointer path;

	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, NULL)) {
		const struct entry *ack = manifest_find(r->ack_mirror, path);
		struct digest d;
		autofd int fd = -1;

		if (!ack || ack->type != ENTRY_FILE ||
			ack->size > TEXT_MERGE_LIMIT)
			continue;
		fd = content_open(r->s->mirror_fd, path);
		if (fd >= 0)
			base_store_keep(r->s->base, fd, &d);
	}
}

void refresh_keep_bases(struct refresh *r)
{
	keep_bases(r);
	keep_replaced(r);
}
