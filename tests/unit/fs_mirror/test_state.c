/* What is committed is there after reopening; what is damaged is said so. */
#include "fs/mirror/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"

#include <cmocka.h> /* its macro fail() last */

struct place {
	char *dir;
	int fd;
	struct state *s;
};

static void open_state(struct place *p)
{
	g_autoptr(GError) err = NULL;

	p->s = state_open(p->fd, &err);
	if (!p->s)
		fail_msg("%s", err->message);
}

static void reopen(struct place *p)
{
	state_close(p->s);
	open_state(p);
}

static void place_init(struct place *p)
{
	p->dir = g_dir_make_tmp("state-XXXXXX", NULL);
	assert_non_null(p->dir);
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	open_state(p);
}

static void place_release(struct place *p)
{
	static const char *const files[] = { "state.db", "state.db-wal",
		"state.db-shm" };

	state_close(p->s);
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
		beneath_unlink(p->fd, files[i], 0);
	close(p->fd);
	assert_int_equal(rmdir(p->dir), 0);
	g_free(p->dir);
}

/* Runs SQL behind the module's back. */
static void meddle(const struct place *p, const char *sql)
{
	g_autofree char *path = g_build_filename(p->dir, "state.db", NULL);
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static const struct entry rows[] = {
	{ .path = "a", .type = ENTRY_DIR, .mode = 0755, .mtime_ns = 5 },
	{ .path = "a/f", .type = ENTRY_FILE, .mode = 0644, .size = 12,
		.mtime_ns = -7, .ctime_ns = 8, .ino = UINT64_MAX,
		.flags = ENTRY_HASHED | ENTRY_RACY,
		.digest = { .bytes = { 1, 2, 3 } } },
	{ .path = "a/g\n\xff", .type = ENTRY_FILE, .size = INT64_MAX },
	{ .path = "ab", .type = ENTRY_LINK, .target = "" },
	{ .path = "l", .type = ENTRY_LINK, .target = "../\xfe" },
	{ .path = "s", .type = ENTRY_SPECIAL, .flags = ENTRY_UNREADABLE },
};

static struct manifest *make(size_t from, size_t to, int64_t add_mtime)
{
	struct manifest *m = manifest_new();

	for (size_t i = from; i < to; i++) {
		struct entry e = rows[i];

		e.mtime_ns += add_mtime;
		manifest_add(m, &e);
	}
	manifest_sort(m);
	return m;
}

static void check_entry(const struct entry *got, const struct entry *want)
{
	assert_string_equal(got->path, want->path);
	assert_int_equal(got->type, want->type);
	assert_int_equal(got->mode, want->mode);
	assert_int_equal(got->size, want->size);
	assert_int_equal(got->mtime_ns, want->mtime_ns);
	assert_int_equal(got->ctime_ns, want->ctime_ns);
	assert_true(got->ino == want->ino);
	assert_int_equal(got->flags, want->flags);
	assert_int_equal(g_strcmp0(got->target, want->target), 0);
	if (want->flags & ENTRY_HASHED)
		assert_true(digest_equal(&got->digest, &want->digest));
}

static void check_table(struct place *p, enum state_table t,
	const struct manifest *want)
{
	g_autoptr(GError) err = NULL;
	g_autoptr(manifest_auto) got = NULL;

	if (state_load(p->s, t, &got, &err) < 0)
		fail_msg("table %d: %s", t, err->message);
	assert_int_equal(manifest_count(got), manifest_count(want));
	assert_int_equal(state_count(p->s, t), manifest_count(want));
	for (size_t i = 0; i < manifest_count(want); i++)
		check_entry(manifest_at(got, i), manifest_at(want, i));
}

/* Each table on its own: another one's rows never show. */
static void keeps_every_table(void **state)
{
	size_t n = G_N_ELEMENTS(rows);
	struct place p;

	(void)state;
	place_init(&p);
	for (int t = 0; t < STATE_TABLES; t++) {
		g_autoptr(manifest_auto) m = make(0, n - t % n, t);

		assert_int_equal(state_store(p.s, t, m, NULL), 0);
	}
	reopen(&p);
	for (int t = 0; t < STATE_TABLES; t++) {
		g_autoptr(manifest_auto) m = make(0, n - t % n, t);

		check_table(&p, t, m);
	}
	place_release(&p);
}

/* From any table to any other by storing: rows that go, come, change, stay. */
static void stores_the_difference(void **state)
{
	size_t n = G_N_ELEMENTS(rows);
	struct place p;

	(void)state;
	place_init(&p);
	for (size_t from = 0; from <= n; from++)
		for (size_t to = from; to <= n; to++)
			for (int add = 0; add < 2; add++) {
				g_autoptr(manifest_auto) m =
					make(from, to, add);

				assert_int_equal(state_store(p.s,
					STATE_BASE_LOCAL, m, NULL), 0);
				check_table(&p, STATE_BASE_LOCAL, m);
			}
	place_release(&p);
}

static void changes_single_rows(void **state)
{
	g_autoptr(manifest_auto) all = make(0, G_N_ELEMENTS(rows), 0);
	g_autoptr(manifest_auto) want = manifest_new();
	struct entry e = rows[1], got = { 0 };
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(state_store(p.s, STATE_ACK_MIRROR, all, NULL), 0);
	assert_int_equal(state_store(p.s, STATE_ACK_REMOTE, all, NULL), 0);
	e.size = 99;
	assert_int_equal(state_put(p.s, STATE_ACK_MIRROR, &e, NULL), 0);
	assert_int_equal(state_remove(p.s, STATE_ACK_MIRROR, "s", NULL), 0);
	assert_int_equal(state_remove(p.s, STATE_ACK_MIRROR, "none", NULL), 0);
	assert_true(state_find(p.s, STATE_ACK_MIRROR, "a/f", &got));
	assert_null(got.path);
	got.path = "a/f";
	check_entry(&got, &e);
	assert_false(state_find(p.s, STATE_ACK_MIRROR, "s", &got));
	assert_true(state_has_below(p.s, STATE_ACK_MIRROR, "a"));
	assert_false(state_has_below(p.s, STATE_ACK_MIRROR, "ab"));
	reopen(&p);
	for (size_t i = 0; i + 1 < G_N_ELEMENTS(rows); i++)
		manifest_add(want, i == 1 ? &e : &rows[i]);
	manifest_sort(want);
	check_table(&p, STATE_ACK_MIRROR, want);
	check_table(&p, STATE_ACK_REMOTE, all);
	place_release(&p);
}

/* "a" goes over "l", which had rows below; "ab" is not below "a". */
static void moves_subtrees(void **state)
{
	static const char *const want[] = { "ab", "l", "l/f", "l/g\n\xff",
		"s" };
	g_autoptr(manifest_auto) all = make(0, G_N_ELEMENTS(rows), 0);
	g_autoptr(manifest_auto) got = NULL;
	struct entry below = { .path = "l/old", .type = ENTRY_FILE };
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(state_store(p.s, STATE_ACK_MIRROR, all, NULL), 0);
	assert_int_equal(state_put(p.s, STATE_ACK_MIRROR, &below, NULL), 0);
	assert_int_equal(state_move(p.s, STATE_ACK_MIRROR, "a", "l", NULL), 0);
	reopen(&p);
	assert_int_equal(state_load(p.s, STATE_ACK_MIRROR, &got, NULL), 0);
	assert_int_equal(manifest_count(got), G_N_ELEMENTS(want));
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++)
		assert_string_equal(manifest_at(got, i)->path, want[i]);
	assert_int_equal(manifest_find(got, "l")->type, ENTRY_DIR);
	place_release(&p);
}

