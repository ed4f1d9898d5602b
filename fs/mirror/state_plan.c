/*
 * Plans in the state database: one row an operation. An operation is a GVariant
 * of the type OP_TYPE, version 1; its outcome one of MARK_TYPE. Byte strings
 * ("ay") carry paths and link targets, an empty array stands for NULL.
 */
#include "fs/mirror/state.h"

#include <errno.h>
#include <string.h>

#include "fs/mirror/state_internal.h"
#include "merge/lib/fail.h"

#define ENTRY_TYPE "(qqxxxtayay)"
#define OP_TYPE                                                              \
	"(iiiiayayayaysssayb" ENTRY_TYPE ENTRY_TYPE ENTRY_TYPE ENTRY_TYPE    \
	ENTRY_TYPE ")"
#define MARK_TYPE "(iays" ENTRY_TYPE "sis)"

enum { OP_VERSION = 1, OP_LIMIT = 64 * 1024 };

static GVariant *bytes(const char *s)
{
	return g_variant_new_fixed_array(
		G_VARIANT_TYPE_BYTE, s ? s : "", s ? strlen(s) : 0, 1);
}

static char *to_string(GVariant *v)
{
	gsize n = 0;
	const char *data = g_variant_get_fixed_array(v, &n, 1);

	return n ? g_strndup(data, n) : NULL;
}

static GVariant *pack_entry(const struct entry *e)
{
	GVariant *digest = g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE,
		e->digest.bytes,
		e->flags & ENTRY_HASHED ? sizeof(e->digest.bytes) : 0, 1);

	return g_variant_new("(qqxxxt@ay@ay)",
		(guint16)(e->type | e->flags << 8), (guint16)e->mode,
		(gint64)e->size, (gint64)e->mtime_ns, (gint64)e->ctime_ns,
		(guint64)e->ino, digest, bytes(e->target));
}

static void unpack_entry(GVariant *v, struct entry *e)
{
	guint16 type_flags, mode;
	gint64 size, mtime, ctime;
	guint64 ino;
	g_autoptr(GVariant) digest = NULL;
	g_autoptr(GVariant) target = NULL;
	gsize n = 0;
	const void *raw;

	g_variant_get(v, "(qqxxxt@ay@ay)", &type_flags, &mode, &size, &mtime,
		&ctime, &ino, &digest, &target);
	*e = (struct entry){
		.type = type_flags & 0xff,
		.flags = (uint8_t)(type_flags >> 8),
		.mode = mode,
		.size = size,
		.mtime_ns = mtime,
		.ctime_ns = ctime,
		.ino = ino,
		.target = to_string(target),
	};
	if (e->type == ENTRY_LINK && !e->target)
		e->target = g_strdup("");
	raw = g_variant_get_fixed_array(digest, &n, 1);
	if (n == sizeof(e->digest.bytes))
		memcpy(e->digest.bytes, raw, n);
}

static const char *text(const char *s)
{
	return s ? s : "";
}

static GVariant *pack_op(const struct plan_op *op)
{
	return g_variant_new("(iiii@ay@ay@ay@aysss@ayb@" ENTRY_TYPE "@"
		ENTRY_TYPE "@" ENTRY_TYPE "@" ENTRY_TYPE "@" ENTRY_TYPE ")",
		OP_VERSION, (int)op->action, (int)op->source, (int)op->list,
		bytes(op->path), bytes(op->from), bytes(op->subject),
		bytes(op->copy), text(op->kind), text(op->word),
		text(op->why), bytes(op->ours_path), op->gate_deletion,
		pack_entry(&op->before), pack_entry(&op->after),
		pack_entry(&op->base), pack_entry(&op->ours),
		pack_entry(&op->theirs));
}

/* Static strings of operations come back as interned ones. */
static const char *intern(const char *s)
{
	return *s ? g_intern_string(s) : NULL;
}

