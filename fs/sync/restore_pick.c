/*
 * restore -p, the session's part. A dry run makes an offer: what there is to be
 * picked, with digests; merged texts stay in the session's directory picking/
 * for the person to see. Later a restore plans anew and takes of it what was
 * picked: of a question that is not the same any more, nothing. Texts are put
 * together here, from numbers of changes; nothing but those comes from outside.
 *
 * A file of which only a part was taken gets a baseline of its own: the
 * sandbox's version without what was left. Measured against that, the local
 * file has only the user's changes and the workspace only what was left.
 */
#include "fs/sync/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/base.h"
#include "merge/git_hunks.h"
#include "merge/git_text.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/pick.h"
#include "transport/json.h"

static const char *const words[] = {
	[PICK_TEXT] = "text", [PICK_CHANGE] = "change", [PICK_NEW] = "new",
	[PICK_DELETE] = "delete", [PICK_MODE] = "mode", [PICK_COPY] = "copy",
	[PICK_RENAME] = "rename", [PICK_SWAP] = "replace", [PICK_GIT] = "git",
};

/* A baseline that is neither the old nor the new one. */
struct part {
	char *path;	/* owned */
	int64_t size;
	struct digest digest;
	bool has_text, took_mode;
};

static void part_clear(gpointer p)
{
	g_free(((struct part *)p)->path);
}

/* --- the offer ---------------------------------------------------------------- */

static void put_digest(struct json *j, const char *key,
	const struct digest *d)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(d, hex);
	json_put_string(j, key, hex);
}

/* Where the versions of OP can be read, and what they are. */
static void put_versions(struct json *j, const struct plan_op *op)
{
	const struct entry *a = &op->before, *b = &op->after;

	json_put_string(j, "kind", op->kind);
	if (op->why)
		json_put_string(j, "why", op->why);
	if (op->copy)
		json_put_path(j, "copy", op->copy);
	if (a->type == ENTRY_FILE) {
		json_put_path(j, "old", op->path);
		json_put_int(j, "old_mode", entry_perm(a));
		put_digest(j, "old_digest", &a->digest);
	}
	if (b->type != ENTRY_FILE || op->action == PLAN_DELETE)
		return;
	json_put_int(j, "new_mode", entry_perm(b));
	if (op->action != PLAN_PUT || op->source == PLAN_FROM_OURS)
		return;
	json_put_string(j, "new_root",
		op->source == PLAN_FROM_STAGED ? "picking" : "mirror");
	json_put_path(j, "new", op->from);
	put_digest(j, "new_digest", &b->digest);
}

static struct json *item_to_json(const struct plan *p,
	const struct pick_item *i)
{
	struct json *j = json_new_object();

	json_put_path(j, "path", i->path);
	json_put_string(j, "what", words[i->kind]);
	put_digest(j, "digest", &i->digest);
	json_put_int(j, "count", i->ops->len);
	if (i->ops->len == 1 || i->kind == PICK_RENAME)
		put_versions(j, pick_op(p, i));
	return j;
}

struct json *restore_offer(struct restore *r)
{
	g_autoptr(GPtrArray) items = pick_items(r->all);
	g_autofree char *mirror = g_build_filename(r->s->dir, "mirror", NULL);
	g_autofree char *picking =
		g_build_filename(r->s->dir, RESTORE_PICKING, NULL);
	struct json *j = json_new_object();
	struct json *roots = json_new_object(), *list = json_new_array();

	json_put_path(roots, "local", r->s->options->local);
	json_put_path(roots, "mirror", mirror);
	json_put_path(roots, "picking", picking);
	json_put(j, "roots", roots);
	for (guint i = 0; i < items->len; i++)
		json_append(list, item_to_json(
			r->all, g_ptr_array_index(items, i)));
	json_put(j, "items", list);
	return j;
}

/* --- what was picked ------------------------------------------------------------ */

/* Path -> its object in PICKS (borrowed). */
static GHashTable *index_picks(const struct json *picks)
{
	GHashTable *by_path = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);

	for (size_t i = 0; i < json_count(picks); i++) {
		const struct json *pick = json_at(picks, i);
		g_autofree char *path = NULL;
		const char *base64;
		gsize n;

		path = g_strdup(json_string(json_get(pick, "path")));
		base64 = json_string(json_get(pick, "path_base64"));
		if (!path && base64)
			path = (char *)g_base64_decode(base64, &n);
		if (path)
			g_hash_table_replace(by_path, g_steal_pointer(&path),
				(gpointer)pick);
	}
	return by_path;
}