static void rolls_back(void **state)
{
	g_autoptr(manifest_auto) all = make(0, G_N_ELEMENTS(rows), 0);
	g_autoptr(manifest_auto) none = make(0, 0, 0);
	g_autofree char *value = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(state_set(p.s, "name", "old", NULL), 0);
	assert_int_equal(state_begin(p.s, NULL), 0);
	assert_int_equal(state_store(p.s, STATE_BASE_LOCAL, all, NULL), 0);
	assert_int_equal(state_set(p.s, "name", "new", NULL), 0);
	state_rollback(p.s);
	check_table(&p, STATE_BASE_LOCAL, none);
	value = state_get(p.s, "name");
	assert_string_equal(value, "old");
	assert_int_equal(state_set(p.s, "name", NULL, NULL), 0);
	reopen(&p);
	assert_null(state_get(p.s, "name"));
	place_release(&p);
}

/* Each damage fails the load; storing again heals it. */
static void notices_damage(void **state)
{
	static const char *const damages[] = {
		"UPDATE entry SET size = size + 1 WHERE path = CAST('a/f' AS "
		"BLOB)",
		"DELETE FROM entry WHERE path = CAST('s' AS BLOB)",
		"UPDATE entry SET path = CAST('../x' AS BLOB)"
		" WHERE path = CAST('s' AS BLOB)",
		"UPDATE checksum SET value = value + 1",
		"DELETE FROM checksum",
	};
	g_autoptr(manifest_auto) all = make(0, G_N_ELEMENTS(rows), 0);
	struct place p;

	(void)state;
	place_init(&p);
	for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
		g_autoptr(GError) err = NULL;
		g_autoptr(manifest_auto) got = NULL;

		assert_int_equal(
			state_store(p.s, STATE_BASE_LOCAL, all, NULL), 0);
		meddle(&p, damages[i]);
		if (state_load(p.s, STATE_BASE_LOCAL, &got, &err) == 0)
			fail_msg("not noticed: %s", damages[i]);
		assert_int_equal(err->code, FAIL_LOCAL);
		assert_int_equal(
			state_store(p.s, STATE_BASE_LOCAL, all, NULL), 0);
		check_table(&p, STATE_BASE_LOCAL, all);
	}
	place_release(&p);
}

