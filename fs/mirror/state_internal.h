#ifndef FS_MIRROR_STATE_INTERNAL_H
#define FS_MIRROR_STATE_INTERNAL_H
/*
 * What the files of the state database share. Not for others.
 */
#include <sqlite3.h>

#include "fs/mirror/state.h"
#include "merge/lib/mutex.h"

enum state_stmt {
	STMT_BEGIN, STMT_COMMIT, STMT_ROLLBACK,
	STMT_META_GET, STMT_META_SET, STMT_META_REMOVE,
	STMT_SUM_GET, STMT_SUM_SET,
	STMT_PUT, STMT_FIND, STMT_REMOVE, STMT_CLEAR, STMT_ALL, STMT_BELOW,
	STMT_COUNT_ROWS, STMT_FIND_INODE,
	STMT_OP_PUT, STMT_OP_MARK, STMT_OP_ALL, STMT_OP_CLEAR,
	STMT_PLAN_PUT, STMT_PLAN_GET, STMT_PLAN_CLEAR,
	STMT_COUNT
};

struct state {
	struct mutex lock;	/* guards all below */
	sqlite3 *db;
	sqlite3_stmt *stmt[STMT_COUNT];	/* prepared when first used */
	char *path;		/* const after open */
};

/* All with the lock held. */
int state_fail(struct state *s, GError **err, const char *what);
sqlite3_stmt *state_stmt(struct state *s, enum state_stmt which);
int state_run(struct state *s, sqlite3_stmt *stmt, GError **err,
	const char *what);
int state_begin_own(struct state *s, bool *own, GError **err);
/* One row; the statement's columns path, type, mode … target. */
void state_read_row(sqlite3_stmt *stmt, struct entry *e);
char *state_column_string(sqlite3_stmt *stmt, int column);
bool state_find_row(struct state *s, enum state_table t, const char *path,
	struct entry *e);
int state_put_row(struct state *s, enum state_table t, const struct entry *e,
	GError **err);
int state_end_own(struct state *s, bool own, int r, GError **err);

#endif
