/* The manifests in the state database, whole and by row. */
#include "fs/mirror/state.h"

#include <errno.h>
#include <string.h>

#include "fs/mirror/state_internal.h"
#include "merge/diff.h"
#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

/* --- checksums ------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return h;
}

/* What is stored of an entry's flags. */
static int stored_flags(const struct entry *e)
{
	return e->flags & ~ENTRY_STUB;
}

/* FNV-1a over every field: against damage, not against malice. */
static uint64_t row_hash(const struct entry *e)
{
	uint64_t h = UINT64_C(14695981039346656037);
	int64_t numbers[] = { e->type, e->mode, e->size, e->mtime_ns,
		e->ctime_ns, (int64_t)e->ino, stored_flags(e) };

	h = mix(h, e->path, strlen(e->path) + 1);
	h = mix(h, numbers, sizeof(numbers));
	if (e->flags & ENTRY_HASHED)
		h = mix(h, e->digest.bytes, sizeof(e->digest.bytes));
	if (e->target)
		h = mix(h, e->target, strlen(e->target));
	return h;
}

static uint64_t sum_get(struct state *s, enum state_table t)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_SUM_GET);
	uint64_t sum = 0;

	if (!stmt)
		return 0;
	sqlite3_bind_int(stmt, 1, (int)t);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		sum = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return sum;
}

static int sum_set(struct state *s, enum state_table t, uint64_t sum,
	GError **err)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_SUM_SET);

	if (stmt) {
		sqlite3_bind_int(stmt, 1, (int)t);
		sqlite3_bind_int64(stmt, 2, (int64_t)sum);
	}
	return state_run(s, stmt, err, "write a checksum");
}

/* --- rows ------------------------------------------------------------ */

void state_read_row(sqlite3_stmt *stmt, struct entry *e)
{
	const void *digest = sqlite3_column_blob(stmt, 8);

	*e = (struct entry){
		.type = (uint8_t)sqlite3_column_int(stmt, 1),
		.mode = (uint16_t)sqlite3_column_int(stmt, 2),
		.size = sqlite3_column_int64(stmt, 3),
		.mtime_ns = sqlite3_column_int64(stmt, 4),
		.ctime_ns = sqlite3_column_int64(stmt, 5),
		.ino = (uint64_t)sqlite3_column_int64(stmt, 6),
		.flags = (uint8_t)sqlite3_column_int(stmt, 7),
	};
	if (digest && sqlite3_column_bytes(stmt, 8) == sizeof(e->digest.bytes))
		memcpy(e->digest.bytes, digest, sizeof(e->digest.bytes));
}

char *state_column_string(sqlite3_stmt *stmt, int column)
{
	const void *data = sqlite3_column_blob(stmt, column);
	int len = sqlite3_column_bytes(stmt, column);

	if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
		return NULL;
	return data ? g_strndup(data, (gsize)len) : g_strdup("");
}

bool state_find_row(struct state *s, enum state_table t, const char *path,
	struct entry *e)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_FIND);
	bool found;

	if (!stmt)
		return false;
	sqlite3_bind_int(stmt, 1, (int)t);
	sqlite3_bind_blob(stmt, 2, path, (int)strlen(path), SQLITE_STATIC);
	found = sqlite3_step(stmt) == SQLITE_ROW;
	if (found) {
		state_read_row(stmt, e);
		e->target = state_column_string(stmt, 9);
	}
	sqlite3_reset(stmt);
	return found;
}

static int insert(struct state *s, enum state_table t, const struct entry *e,
	GError **err)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_PUT);

	if (!stmt)
		return state_fail(s, err, "write an entry");
	sqlite3_bind_int(stmt, 1, (int)t);
	sqlite3_bind_blob(
		stmt, 2, e->path, (int)strlen(e->path), SQLITE_STATIC);
	sqlite3_bind_int(stmt, 3, e->type);
	sqlite3_bind_int(stmt, 4, e->mode);
	sqlite3_bind_int64(stmt, 5, e->size);
	sqlite3_bind_int64(stmt, 6, e->mtime_ns);
	sqlite3_bind_int64(stmt, 7, e->ctime_ns);
	sqlite3_bind_int64(stmt, 8, (int64_t)e->ino);
	sqlite3_bind_int(stmt, 9, stored_flags(e));
	if (e->flags & ENTRY_HASHED)
		sqlite3_bind_blob(stmt, 10, e->digest.bytes,
			sizeof(e->digest.bytes), SQLITE_STATIC);
	if (e->target)
		sqlite3_bind_blob(stmt, 11, e->target, (int)strlen(e->target),
			SQLITE_STATIC);
	return state_run(s, stmt, err, "write an entry");
}

static int erase(struct state *s, enum state_table t, const char *path,
	GError **err)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_REMOVE);

	if (stmt) {
		sqlite3_bind_int(stmt, 1, (int)t);
		sqlite3_bind_blob(
			stmt, 2, path, (int)strlen(path), SQLITE_STATIC);
	}
	return state_run(s, stmt, err, "remove an entry");
}