static bool is_same_question(const struct pick_item *i,
	const struct json *pick)
{
	const char *hex = pick ? json_string(json_get(pick, "digest")) : NULL;
	struct digest d;

	return hex && digest_from_hex(&d, hex) && digest_equal(&d, &i->digest);
}

/* Which changes LIST names; g_free it. NULL: numbers that make no sense. */
static bool *read_numbers(const struct json *list, size_t count, size_t *n)
{
	g_autofree bool *taken = g_new0(bool, count + 1);

	*n = 0;
	for (size_t i = 0; i < json_count(list); i++) {
		int64_t at = -1;

		json_is_integer(json_at(list, i), &at);
		if (at < 0 || (uint64_t)at >= count || taken[at])
			return NULL;
		taken[at] = true;
		++*n;
	}
	return g_steal_pointer(&taken);
}

/* BYTES durably as NAME in the staging directory; an open descriptor. */
static int stage_bytes(struct restore *r, const char *name, GBytes *bytes)
{
	gsize n;
	const void *data = g_bytes_get_data(bytes, &n);
	int fd, e;

	beneath_unlink(r->staging_fd, name, 0);
	fd = beneath_open(
		r->staging_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	e = fd < 0 ? fd : io_write_full(fd, data ? data : "", n);
	if (e == 0 && io_sync(fd) < 0)
		e = -errno;
	if (e < 0 && fd >= 0)
		close(fd);
	return e < 0 ? e : fd;
}

/* Keeps what the baseline of PATH will be: their version without what of AFTER
 * is not in TAKEN. When that cannot be had the old baseline stays. */
static void keep_part(struct restore *r, const char *path, GBytes *after,
	GBytes *taken, bool took_mode)
{
	struct part part = { .path = g_strdup(path), .took_mode = took_mode };
	GBytes *theirs = restore_their_bytes(r, path), *base = NULL;
	autofd int fd = -1;

	if (theirs && git_text_merge(after, theirs, taken, &base) ==
			GIT_TEXT_MERGED) {
		fd = stage_bytes(r, "picked-base", base);
		part.size = (int64_t)g_bytes_get_size(base);
		part.has_text = fd >= 0 &&
			base_store_keep(r->s->base, fd, &part.digest) == 0;
	}
	if (theirs)
		g_bytes_unref(theirs);
	if (base)
		g_bytes_unref(base);
	g_array_append_val(r->parts, part);
}

/* Some of the changes of I, which is text: TAKEN of them, N of COUNT. */
static int take_part(struct restore *r, struct plan *p,
	const struct pick_item *i, const struct git_hunks *h,
	const bool *taken, bool mode, size_t n)
{
	const struct plan_op *op = pick_op(p, i);
	size_t count = git_hunks_count(h);
	bool modes = entry_perm(&op->before) != entry_perm(&op->after);
	g_autofree char *name = g_strdup_printf("picked-%s",
		op->source == PLAN_FROM_STAGED ? op->from : "text");
	g_autofree char *left = g_strdup_printf("you took %zu of %zu changes%s",
		n, count, !modes ? "" : mode ? " and its permissions"
					     : ", not its permissions");
	GBytes *after = restore_new_bytes(r, op);
	GBytes *made = git_hunks_take(h, taken);
	struct pick_text t = {
		.mode = entry_perm(mode ? &op->after : &op->before),
		.mtime_ns = io_wall_ns(),
		.size = (int64_t)g_bytes_get_size(made),
	};
	int fd = 0;

	if (n) {
		g_autofree char *unique = g_strdup_printf("%s-%u", name,
			r->parts->len);

		t.from = unique;
		digest_bytes(g_bytes_get_data(made, NULL),
			g_bytes_get_size(made), &t.digest);
		fd = stage_bytes(r, unique, made);
		if (fd >= 0)
			pick_part(p, i, &t, left);
	} else {
		pick_part(p, i, &t, left);
	}
	if (fd > 0)
		close(fd);
	if (fd >= 0)
		keep_part(r, i->path, after, made, mode || !modes);
	g_bytes_unref(after);
	g_bytes_unref(made);
	return fd < 0 ? fd : 0;
}

/* I is text, and PICK names changes of it. */
static int take_hunks(struct restore *r, struct plan *p,
	const struct pick_item *i, const struct json *pick)
{
	const struct plan_op *op = pick_op(p, i);
	GBytes *before = restore_old_bytes(r, op);
	GBytes *after = restore_new_bytes(r, op);
	g_autoptr(git_hunks_auto) h =
		before && after ? git_hunks_new(before, after) : NULL;
	size_t count = h ? git_hunks_count(h) : 0, n = 0;
	g_autofree bool *taken =
		h ? read_numbers(json_get(pick, "take"), count, &n) : NULL;
	bool modes = entry_perm(&op->before) != entry_perm(&op->after);
	bool mode = modes && json_flag(json_get(pick, "mode"), false);
	int e = 0;

	if (!taken)
		pick_leave(p, i, "it changed since you were asked");
	else if (!n && !mode)
		pick_leave(p, i, "you did not take it");
	else if (n < count || mode != modes)
		e = take_part(r, p, i, h, taken, mode, n);
	if (before)
		g_bytes_unref(before);
	if (after)
		g_bytes_unref(after);
	return e;
}

static int take_item(struct restore *r, struct plan *p,
	const struct pick_item *i, const struct json *pick)
{
	const struct json *take = pick ? json_get(pick, "take") : NULL;

	if (!pick)
		pick_leave(p, i, "you were not asked about it");
	else if (!is_same_question(i, pick))
		pick_leave(p, i, "it changed since you were asked");
	else if (i->kind == PICK_TEXT && take &&
		json_kind_of(take) == JSON_ARRAY)
		return take_hunks(r, p, i, pick);
	else if (!json_flag(take, false))
		pick_leave(p, i, "you did not take it");
	return 0;
}

int restore_take_picks(struct restore *r, struct plan *p, GError **err)
{
	g_autoptr(GPtrArray) items = pick_items(p);
	g_autoptr(GHashTable) picks = index_picks(r->o->picks);

	if (!r->parts) {
		r->parts = g_array_new(FALSE, FALSE, sizeof(struct part));
		g_array_set_clear_func(r->parts, part_clear);
	}
	for (guint k = 0; k < items->len; k++) {
		const struct pick_item *i = g_ptr_array_index(items, k);
		int e = take_item(
			r, p, i, g_hash_table_lookup(picks, i->path));

		if (e < 0)
			return fail_errno(err, e, "keep what you picked");
	}
	pick_finish(p, items);
	return 0;
}

/* --- the baselines ---------------------------------------------------------------- */

static void rebase_part(struct restore *r, const struct part *part,
	struct manifest *ours, struct manifest *theirs)
{
	const struct entry *bo = manifest_find(r->base_ours, part->path);
	const struct entry *bt = manifest_find(r->base_theirs, part->path);
	const struct entry *o = manifest_find(r->ours, part->path);
	const struct entry *t = manifest_find(r->theirs, part->path);
	struct entry a, b;

	if (!bo || !bt || !o || !t)
		return;
	a = *bo;
	b = *bt;
	if (part->has_text) {
		a.size = b.size = part->size;
		a.digest = b.digest = part->digest;
		a.flags = b.flags = ENTRY_HASHED;
		/* No file has this content and these times. */
		a.ino = b.ino = 0;
		a.ctime_ns = b.ctime_ns = 0;
	}
	if (part->took_mode && entry_perm(t) != entry_perm(bt)) {
		a.mode = o->mode;
		b.mode = t->mode;
	}
	manifest_add(ours, &a);
	manifest_add(theirs, &b);
}

static bool was_done(const struct plan *p, const char *path)
{
	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (!strcmp(op->path, path) && op->action != PLAN_REPORT)
			return op->outcome == PLAN_DONE;
	}
	return false;
}

/* M without its order, to be added to. */
static struct manifest *copy_of(const struct manifest *m)
{
	struct manifest *copy = manifest_new();

	for (size_t i = 0; i < manifest_count(m); i++)
		manifest_add(copy, manifest_at(m, i));
	return copy;
}

void restore_rebase_picks(struct restore *r, struct manifest **ours,
	struct manifest **theirs)
{
	struct manifest *a, *b;

	if (!r->parts || !r->parts->len)
		return;
	a = copy_of(*ours);
	b = copy_of(*theirs);
	for (guint i = 0; i < r->parts->len; i++) {
		const struct part *part =
			&g_array_index(r->parts, struct part, i);

		if (was_done(r->all, part->path))
			rebase_part(r, part, a, b);
	}
	manifest_sort(a);
	manifest_sort(b);
	manifest_free(*ours);
	manifest_free(*theirs);
	*ours = a;
	*theirs = b;
}
