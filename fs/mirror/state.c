/*
 * One database, these tables:
 *
 *	entry(tbl, path, …)	the manifests, keyed by table and path
 *	meta(name, value)	small values
 *	checksum(tbl, value)	of each table's rows, kept in the same
 *				transaction as the rows
 *	op(kind, seq, …)	journalled plans; fs/mirror/state_plan.c
 *
 * The checksum of a table is the sum (modulo 2^64) of a hash over each row, so
 * that a single row can be added to it and taken from it.
 */
#include "fs/mirror/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/state_internal.h"
#include "merge/lib/fail.h"
#include "merge/lib/failpoint.h"

enum { SCHEMA_VERSION = 1 };

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS meta("
	" name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS checksum("
	" tbl INTEGER PRIMARY KEY, value INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS entry("
	" tbl INTEGER NOT NULL, path BLOB NOT NULL, type INTEGER NOT NULL,"
	" mode INTEGER NOT NULL, size INTEGER NOT NULL,"
	" mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,"
	" ino INTEGER NOT NULL, flags INTEGER NOT NULL, digest BLOB,"
	" target BLOB, PRIMARY KEY(tbl, path)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS op("
	" kind TEXT NOT NULL, seq INTEGER NOT NULL, text BLOB NOT NULL,"
	" mark BLOB, PRIMARY KEY(kind, seq)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS plan("
	" kind TEXT PRIMARY KEY, flags INTEGER NOT NULL) WITHOUT ROWID;";

static const char *const statements[STMT_COUNT] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_META_GET] = "SELECT value FROM meta WHERE name = ?",
	[STMT_META_SET] = "REPLACE INTO meta VALUES(?, ?)",
	[STMT_META_REMOVE] = "DELETE FROM meta WHERE name = ?",
	[STMT_SUM_GET] = "SELECT value FROM checksum WHERE tbl = ?",
	[STMT_SUM_SET] = "REPLACE INTO checksum VALUES(?, ?)",
	[STMT_PUT] =
		"REPLACE INTO entry VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STMT_FIND] = "SELECT path, type, mode, size, mtime, ctime, ino, flags,"
		" digest, target FROM entry WHERE tbl = ? AND path = ?",
	[STMT_REMOVE] = "DELETE FROM entry WHERE tbl = ? AND path = ?",
	[STMT_CLEAR] = "DELETE FROM entry WHERE tbl = ?",
	[STMT_ALL] = "SELECT path, type, mode, size, mtime, ctime, ino, flags,"
		" digest, target FROM entry WHERE tbl = ?",
	[STMT_BELOW] = "SELECT path, type, mode, size, mtime, ctime, ino,"
		" flags, digest, target FROM entry WHERE tbl = ?"
		" AND path >= ? AND path < ?",
	[STMT_COUNT_ROWS] = "SELECT count(*) FROM entry WHERE tbl = ?",
	[STMT_FIND_INODE] = "SELECT path, type, mode, size, mtime, ctime, ino,"
		" flags, digest, target FROM entry"
		" WHERE tbl = 2 AND ino = ?",
	[STMT_OP_PUT] = "REPLACE INTO op VALUES(?, ?, ?, NULL)",
	[STMT_OP_MARK] = "UPDATE op SET mark = ? WHERE kind = ? AND seq = ?",
	[STMT_OP_ALL] = "SELECT text, mark FROM op WHERE kind = ?"
		" ORDER BY seq",
	[STMT_OP_CLEAR] = "DELETE FROM op WHERE kind = ?",
	[STMT_PLAN_PUT] = "REPLACE INTO plan VALUES(?, ?)",
	[STMT_PLAN_GET] = "SELECT flags FROM plan WHERE kind = ?",
	[STMT_PLAN_CLEAR] = "DELETE FROM plan WHERE kind = ?",
};

int state_fail(struct state *s, GError **err, const char *what)
{
	int code = sqlite3_errcode(s->db);

	if (code == SQLITE_FULL)
		return fail(err, FAIL_LOCAL,
			"state database: %s: no space left on the disk of %s; "
			"free some and try again", what, s->path);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return fail(err, FAIL_LOCAL,
			"state database %s: damaged (%s); the mirror beside it "
			"holds every file: copy what you need from there, then "
			"`sandmount forget --force`", s->path,
			sqlite3_errmsg(s->db));
	return fail(err, FAIL_LOCAL, "state database %s: %s: %s", s->path,
		what, sqlite3_errmsg(s->db));
}

sqlite3_stmt *state_stmt(struct state *s, enum state_stmt which)
{
	if (!s->stmt[which] &&
		sqlite3_prepare_v3(s->db, statements[which], -1,
			SQLITE_PREPARE_PERSISTENT, &s->stmt[which], NULL) !=
			SQLITE_OK)
		return NULL;
	sqlite3_reset(s->stmt[which]);
	sqlite3_clear_bindings(s->stmt[which]);
	return s->stmt[which];
}

/* Steps a statement that gives no rows. */
int state_run(struct state *s, sqlite3_stmt *stmt, GError **err,
	const char *what)
{
	int r = stmt ? sqlite3_step(stmt) : SQLITE_ERROR;

	if (r != SQLITE_DONE && r != SQLITE_ROW) {
		state_fail(s, err, what);
		if (stmt)
			sqlite3_reset(stmt);
		return -EIO;
	}
	sqlite3_reset(stmt);
	return 0;
}