static void unpack_op(GVariant *v, struct plan *p)
{
	GVariant *paths[5], *entries[5];
	const char *kind, *word, *why;
	int version, action, source, list;
	gboolean gate;
	struct plan_op *op;

	g_variant_get(v, "(iiii@ay@ay@ay@ay&s&s&s@ayb@" ENTRY_TYPE "@"
		ENTRY_TYPE "@" ENTRY_TYPE "@" ENTRY_TYPE "@" ENTRY_TYPE ")",
		&version, &action, &source, &list, &paths[0], &paths[1],
		&paths[2], &paths[3], &kind, &word, &why, &paths[4], &gate,
		&entries[0], &entries[1], &entries[2], &entries[3],
		&entries[4]);
	g_autofree char *path = to_string(paths[0]);

	op = plan_add(p, (enum plan_action)action, path ? path : "");
	op->source = (enum plan_source)source;
	op->list = (enum plan_list)list;
	op->from = to_string(paths[1]);
	op->subject = to_string(paths[2]);
	op->copy = to_string(paths[3]);
	op->kind = intern(kind);
	op->word = intern(word);
	op->why = *why ? g_strdup(why) : NULL;
	op->ours_path = to_string(paths[4]);
	op->gate_deletion = gate;
	unpack_entry(entries[0], &op->before);
	unpack_entry(entries[1], &op->after);
	unpack_entry(entries[2], &op->base);
	unpack_entry(entries[3], &op->ours);
	unpack_entry(entries[4], &op->theirs);
	for (size_t i = 0; i < 5; i++)
		g_variant_unref(entries[i]);
	for (size_t i = 0; i < 5; i++)
		g_variant_unref(paths[i]);
}

/* --- marks: what became of an operation ------------------------------- */

static GVariant *pack_mark(const struct plan_op *op)
{
	return g_variant_new("(i@ays@" ENTRY_TYPE "sis)", (int)op->outcome,
		bytes(op->trash), text(op->error), pack_entry(&op->now),
		text(op->why), (int)op->list, text(op->word));
}

static void unpack_mark(GVariant *v, struct plan_op *op)
{
	g_autoptr(GVariant) trash = NULL;
	g_autoptr(GVariant) now = NULL;
	const char *error, *why, *word;
	int outcome, list;

	g_variant_get(v, "(i@ay&s@" ENTRY_TYPE "&si&s)", &outcome, &trash,
		&error, &now, &why, &list, &word);
	op->outcome = (enum plan_outcome)outcome;
	op->list = (enum plan_list)list;
	g_free(op->trash);
	op->trash = to_string(trash);
	g_free(op->error);
	op->error = *error ? g_strdup(error) : NULL;
	g_free(op->why);
	op->why = *why ? g_strdup(why) : NULL;
	op->word = intern(word);
	plan_entry_clear(&op->now);
	unpack_entry(now, &op->now);
}

/* --- rows ------------------------------------------------------------- */

static void bind_variant(sqlite3_stmt *stmt, int column, GVariant *v)
{
	sqlite3_bind_blob(stmt, column, g_variant_get_data(v),
		(int)g_variant_get_size(v), SQLITE_TRANSIENT);
}

/* The variant in COLUMN in its normal form, or NULL when it is none. */
static GVariant *column_variant(sqlite3_stmt *stmt, int column,
	const char *type)
{
	int n = sqlite3_column_bytes(stmt, column);
	const void *data = sqlite3_column_blob(stmt, column);
	GVariant *v;

	if (!data || n > OP_LIMIT)
		return NULL;
	/* The copy is aligned as the type wants it. */
	g_autoptr(GBytes) copy = g_bytes_new(data, (gsize)n);

	v = g_variant_ref_sink(g_variant_new_from_bytes(
		G_VARIANT_TYPE(type), copy, FALSE));
	if (g_variant_is_normal_form(v))
		return v;
	g_variant_unref(v);
	return NULL;
}

static int clear(struct state *s, const char *kind, GError **err)
{
	static const enum state_stmt both[] = { STMT_OP_CLEAR,
		STMT_PLAN_CLEAR };
	int r = 0;

	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(both); i++) {
		sqlite3_stmt *stmt = state_stmt(s, both[i]);

		if (stmt)
			sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
		r = state_run(s, stmt, err, "drop a plan");
	}
	return r;
}

