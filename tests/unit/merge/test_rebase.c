/* The baselines after a merge, path by path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/reconcile.h"

/* How a path is on a side: '-' absent, 'a'…'z' a file of those bytes, 'A'…'Z'
 * the same with +x, '/' a directory, '?' unreadable, '!' special. */
static void add(struct manifest *m, char what)
{
	struct entry e = { .path = "p", .type = ENTRY_FILE, .mode = 0644,
		.size = 1, .mtime_ns = 5, .ino = 7, .ctime_ns = 9 };

	if (what == '-')
		return;
	if (what == '/') {
		e.type = ENTRY_DIR;
		e.mode = 0755;
	} else if (what == '!') {
		e.type = ENTRY_SPECIAL;
	} else if (what == '?') {
		e.flags = ENTRY_UNREADABLE;
	} else {
		e.mode = g_ascii_isupper(what) ? 0755 : 0644;
		e.flags = ENTRY_HASHED;
		e.digest.bytes[0] = (uint8_t)g_ascii_tolower(what);
	}
	manifest_add(m, &e);
}

static struct manifest *made(char what)
{
	struct manifest *m = manifest_new();

	add(m, what);
	manifest_sort(m);
	return m;
}

static char show(const struct manifest *m)
{
	const struct entry *e = manifest_find(m, "p");

	if (!e)
		return '-';
	if (e->type == ENTRY_DIR)
		return '/';
	if (e->type != ENTRY_FILE || !(e->flags & ENTRY_HASHED))
		return '*';
	return e->mode & 0100 ? g_ascii_toupper((char)e->digest.bytes[0])
			      : (char)e->digest.bytes[0];
}

enum mark { SETTLED, HELD, FAILED, CHANGED };

static const struct row {
	char base, ours, theirs;	/* ours: after the merge */
	enum mark mark;
	char base_ours, base_theirs;
} rows[] = {
	/* What is the same is the base. */
	{ 'a', 'a', 'a', SETTLED, 'a', 'a' },
	{ 'a', 'b', 'b', SETTLED, 'b', 'b' },
	{ '-', 'b', 'b', SETTLED, 'b', 'b' },
	{ '-', '/', '/', SETTLED, '/', '/' },
	{ 'a', '-', '-', SETTLED, '-', '-' },
	/* Ours declined or includes theirs: offered once is enough. */
	{ 'a', 'c', 'b', SETTLED, 'b', 'b' },
	{ 'a', 'c', 'a', SETTLED, 'a', 'a' },
	{ 'a', '-', 'a', SETTLED, 'a', 'a' },
	{ '-', '-', 'b', SETTLED, 'b', 'b' },
	{ 'a', 'a', '-', SETTLED, '-', '-' },
	/* What was not dealt with stays as it was. */
	{ 'a', 'a', 'b', HELD, 'a', 'a' },
	{ 'a', 'a', '-', HELD, 'a', 'a' },
	{ 'a', 'c', 'b', FAILED, 'a', 'a' },
	{ 'a', 'c', 'b', CHANGED, 'a', 'a' },
	{ '-', 'c', 'b', CHANGED, '-', '-' },
	/* There, but nobody knows what it is: never "gone". */
	{ 'a', 'a', '?', SETTLED, 'a', 'a' },
	{ 'a', 'a', '!', SETTLED, 'a', 'a' },
	{ '-', '-', '!', SETTLED, '-', '-' },
	{ 'a', '?', 'b', SETTLED, 'b', 'b' },
	/* Modes: theirs changed and taken; ours changed, which they have not. */
	{ 'a', 'A', 'A', SETTLED, 'A', 'A' },
	{ 'a', 'A', 'a', SETTLED, 'a', 'a' },
	{ 'a', 'a', 'A', SETTLED, 'A', 'A' },
};

static void mark_plan(struct plan *p, enum mark mark)
{
	struct plan_op *op;

	if (mark == SETTLED)
		return;
	op = plan_add(p, PLAN_PUT, "p");
	op->list = mark == HELD ? PLAN_HELD : PLAN_APPLIED;
	op->outcome = mark == FAILED ? PLAN_FAILED
		: mark == CHANGED ? PLAN_CHANGED : PLAN_DONE;
}

static void one_path(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		g_autoptr(manifest_auto) base = made(row->base);
		g_autoptr(manifest_auto) ours = made(row->ours);
		g_autoptr(manifest_auto) theirs = made(row->theirs);
		g_autoptr(manifest_auto) new_ours = NULL;
		g_autoptr(manifest_auto) new_theirs = NULL;
		g_autoptr(plan_auto) p = plan_new();
		struct reconcile_input in = {
			.base_ours = base, .base_theirs = base,
			.ours = ours, .theirs = theirs, .name = "n",
		};

		mark_plan(p, row->mark);
		reconcile_rebase(&in, p, ours, &new_ours, &new_theirs);
		if (show(new_ours) != row->base_ours ||
			show(new_theirs) != row->base_theirs)
			fail_msg("%c %c %c (%d): %c %c", row->base, row->ours,
				row->theirs, row->mark, show(new_ours),
				show(new_theirs));
	}
}

/* Our side's row vouches for our file only when that is theirs byte for byte:
 * else no stat identity, so that a scan reads it. */
static void identity(void **state)
{
	g_autoptr(manifest_auto) base = made('a');
	g_autoptr(manifest_auto) ours = made('c');
	g_autoptr(manifest_auto) theirs = made('b');
	g_autoptr(manifest_auto) new_ours = NULL;
	g_autoptr(manifest_auto) new_theirs = NULL;
	g_autoptr(plan_auto) p = plan_new();
	struct reconcile_input in = { .base_ours = base, .base_theirs = base,
		.ours = ours, .theirs = theirs, .name = "n" };

	(void)state;
	reconcile_rebase(&in, p, ours, &new_ours, &new_theirs);
	assert_int_equal(manifest_find(new_ours, "p")->ino, 0);
	assert_int_equal(manifest_find(new_ours, "p")->ctime_ns, 0);
	assert_int_equal(manifest_find(new_theirs, "p")->ino, 7);
}

/* Merged again, a rebased state plans nothing. */
static void idempotent(void **state)
{
	static const char sides[] = "-abcA/";

	(void)state;
	for (const char *b = sides; *b; b++)
	for (const char *o = sides; *o; o++)
	for (const char *t = sides; *t; t++) {
		g_autoptr(manifest_auto) base = made(*b);
		g_autoptr(manifest_auto) ours = made(*o);
		g_autoptr(manifest_auto) theirs = made(*t);
		g_autoptr(manifest_auto) bo = NULL;
		g_autoptr(manifest_auto) bt = NULL;
		g_autoptr(plan_auto) none = plan_new();
		g_autoptr(plan_auto) again = NULL;
		struct reconcile_input in = {
			.base_ours = base, .base_theirs = base,
			.ours = ours, .theirs = theirs, .name = "n",
		};

		reconcile_rebase(&in, none, ours, &bo, &bt);
		in.base_ours = bo;
		in.base_theirs = bt;
		again = reconcile(&in);
		for (size_t i = 0; i < plan_count(again); i++)
			assert_int_equal(plan_at(again, i)->action,
				PLAN_REPORT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_path),
		cmocka_unit_test(identity),
		cmocka_unit_test(idempotent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