/* --- transactions ---------------------------------------------------- */

/* A transaction of its own, unless the caller has one open. */
int state_begin_own(struct state *s, bool *own, GError **err)
{
	*own = sqlite3_get_autocommit(s->db);
	return *own ? state_run(s, state_stmt(s, STMT_BEGIN), err, "begin")
		    : 0;
}

/* Commits, or takes everything back. */
static int commit(struct state *s, GError **err)
{
	int r;

	failpoint("commit");
	r = state_run(s, state_stmt(s, STMT_COMMIT), err, "commit");
	failpoint("committed");
	return r;
}

int state_end_own(struct state *s, bool own, int r, GError **err)
{
	if (!own)
		return r;
	if (r == 0)
		r = commit(s, err);
	if (r < 0 && !sqlite3_get_autocommit(s->db))
		state_run(s, state_stmt(s, STMT_ROLLBACK), NULL, "rollback");
	return r;
}

int state_begin(struct state *s, GError **err)
{
	mutex_lock(&s->lock);
	int r = state_run(s, state_stmt(s, STMT_BEGIN), err, "begin");
	mutex_unlock(&s->lock);
	return r;
}

int state_commit(struct state *s, GError **err)
{
	mutex_lock(&s->lock);
	int r = commit(s, err);

	if (r < 0 && !sqlite3_get_autocommit(s->db))
		state_run(s, state_stmt(s, STMT_ROLLBACK), NULL, "rollback");
	mutex_unlock(&s->lock);
	return r;
}

void state_rollback(struct state *s)
{
	mutex_lock(&s->lock);
	if (!sqlite3_get_autocommit(s->db))
		state_run(s, state_stmt(s, STMT_ROLLBACK), NULL, "rollback");
	mutex_unlock(&s->lock);
}

/* --- opening --------------------------------------------------------- */

static int set_up(struct state *s, GError **err)
{
	sqlite3_stmt *stmt = NULL;
	int version = 0;

	if (sqlite3_exec(s->db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		    "PRAGMA cache_size=-4096;", NULL, NULL, NULL) !=
			SQLITE_OK ||
		sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &stmt,
			NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW) {
		sqlite3_finalize(stmt);
		return state_fail(s, err, "open");
	}
	version = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	if (version > SCHEMA_VERSION)
		return fail(err, FAIL_FAILED,
			"state database %s: its version is %d, this program "
			"knows %d; use the program that made it",
			s->path, version, SCHEMA_VERSION);
	if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return state_fail(s, err, "create tables");
	if (version == 0 && sqlite3_exec(s->db, "PRAGMA user_version=1", NULL,
				    NULL, NULL) != SQLITE_OK)
		return state_fail(s, err, "set the version");
	return 0;
}

/* SQLite goes by path: the directory's own, as the kernel tells it. */
static char *path_of(int dir_fd)
{
	g_autofree char *proc = g_strdup_printf("/proc/self/fd/%d", dir_fd);
	char dir[PATH_MAX];
	ssize_t n = readlink(proc, dir, sizeof(dir) - 1);

	if (n < 0)
		return NULL;
	dir[n] = '\0';
	return g_build_filename(dir, "state.db", NULL);
}

struct state *state_open(int dir_fd, GError **err)
{
	struct state *s = g_new0(struct state, 1);
	int fd = openat(dir_fd, "state.db",
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	mutex_init(&s->lock, RANK_STATE);
	s->path = path_of(dir_fd);
	if (fd < 0 || !s->path) {
		fail_errno(err, -errno, "open the state database in %s",
			s->path ? s->path : "the session's directory");
		goto fail;
	}
	close(fd);
	if (sqlite3_open_v2(s->path, &s->db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX |
			    SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK) {
		state_fail(s, err, "open");
		goto fail;
	}
	sqlite3_busy_timeout(s->db, 10000);
	if (set_up(s, err) == 0)
		return s;
fail:
	state_close(s);
	return NULL;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	for (int i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(s->stmt[i]);
	sqlite3_close(s->db);
	mutex_destroy(&s->lock);
	g_free(s->path);
	g_free(s);
}

/* --- small values ---------------------------------------------------- */

char *state_get(struct state *s, const char *name)
{
	char *value = NULL;

	mutex_lock(&s->lock);
	sqlite3_stmt *stmt = state_stmt(s, STMT_META_GET);

	if (stmt) {
		sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
		if (sqlite3_step(stmt) == SQLITE_ROW)
			value = g_strdup(
				(const char *)sqlite3_column_text(stmt, 0));
		sqlite3_reset(stmt);
	}
	mutex_unlock(&s->lock);
	return value;
}

int state_set(struct state *s, const char *name, const char *value,
	GError **err)
{
	mutex_lock(&s->lock);
	sqlite3_stmt *stmt =
		state_stmt(s, value ? STMT_META_SET : STMT_META_REMOVE);

	if (stmt) {
		sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
		if (value)
			sqlite3_bind_text(stmt, 2, value, -1, SQLITE_STATIC);
	}
	int r = state_run(s, stmt, err, "set a value");
	mutex_unlock(&s->lock);
	return r;
}

char *state_library(void)
{
	return g_strdup_printf("SQLite %s", sqlite3_libversion());
}
