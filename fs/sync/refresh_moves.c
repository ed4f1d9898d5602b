/*
 * Renames done in the sandbox, applied as renames: watchers in the mount see a
 * move, the inode stays, and nothing is fetched.
 *
 * A file, link or directory whose inode was acknowledged at one path and is now
 * listed at another has been renamed. Only what is certain counts: one name
 * before and one after, the same type, size, mtime and (of a file whose bytes
 * are here) digest, nothing at the new path, and neither path touched by the
 * mount's user. Everything else goes the way of a deletion and an addition.
 *
 * The rename first, then the rows: killed in between, the mirror has a file
 * that the sandbox has, too, and the next refresh finds them equal.
 */
#include "fs/sync/refresh.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"
#include "merge/lib/failpoint.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

enum {
	ROUNDS = 8,		/* of renames that depend on others */
	HASH_MOST = 64 << 20,	/* larger files are not hashed for this */
};

struct move {
	const struct entry *from, *to;	/* acknowledged; listed */
	bool hash;		/* the bytes have to be compared */
	bool ok;
};

/* --- which ------------------------------------------------------------------- */

/* E under its inode; a second one makes it useless (NULL). */
static void note(GHashTable *table, const struct entry *e)
{
	bool known = g_hash_table_contains(table, &e->ino);

	if (e->ino)
		g_hash_table_insert(
			table, (gpointer)&e->ino, known ? NULL : (gpointer)e);
}

/* What left its path, and what came to one, by inode. */
static void find_ends(const struct refresh *r, GHashTable *left,
	GHashTable *came)
{
	GHashTableIter it;
	gpointer path, value;

	g_hash_table_iter_init(&it, r->changed);
	while (g_hash_table_iter_next(&it, &path, &value)) {
		const struct entry *listed = value;
		const struct entry *ack = manifest_find(r->ack_remote, path);

		if (ack && listed && ack->ino == listed->ino)
			continue;
		if (ack)
			note(left, ack);
		if (listed)
			note(came, listed);
	}
	/* Another name that stays: a hard link. */
	for (size_t i = 0; g_hash_table_size(left) && i <
			manifest_count(r->ack_remote); i++) {
		const struct entry *e = manifest_at(r->ack_remote, i);
		const struct entry *known = g_hash_table_lookup(left, &e->ino);

		if (known && known != e)
			g_hash_table_insert(left, (gpointer)&e->ino, NULL);
	}
}

static bool is_same_thing(const struct entry *a, const struct entry *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == ENTRY_LINK)
		return g_strcmp0(a->target, b->target) == 0;
	return a->type == ENTRY_DIR ||
		(a->type == ENTRY_FILE && a->size == b->size &&
			a->mtime_ns == b->mtime_ns);
}

static bool is_ours_to_move(const struct refresh *r, const struct move *m)
{
	const char *from = m->from->path, *to = m->to->path;
	struct stat st;

	return !manifest_find(r->ack_remote, to) &&
		!manifest_find(r->ack_mirror, to) &&
		beneath_stat(r->s->mirror_fd, to, &st) == -ENOENT &&
		mirror_is_settled(r->s->mirror, from) &&
		!path_is_within(to, from) &&
		!session_is_preserved(r->s, from) &&
		!session_is_preserved(r->s, to) &&
		!reconcile_is_held(NULL, from) && !reconcile_is_held(NULL, to);
}

/* Whether the move of a directory above brings it along. */
static bool comes_along(const GArray *moves, const struct move *m)
{
	for (guint i = 0; i < moves->len; i++) {
		const struct move *d = &g_array_index(moves, struct move, i);

		if (d->from->type == ENTRY_DIR &&
			path_is_within(m->from->path, d->from->path))
			return true;
	}
	return false;
}

static gint by_source(gconstpointer a, gconstpointer b)
{
	return path_compare(((const struct move *)a)->from->path,
		((const struct move *)b)->from->path);
}