static int put_op(struct state *s, const char *kind, size_t i,
	const struct plan_op *op, GError **err)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_OP_PUT);
	g_autoptr(GVariant) v = g_variant_ref_sink(pack_op(op));

	if (stmt) {
		sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 2, (sqlite3_int64)i);
		bind_variant(stmt, 3, v);
	}
	return state_run(s, stmt, err, "keep a plan");
}

static int mark_op(struct state *s, const char *kind, size_t i,
	const struct plan_op *op, GError **err)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_OP_MARK);
	g_autoptr(GVariant) v = g_variant_ref_sink(pack_mark(op));

	if (stmt) {
		bind_variant(stmt, 1, v);
		sqlite3_bind_text(stmt, 2, kind, -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 3, (sqlite3_int64)i);
	}
	return state_run(s, stmt, err, "keep an outcome");
}

static int save(struct state *s, const char *kind, const struct plan *p,
	GError **err)
{
	sqlite3_stmt *stmt;
	int r = clear(s, kind, err);

	for (size_t i = 0; r == 0 && i < plan_count(p); i++) {
		r = put_op(s, kind, i, plan_at(p, i), err);
		if (r == 0 && plan_at(p, i)->outcome != PLAN_TODO)
			r = mark_op(s, kind, i, plan_at(p, i), err);
	}
	if (r < 0)
		return r;
	stmt = state_stmt(s, STMT_PLAN_PUT);
	if (stmt) {
		sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
		sqlite3_bind_int(stmt, 2, p->gated | p->incomplete << 1);
	}
	return state_run(s, stmt, err, "keep a plan");
}

int state_save_plan(struct state *s, const char *kind, const struct plan *p,
	GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0)
		r = state_end_own(s, own, save(s, kind, p, err), err);
	mutex_unlock(&s->lock);
	return r;
}

int state_mark_ops(struct state *s, const char *kind, const struct plan *p,
	size_t first, size_t end, GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0) {
		for (size_t i = first; r == 0 && i < end; i++)
			if (plan_at(p, i)->outcome != PLAN_TODO)
				r = mark_op(s, kind, i, plan_at(p, i), err);
		r = state_end_own(s, own, r, err);
	}
	mutex_unlock(&s->lock);
	return r;
}

static int load_ops(struct state *s, const char *kind, struct plan *p,
	GError **err)
{
	sqlite3_stmt *stmt = state_stmt(s, STMT_OP_ALL);
	int r;

	if (!stmt)
		return state_fail(s, err, "read a plan");
	sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		g_autoptr(GVariant) v = column_variant(stmt, 0, OP_TYPE);
		g_autoptr(GVariant) m = column_variant(stmt, 1, MARK_TYPE);

		if (!v)
			break;
		unpack_op(v, p);
		if (m)
			unpack_mark(m, plan_at(p, plan_count(p) - 1));
	}
	sqlite3_reset(stmt);
	if (r == SQLITE_ROW)
		return fail(err, FAIL_LOCAL,
			"state database %s: a journalled operation cannot be "
			"read; it is damaged", s->path);
	return r == SQLITE_DONE ? 0 : state_fail(s, err, "read a plan");
}

int state_load_plan(struct state *s, const char *kind, struct plan **out,
	GError **err)
{
	g_autoptr(plan_auto) p = NULL;
	int r = 0;

	*out = NULL;
	mutex_lock(&s->lock);
	sqlite3_stmt *stmt = state_stmt(s, STMT_PLAN_GET);

	if (!stmt) {
		r = state_fail(s, err, "read a plan");
	} else {
		sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
		if (sqlite3_step(stmt) == SQLITE_ROW) {
			int flags = sqlite3_column_int(stmt, 0);

			p = plan_new();
			p->gated = flags & 1;
			p->incomplete = flags & 2;
		}
		sqlite3_reset(stmt);
	}
	if (p)
		r = load_ops(s, kind, p, err);
	mutex_unlock(&s->lock);
	if (r == 0)
		*out = g_steal_pointer(&p);
	return r;
}

int state_drop_plan(struct state *s, const char *kind, GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	if (r == 0)
		r = state_end_own(s, own, clear(s, kind, err), err);
	mutex_unlock(&s->lock);
	return r;
}
