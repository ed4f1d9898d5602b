/* Rows found by inode, and rows replaced on condition: for stubs, whose place
 * may change under whoever fills them. */
#include "fs/mirror/state.h"

#include <errno.h>

#include "fs/mirror/state_internal.h"
#include "merge/plan.h"

int state_index_inodes(struct state *s, GError **err)
{
	int r = 0;

	mutex_lock(&s->lock);
	/* 2: STATE_ACK_MIRROR */
	if (sqlite3_exec(s->db, "CREATE INDEX IF NOT EXISTS entry_inode"
				" ON entry(ino) WHERE tbl = 2",
		    NULL, NULL, NULL) != SQLITE_OK)
		r = state_fail(s, err, "make an index");
	mutex_unlock(&s->lock);
	return r;
}

char *state_find_inode(struct state *s, uint64_t ino, struct entry *e)
{
	char *path = NULL;

	_Static_assert(STATE_ACK_MIRROR == 2, "the statement and the index");
	mutex_lock(&s->lock);
	sqlite3_stmt *stmt = state_stmt(s, STMT_FIND_INODE);

	if (stmt) {
		sqlite3_bind_int64(stmt, 1, (int64_t)ino);
		while (!path && sqlite3_step(stmt) == SQLITE_ROW) {
			state_read_row(stmt, e);
			if (e->type == ENTRY_FILE)
				path = state_column_string(stmt, 0);
		}
		sqlite3_reset(stmt);
	}
	mutex_unlock(&s->lock);
	return path;
}

static bool is_still(struct state *s, const struct state_change *c)
{
	struct entry now;
	bool same = state_find_row(s, c->table, c->was.path, &now);

	if (!same)
		return false;
	same = now.type == c->was.type && now.ino == c->was.ino &&
		now.size == c->was.size && now.mtime_ns == c->was.mtime_ns &&
		now.ctime_ns == c->was.ctime_ns;
	plan_entry_clear(&now);
	return same;
}

int state_replace(struct state *s, struct state_change *changes, size_t n,
	GError **err)
{
	bool own;

	mutex_lock(&s->lock);
	int r = state_begin_own(s, &own, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct state_change *c = &changes[i];

		c->done = is_still(s, c);
		if (c->done)
			r = state_put_row(s, c->table, &c->now, err);
	}
	r = state_end_own(s, own, r, err);
	mutex_unlock(&s->lock);
	return r;
}