/* Whether the bytes have to be compared, and can be. */
static bool can_compare(const struct refresh *r, struct move *m)
{
	const struct entry *own = manifest_find(r->ack_mirror, m->from->path);
	struct stat st;

	if (m->from->type != ENTRY_FILE)
		return own != NULL;
	if (!own || beneath_stat(r->s->mirror_fd, m->from->path, &st) < 0)
		return false;
	/* A stub has none that could be wrong. */
	m->hash = !content_is_stub(&st) && m->to->size > 0;
	return !m->hash ||
		(own->flags & ENTRY_HASHED && m->to->size <= HASH_MOST);
}

/* The renames that can be applied now; directories before what is in them. */
static GArray *find_moves(struct refresh *r)
{
	g_autoptr(GHashTable) left = g_hash_table_new(
		g_int64_hash, g_int64_equal);
	g_autoptr(GHashTable) came = g_hash_table_new(
		g_int64_hash, g_int64_equal);
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct move));
	GArray *moves = g_array_new(FALSE, FALSE, sizeof(struct move));
	GHashTableIter it;
	gpointer ino, from;

	find_ends(r, left, came);
	g_hash_table_iter_init(&it, left);
	while (g_hash_table_iter_next(&it, &ino, &from)) {
		struct move m = {
			.from = from, .to = g_hash_table_lookup(came, ino),
			.ok = true,
		};

		if (m.from && m.to && is_same_thing(m.from, m.to))
			g_array_append_val(all, m);
	}
	g_array_sort(all, by_source);
	for (guint i = 0; i < all->len; i++) {
		struct move *m = &g_array_index(all, struct move, i);

		if (!comes_along(moves, m) && is_ours_to_move(r, m) &&
			can_compare(r, m))
			g_array_append_val(moves, *m);
	}
	return moves;
}

/* One command tells whether the bytes are those that are here. */
static void compare_bytes(struct refresh *r, GArray *moves)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new();
	g_autofree struct digest *digests = g_new0(struct digest, moves->len);
	g_autofree bool *hashed = g_new0(bool, moves->len);
	g_autoptr(GError) why = NULL;

	for (guint i = 0; i < moves->len; i++) {
		struct move *m = &g_array_index(moves, struct move, i);

		if (m->hash)
			g_ptr_array_add(paths, (gpointer)m->to->path);
	}
	if (paths->len && tree_hash(r->s->tree, paths, &r->call, digests,
				  hashed, &why) < 0)
		log_write(LOG_DEBUG, "renames are not told: %s", why->message);
	for (guint i = 0, at = 0; i < moves->len; i++) {
		struct move *m = &g_array_index(moves, struct move, i);
		const struct entry *own =
			manifest_find(r->ack_mirror, m->from->path);

		if (!m->hash)
			continue;
		m->ok = hashed[at] && digest_equal(&digests[at], &own->digest);
		at++;
	}
}

/* --- applying them ----------------------------------------------------------- */

static int put_rows(struct refresh *r, const struct entry *remote, GError **err)
{
	struct state *state = r->s->state;
	struct entry own = { 0 };
	struct stat st;
	bool has = state_find(state, STATE_ACK_MIRROR, remote->path, &own);
	struct entry row = own;
	int done;

	if (beneath_stat(r->s->mirror_fd, remote->path, &st) == 0) {
		struct entry now;

		entry_from_stat(&now, &st);
		/* A rename changes the ctime, and nothing else. */
		if (has && now.ino == own.ino)
			row.ctime_ns = now.ctime_ns;
		if (!has)
			row = now;
	}
	row.path = remote->path;
	done = state_put(state, STATE_ACK_MIRROR, &row, err);
	if (done == 0)
		done = state_put(state, STATE_ACK_REMOTE, remote, err);
	plan_entry_clear(&own);
	return done;
}

static int in_transaction(struct refresh *r, const struct move *m,
	const struct entry *remote, GError **err)
{
	struct state *state = r->s->state;
	g_autoptr(GPtrArray) moved = g_ptr_array_new();
	int e = state_begin(state, err);

	if (e < 0)
		return e;
	if (m) {
		g_ptr_array_add(moved, (gpointer)m->from->path);
		g_ptr_array_add(moved, (gpointer)m->to->path);
		e = moves_note(r->s, moved, err);
	}
	if (m && e == 0)
		e = state_move(state, STATE_ACK_MIRROR, m->from->path,
			m->to->path, err);
	if (m && e == 0)
		e = state_move(state, STATE_ACK_REMOTE, m->from->path,
			m->to->path, err);
	if (e == 0)
		e = put_rows(r, remote, err);
	if (e < 0) {
		state_rollback(state);
		return e;
	}
	return state_commit(state, err);
}

