/*
 * Every operation of a plan, applied and undone; and what is done when the
 * directory, or what was to come, has changed since the plan was made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/merge/apply_world.h"

static void applies_and_undoes(void **state)
{
	g_autoptr(manifest_auto) after = undisturbed();

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		const struct entry *e = manifest_find(after, ops[i].path);

		assert_int_equal(e ? e->type : ENTRY_ABSENT,
			ops[i].action == PLAN_REPORT ? ENTRY_FILE
						     : ops[i].after.type);
	}
	assert_int_equal(manifest_find(after, "mode")->mode, 0755);
	assert_int_equal(manifest_find(after, "d/file")->mode, 0755);
	assert_int_equal(manifest_find(after, "made")->mode, 0750);
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		g_autoptr(manifest_auto) before = NULL;
		struct world w;

		world_init(&w, elsewhere);
		before = scan(w.root);
		finish(&w, before, after, 0);
		world_release(&w);
	}
}

/* --- what changes under it ------------------------------------------------ */

/* Every target is something else by now: nothing is written but what is the
 * same either way, and what the user made stays. */
static void leaves_what_changed(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(manifest_auto) mine = NULL;
	g_autoptr(manifest_auto) left = NULL;
	g_autoptr(plan_auto) plan = NULL;
	struct world w;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		const struct entry *e = manifest_find(ours, ops[i].path);

		if (ops[i].action == PLAN_MKDIR && !e)
			continue;
		beneath_remove_all(w.root, ops[i].path);
		beneath_mkdir_all(w.root, "made", 0755);
		beneath_mkdir_all(w.root, "gone-dir", 0755);
		put(w.root, ops[i].path, "mine\n", 0600);
		if (!strcmp(ops[i].path, "gone-dir/last"))
			break;
	}
	mine = scan(w.root);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	left = scan(w.root);
	check_same(left, mine, "what the user made", 0);
	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
		enum plan_outcome want = PLAN_CHANGED;

		if (!strcmp(ops[i].path, "made") ||
			!strcmp(ops[i].path, "gone-dir") ||
			ops[i].action == PLAN_REPORT)
			want = PLAN_DONE;
		if (plan_at(plan, i)->outcome != want)
			fail_msg("%s: outcome %d", ops[i].path,
				plan_at(plan, i)->outcome);
	}
	world_release(&w);
}

/* Theirs is not what was planned: failed, and nothing touched. */
static void refuses_other_bytes(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(manifest_auto) left = NULL;
	g_autoptr(plan_auto) plan = NULL;
	struct world w;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	put(w.theirs, "d/file", "other!!!!\n", 0755);
	assert_int_equal(beneath_unlink(w.theirs, "new", 0), 0);
	for (size_t i = 0; i < plan_count(plan); i++)
		if (strcmp(plan_at(plan, i)->path, "d/file") &&
			strcmp(plan_at(plan, i)->path, "new"))
			plan_at(plan, i)->outcome = PLAN_DONE;
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	assert_int_equal(plan_at(plan, 2)->outcome, PLAN_FAILED);
	assert_int_equal(plan_at(plan, 3)->outcome, PLAN_FAILED);
	assert_non_null(plan_at(plan, 3)->error);
	left = scan(w.root);
	check_same(left, ours, "after a failure", 0);
	world_release(&w);
}

/* Undo leaves what changed since the restore, and says so. */
static void undo_holds_newer_work(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(plan_auto) plan = NULL;
	g_autoptr(plan_auto) undone = NULL;
	struct stat st;
	struct world w;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	put(w.root, "d/file", "edited after the restore\n", 0755);
	put(w.root, "gone", "here again\n", 0644);
	assert_int_equal(undo_plan(plan, &w.o, &undone, NULL), 0);
	assert_int_equal(plan_list_count(undone, PLAN_HELD), 2);
	assert_int_equal(beneath_stat(w.root, "d/file", &st), 0);
	assert_int_equal(st.st_size, 25);
	assert_int_equal(beneath_stat(w.root, "gone", &st), 0);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(beneath_stat(w.root, "new", &st), -ENOENT);
	world_release(&w);
}

/* Killed after the exchange, and then the user wrote there again: what the
 * exchange took away goes to the trash, and the user's file is left alone. */
static void keeps_the_old_of_a_killed_exchange(void **state)
{
	g_autoptr(manifest_auto) ours = NULL;
	g_autoptr(manifest_auto) theirs = NULL;
	g_autoptr(plan_auto) plan = NULL;
	g_autofree char *temp = NULL;
	char text[16] = "";
	struct stat st;
	struct world w;
	size_t i = 0;

	(void)state;
	world_init(&w, false);
	ours = scan(w.root);
	theirs = scan(w.theirs);
	plan = make_plan(ours, theirs);
	while (strcmp(plan_at(plan, i)->path, "d/file"))
		i++;
	temp = g_strdup_printf("d/.sandmount-%s-%zu.tmp", w.o.id, i);
	assert_int_equal(
		beneath_rename(w.root, "d/file", w.root, temp, 0), 0);
	put(w.root, "d/file", "the user's\n", 0644);
	assert_int_equal(apply_plan(plan, &w.o, NULL), 0);
	assert_int_equal(plan_at(plan, i)->outcome, PLAN_CHANGED);
	assert_int_equal(beneath_stat(w.root, "d/file", &st), 0);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(beneath_stat(w.root, temp, &st), -ENOENT);
	autofd int fd = beneath_open(w.trash, "d/file", O_RDONLY, 0);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 10);
	assert_string_equal(text, "old bytes\n");
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(applies_and_undoes),
		cmocka_unit_test(leaves_what_changed),
		cmocka_unit_test(keeps_the_old_of_a_killed_exchange),
		cmocka_unit_test(refuses_other_bytes),
		cmocka_unit_test(undo_holds_newer_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