/* Takes the row at PATH (if any) out of the table and of *SUM. */
static int take_out(struct state *s, enum state_table t, const char *path,
	uint64_t *sum, GError **err)
{
	struct entry old;

	if (!state_find_row(s, t, path, &old))
		return 0;
	old.path = path;
	*sum -= row_hash(&old);
	old.path = NULL;
	plan_entry_clear(&old);
	return erase(s, t, path, err);
}

static int put(struct state *s, enum state_table t, const struct entry *e,
	uint64_t *sum, GError **err)
{
	int r = take_out(s, t, e->path, sum, err);

	if (r == 0)
		r = insert(s, t, e, err);
	if (r == 0)
		*sum += row_hash(e);
	return r;
}

bool state_find(struct state *s, enum state_table t, const char *path,
	struct entry *e)
{
	mutex_lock(&s->lock);
	bool found = state_find_row(s, t, path, e);
	mutex_unlock(&s->lock);
	return found;
}

int state_put_row(struct state *s, enum state_table t, const struct entry *e,
	GError **err)
{
	uint64_t sum = sum_get(s, t);
	int r = put(s, t, e, &sum, err);

	return r < 0 ? r : sum_set(s, t, sum, err);
}

int state_put(struct state *s, enum state_table t, const struct entry *e,
	GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0)
		r = state_end_own(s, own, state_put_row(s, t, e, err), err);
	mutex_unlock(&s->lock);
	return r;
}

int state_remove(struct state *s, enum state_table t, const char *path,
	GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0) {
		uint64_t sum = sum_get(s, t);

		r = take_out(s, t, path, &sum, err);
		if (r == 0)
			r = sum_set(s, t, sum, err);
		r = state_end_own(s, own, r, err);
	}
	mutex_unlock(&s->lock);
	return r;
}

/* --- whole tables and subtrees --------------------------------------- */

/* Adds the rows that STMT gives to M; *SUM is over them. */
static int collect(struct state *s, sqlite3_stmt *stmt, struct manifest *m,
	uint64_t *sum, GError **err)
{
	int r;

	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct entry e;
		g_autofree char *path = state_column_string(stmt, 0);
		g_autofree char *target = state_column_string(stmt, 9);

		state_read_row(stmt, &e);
		e.path = path;
		e.target = target;
		if (!path || path_check(path, strlen(path)) < 0) {
			sqlite3_reset(stmt);
			return fail(err, FAIL_LOCAL,
				"state database %s: holds a bad path; it is "
				"damaged", s->path);
		}
		*sum += row_hash(&e);
		manifest_add(m, &e);
	}
	sqlite3_reset(stmt);
	return r == SQLITE_DONE ? 0 : state_fail(s, err, "read entries");
}

int state_load(struct state *s, enum state_table t, struct manifest **out,
	GError **err)
{
	g_autoptr(manifest_auto) m = manifest_new();
	uint64_t sum = 0;
	int r = -EIO;

	mutex_lock(&s->lock);
	sqlite3_stmt *stmt = state_stmt(s, STMT_ALL);

	if (stmt) {
		sqlite3_bind_int(stmt, 1, (int)t);
		r = collect(s, stmt, m, &sum, err);
	} else {
		state_fail(s, err, "read entries");
	}
	if (r == 0 && sum != sum_get(s, t))
		r = fail(err, FAIL_LOCAL,
			"state database %s: the rows of a manifest do not "
			"match their checksum; it is damaged", s->path);
	mutex_unlock(&s->lock);
	if (r < 0)
		return r;
	manifest_sort(m);
	*out = g_steal_pointer(&m);
	return 0;
}

/* All rows of a table, sorted, and whether they are what was stored. */
static bool load_rows(struct state *s, enum state_table t,
	struct manifest *m)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_ALL);
	uint64_t sum = 0;

	if (!stmt)
		return false;
	sqlite3_bind_int(stmt, 1, (int)t);
	if (collect(s, stmt, m, &sum, NULL) < 0)
		return false;
	manifest_sort(m);
	return sum == sum_get(s, t);
}

static bool same_row(const struct entry *a, const struct entry *b)
{
	return a->type == b->type && a->mode == b->mode &&
		a->size == b->size && a->mtime_ns == b->mtime_ns &&
		a->ctime_ns == b->ctime_ns && a->ino == b->ino &&
		a->flags == b->flags &&
		(!(a->flags & ENTRY_HASHED) ||
			digest_equal(&a->digest, &b->digest)) &&
		g_strcmp0(a->target, b->target) == 0;
}

/* Only the rows that differ are written: most of a big table stays. */
static int update(struct state *s, enum state_table t,
	const struct manifest *old, const struct manifest *m, GError **err)
{
	uint64_t sum = sum_get(s, t);
	struct diff d;
	struct diff_step step;
	bool any = false;
	int r = 0;

	diff_init(&d, old, m);
	while (r == 0 && diff_next(&d, &step)) {
		if (step.a && step.b && same_row(step.a, step.b))
			continue;
		any = true;
		if (step.a)
			sum -= row_hash(step.a);
		if (step.b) {
			sum += row_hash(step.b);
			r = insert(s, t, step.b, err);
		} else {
			r = erase(s, t, step.path, err);
		}
	}
	return r < 0 || !any ? r : sum_set(s, t, sum, err);
}