/* The new directories above PATH. 1: they are not all there. */
static int make_way(struct refresh *r, int mount, const char *path,
	GError **err)
{
	g_autofree char *up = path_parent(path);
	const struct entry *listed = manifest_find(r->listing->entries, up);
	struct entry now;
	struct stat st;
	int e = *up ? beneath_stat(r->s->mirror_fd, up, &st) : 0;

	if (e == 0)
		return *up && !S_ISDIR(st.st_mode);
	if (e != -ENOENT || !listed || listed->type != ENTRY_DIR ||
		manifest_find(r->ack_remote, up) || reconcile_is_held(NULL, up))
		return 1;
	e = make_way(r, mount, up, err);
	if (e)
		return e;
	if (beneath_mkdir(mount, up, listed->mode & 0777) < 0 ||
		beneath_stat(r->s->mirror_fd, up, &st) < 0)
		return 1;
	if (in_transaction(r, NULL, listed, err) < 0)
		return -EIO;
	entry_from_stat(&now, &st);
	mirror_mark_same(r->s->mirror, up, &now);
	return 0;
}

/* 0: done; 1: it cannot be, and goes the other way. */
static int apply_move(struct refresh *r, int mount, const struct move *m,
	GError **err)
{
	struct entry remote = *m->to;
	int e = make_way(r, mount, m->to->path, err);

	if (e)
		return e;
	if (!mirror_is_settled(r->s->mirror, m->from->path) ||
		beneath_rename(mount, m->from->path, mount, m->to->path,
			RENAME_NOREPLACE) < 0)
		return 1;
	failpoint("refresh-moved");
	/* A change of the mode is another change. */
	remote.mode = m->from->mode;
	return in_transaction(r, m, &remote, err);
}

/* The rows as they are now, and what is still to be done. */
static int look_again(struct refresh *r)
{
	struct manifest *old = r->ack_remote;
	bool damaged = false;

	manifest_free(r->ack_mirror);
	r->ack_mirror = session_load_table(
		r->s, STATE_ACK_MIRROR, &damaged);
	r->ack_remote = session_load_table(
		r->s, STATE_ACK_REMOTE, &damaged);
	g_hash_table_remove_all(r->changed);
	refresh_find_changed(r);
	manifest_free(old);
	return damaged ? -EIO : 0;
}

/* One round; the number of renames, or negative. The mount is open only while
 * it is written: an unmount would find it busy. */
static int one_round(struct refresh *r, GError **err)
{
	g_autoptr(GArray) moves = find_moves(r);
	autofd int mount = -1;
	int done = 0;

	if (!moves->len)
		return 0;
	compare_bytes(r, moves);
	mount = open(r->s->mounted_at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (guint i = 0; mount >= 0 && i < moves->len; i++) {
		const struct move *m = &g_array_index(moves, struct move, i);
		int e = m->ok ? apply_move(r, mount, m, err) : 1;

		if (e < 0)
			return e;
		if (e == 0)
			g_ptr_array_add(r->moved, (gpointer)m->to->path);
		done += e == 0;
	}
	return done;
}

int refresh_follow_moves(struct refresh *r, GError **err)
{
	struct session *s = r->s;
	int done = 1;

	/* Where nobody watches, it makes no difference. */
	if (!s->mounted_at || !s->mirror)
		return 0;
	for (int i = 0; done > 0 && i < ROUNDS && g_hash_table_size(r->changed);
		i++) {
		__atomic_store_n(&s->refresh_tid, (int)syscall(SYS_gettid),
			__ATOMIC_RELEASE);
		done = one_round(r, err);
		__atomic_store_n(&s->refresh_tid, 0, __ATOMIC_RELEASE);
		if (done > 0) {
			if (look_again(r) < 0)
				done = 0;
		}
	}
	return MIN(done, 0);
}