static void refuses_what_is_not_ours(void **state)
{
	g_autoptr(GError) newer = NULL;
	g_autoptr(GError) garbage = NULL;
	g_autoptr(GError) link = NULL;
	struct place p;
	int fd;

	(void)state;
	place_init(&p);
	meddle(&p, "PRAGMA user_version=99");
	state_close(p.s);
	assert_null(state_open(p.fd, &newer));
	assert_int_equal(newer->code, FAIL_FAILED);
	assert_non_null(strstr(newer->message, "99"));

	beneath_unlink(p.fd, "state.db", 0);
	fd = beneath_open(p.fd, "state.db", O_WRONLY | O_CREAT, 0600);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(write(fd, "not a database at all\n", 22), 22);
	close(fd);
	assert_null(state_open(p.fd, &garbage));
	assert_int_equal(garbage->code, FAIL_LOCAL);
	assert_non_null(strstr(garbage->message, "damaged"));

	beneath_unlink(p.fd, "state.db", 0);
	assert_int_equal(symlinkat("elsewhere", p.fd, "state.db"), 0);
	assert_null(state_open(p.fd, &link));
	assert_non_null(link);
	beneath_unlink(p.fd, "state.db", 0);
	p.s = NULL;
	place_release(&p);
}

static void is_private(void **state)
{
	struct stat st;
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(beneath_stat(p.fd, "state.db", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	place_release(&p);
}

/* --- plans ---------------------------------------------------------------- */

static struct plan *make_plan(void)
{
	struct plan *p = plan_new();
	struct plan_op *op = plan_add(p, PLAN_PUT, "a/f\n\xff");

	op->source = PLAN_FROM_STAGED;
	op->list = PLAN_MERGED;
	op->from = g_strdup("s1");
	op->subject = g_strdup("a/g");
	op->copy = g_strdup("a/f.box.conflict");
	op->kind = "file";
	op->word = "merged";
	op->why = g_strdup("because");
	op->ours_path = g_strdup("a/h");
	op->gate_deletion = true;
	plan_entry_set(&op->before, &rows[1]);
	plan_entry_set(&op->after, &rows[4]);
	plan_entry_set(&op->theirs, &rows[3]);
	plan_add(p, PLAN_DELETE, "b");
	plan_add(p, PLAN_REPORT, "c")->list = PLAN_HELD;
	p->gated = true;
	return p;
}

static void check_plan(struct place *p, const char *kind,
	const struct plan *want)
{
	g_autoptr(plan_auto) got = NULL;
	g_autofree char *a = NULL, *b = NULL;

	assert_int_equal(state_load_plan(p->s, kind, &got, NULL), 0);
	assert_non_null(got);
	a = plan_to_text(got);
	b = plan_to_text(want);
	assert_string_equal(a, b);
	assert_int_equal(got->gated, want->gated);
	assert_int_equal(got->incomplete, want->incomplete);
	for (size_t i = 0; i < plan_count(want); i++) {
		const struct plan_op *g = plan_at(got, i);
		const struct plan_op *w = plan_at(want, i);

		assert_int_equal(g->outcome, w->outcome);
		assert_int_equal(g_strcmp0(g->trash, w->trash), 0);
		assert_int_equal(g_strcmp0(g->error, w->error), 0);
		assert_int_equal(g_strcmp0(g->copy, w->copy), 0);
		assert_int_equal(g_strcmp0(g->ours_path, w->ours_path), 0);
		assert_int_equal(g->before.ino == w->before.ino, 1);
		assert_int_equal(g->gate_deletion, w->gate_deletion);
		assert_int_equal(g->now.type, w->now.type);
		assert_int_equal(
			g_strcmp0(g->after.target, w->after.target), 0);
		assert_int_equal(
			g_strcmp0(g->theirs.target, w->theirs.target), 0);
	}
}

static void keeps_plans(void **state)
{
	g_autoptr(plan_auto) plan = make_plan();
	g_autoptr(plan_auto) other = plan_new();
	g_autoptr(plan_auto) none = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(state_save_plan(p.s, "restore", plan, NULL), 0);
	assert_int_equal(state_save_plan(p.s, "undo", other, NULL), 0);
	reopen(&p);
	check_plan(&p, "restore", plan);
	check_plan(&p, "undo", other);
	assert_int_equal(state_drop_plan(p.s, "restore", NULL), 0);
	reopen(&p);
	assert_int_equal(state_load_plan(p.s, "restore", &none, NULL), 0);
	assert_null(none);
	check_plan(&p, "undo", other);
	place_release(&p);
}

static void keeps_outcomes(void **state)
{
	g_autoptr(plan_auto) plan = make_plan();
	struct plan_op *op = plan_at(plan, 1);
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(state_save_plan(p.s, "restore", plan, NULL), 0);
	op->outcome = PLAN_FAILED;
	op->error = g_strdup("write: no");
	assert_int_equal(
		state_mark_ops(p.s, "restore", plan, 0, 2, NULL), 0);
	reopen(&p);
	check_plan(&p, "restore", plan);
	plan_at(plan, 0)->outcome = PLAN_DONE;
	plan_at(plan, 0)->trash = g_strdup("a/f.2");
	plan_at(plan, 2)->outcome = PLAN_DONE;
	plan_entry_set(&plan_at(plan, 0)->now, &rows[4]);
	assert_int_equal(
		state_mark_ops(p.s, "restore", plan, 0, 3, NULL), 0);
	reopen(&p);
	check_plan(&p, "restore", plan);
	place_release(&p);
}

static void notices_a_damaged_plan(void **state)
{
	g_autoptr(plan_auto) plan = make_plan();
	g_autoptr(plan_auto) got = NULL;
	g_autoptr(GError) err = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(state_save_plan(p.s, "restore", plan, NULL), 0);
	meddle(&p, "UPDATE op SET text = x'00ff' WHERE seq = 1");
	assert_true(state_load_plan(p.s, "restore", &got, &err) < 0);
	assert_int_equal(err->code, FAIL_LOCAL);
	assert_null(got);
	place_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_every_table),
		cmocka_unit_test(stores_the_difference),
		cmocka_unit_test(changes_single_rows),
		cmocka_unit_test(moves_subtrees),
		cmocka_unit_test(rolls_back),
		cmocka_unit_test(notices_damage),
		cmocka_unit_test(refuses_what_is_not_ours),
		cmocka_unit_test(is_private),
		cmocka_unit_test(keeps_plans),
		cmocka_unit_test(keeps_outcomes),
		cmocka_unit_test(notices_a_damaged_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