static int store(struct state *s, enum state_table t,
	const struct manifest *m, GError **err)
{
	g_autoptr(manifest_auto) old = manifest_new();
	sqlite3_stmt *stmt;
	uint64_t sum = 0;
	int r;

	if (load_rows(s, t, old) && manifest_count(old) > 0)
		return update(s, t, old, m, err);
	stmt = state_stmt(s, STMT_CLEAR);
	if (stmt)
		sqlite3_bind_int(stmt, 1, (int)t);
	r = state_run(s, stmt, err, "empty a table");
	for (size_t i = 0; r == 0 && i < manifest_count(m); i++) {
		r = insert(s, t, manifest_at(m, i), err);
		sum += row_hash(manifest_at(m, i));
	}
	return r < 0 ? r : sum_set(s, t, sum, err);
}

int state_store(struct state *s, enum state_table t, const struct manifest *m,
	GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0)
		r = state_end_own(s, own, store(s, t, m, err), err);
	mutex_unlock(&s->lock);
	return r;
}

/* The rows at and below DIR, unsorted. '0' follows '/' in bytes. */
static int subtree(struct state *s, enum state_table t, const char *dir,
	struct manifest *m, GError **err)
{
	g_autofree char *low = g_strconcat(dir, "/", NULL);
	g_autofree char *high = g_strconcat(dir, "0", NULL);
	sqlite3_stmt *stmt = state_stmt(s, STMT_BELOW);
	struct entry top;
	uint64_t sum = 0;

	if (!stmt)
		return state_fail(s, err, "read entries");
	if (state_find_row(s, t, dir, &top)) {
		top.path = dir;
		manifest_add(m, &top);
		top.path = NULL;
		plan_entry_clear(&top);
	}
	sqlite3_bind_int(stmt, 1, (int)t);
	sqlite3_bind_blob(stmt, 2, low, (int)strlen(low), SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 3, high, (int)strlen(high), SQLITE_STATIC);
	return collect(s, stmt, m, &sum, err);
}

static int move(struct state *s, enum state_table t, const char *from,
	const char *to, GError **err)
{
	g_autoptr(manifest_auto) moved = manifest_new();
	g_autoptr(manifest_auto) covered = manifest_new();
	uint64_t sum = sum_get(s, t);
	int r = subtree(s, t, from, moved, err);

	if (r == 0)
		r = subtree(s, t, to, covered, err);
	if (r < 0)
		return r;
	manifest_sort(moved);
	manifest_sort(covered);
	for (size_t i = 0; r == 0 && i < manifest_count(covered); i++)
		r = take_out(s, t, manifest_at(covered, i)->path, &sum, err);
	for (size_t i = 0; r == 0 && i < manifest_count(moved); i++)
		r = take_out(s, t, manifest_at(moved, i)->path, &sum, err);
	for (size_t i = 0; r == 0 && i < manifest_count(moved); i++) {
		struct entry e = *manifest_at(moved, i);
		g_autofree char *path = path_rebase(e.path, from, to);

		e.path = path;
		r = put(s, t, &e, &sum, err);
	}
	return r < 0 ? r : sum_set(s, t, sum, err);
}

int state_move(struct state *s, enum state_table t, const char *from,
	const char *to, GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0)
		r = state_end_own(s, own, move(s, t, from, to, err), err);
	mutex_unlock(&s->lock);
	return r;
}

bool state_has_below(struct state *s, enum state_table t, const char *dir)
{
	g_autofree char *low = g_strconcat(dir, "/", NULL);
	g_autofree char *high = g_strconcat(dir, "0", NULL);
	bool any = false;

	mutex_lock(&s->lock);
	sqlite3_stmt *stmt = state_stmt(s, STMT_BELOW);

	if (stmt) {
		sqlite3_bind_int(stmt, 1, (int)t);
		sqlite3_bind_blob(
			stmt, 2, low, (int)strlen(low), SQLITE_STATIC);
		sqlite3_bind_blob(
			stmt, 3, high, (int)strlen(high), SQLITE_STATIC);
		any = sqlite3_step(stmt) == SQLITE_ROW;
		sqlite3_reset(stmt);
	}
	mutex_unlock(&s->lock);
	return any;
}

uint64_t state_count(struct state *s, enum state_table t)
{
	uint64_t n = 0;

	mutex_lock(&s->lock);
	sqlite3_stmt *stmt = state_stmt(s, STMT_COUNT_ROWS);

	if (stmt) {
		sqlite3_bind_int(stmt, 1, (int)t);
		if (sqlite3_step(stmt) == SQLITE_ROW)
			n = (uint64_t)sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	mutex_unlock(&s->lock);
	return n;
}
