/* Plans: what they say, count and come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/plan.h"

/* Exit codes of CLI.md for one operation and the plan's own marks. */
static void exit_codes(void **state)
{
	static const struct {
		enum plan_list list;
		enum plan_outcome outcome;
		bool gated, incomplete;
		int code;
	} rows[] = {
		{ PLAN_SILENT, PLAN_DONE, false, false, 0 },
		{ PLAN_APPLIED, PLAN_DONE, false, false, 0 },
		{ PLAN_APPLIED, PLAN_TODO, false, false, 0 },
		{ PLAN_DELETED, PLAN_DONE, false, false, 0 },
		{ PLAN_MERGED, PLAN_DONE, false, false, 0 },
		{ PLAN_KEPT_LOCAL, PLAN_DONE, false, false, 0 },
		{ PLAN_CONFLICTS, PLAN_DONE, false, false, 3 },
		{ PLAN_HELD, PLAN_DONE, false, false, 3 },
		{ PLAN_APPLIED, PLAN_FAILED, false, false, 4 },
		{ PLAN_APPLIED, PLAN_CHANGED, false, false, 4 },
		{ PLAN_CONFLICTS, PLAN_FAILED, false, false, 4 },
		{ PLAN_APPLIED, PLAN_DONE, true, false, 4 },
		{ PLAN_CONFLICTS, PLAN_DONE, false, true, 4 },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(plan_auto) p = plan_new();
		struct plan_op *op = plan_add(p, PLAN_PUT, "a");

		op->list = rows[i].list;
		op->outcome = rows[i].outcome;
		p->gated = rows[i].gated;
		p->incomplete = rows[i].incomplete;
		assert_int_equal(plan_exit_code(p), rows[i].code);
	}
	g_autoptr(plan_auto) none = plan_new();

	assert_int_equal(plan_exit_code(none), 0);
}

/* What failed is listed as held, and nowhere else. */
static void counts(void **state)
{
	g_autoptr(plan_auto) p = plan_new();

	(void)state;
	plan_add(p, PLAN_PUT, "a")->list = PLAN_APPLIED;
	plan_add(p, PLAN_PUT, "b")->list = PLAN_APPLIED;
	plan_add(p, PLAN_DELETE, "c")->list = PLAN_DELETED;
	plan_at(p, 1)->outcome = PLAN_FAILED;
	assert_int_equal(plan_count(p), 3);
	assert_int_equal(plan_list_count(p, PLAN_APPLIED), 1);
	assert_int_equal(plan_list_count(p, PLAN_DELETED), 1);
	assert_int_equal(plan_list_count(p, PLAN_HELD), 1);
	assert_int_equal(plan_list_count(p, PLAN_CONFLICTS), 0);
}

static void text(void **state)
{
	const struct entry file = { .type = ENTRY_FILE, .mode = 0640 };
	const struct entry link = { .type = ENTRY_LINK, .target = "x" };
	g_autoptr(plan_auto) p = plan_new();
	g_autofree char *got = NULL;
	struct plan_op *op;

	(void)state;
	op = plan_add(p, PLAN_PUT, "a\nb");
	op->list = PLAN_CONFLICTS;
	op->word = "copied";
	op->from = g_strdup("a");
	op->subject = g_strdup("a");
	plan_entry_set(&op->after, &file);
	op = plan_add(p, PLAN_PUT, "l");
	op->list = PLAN_APPLIED;
	op->word = "created";
	op->from = g_strdup("l");
	plan_entry_set(&op->after, &link);
	plan_add(p, PLAN_DELETE, "d")->list = PLAN_DELETED;
	got = plan_to_text(p);
	assert_string_equal(got,
		"put a\\nb conflicts copied from a for a 640\n"
		"put l applied created\n"
		"delete d deleted -\n");
}

/* Deep, also of an entry onto itself's copy, and of none. */
static void entries(void **state)
{
	char target[] = "where";
	const struct entry link = { .path = "p", .type = ENTRY_LINK,
		.target = target };
	struct entry copy = { 0 };

	(void)state;
	plan_entry_set(&copy, &link);
	target[0] = 'W';
	assert_null(copy.path);
	assert_string_equal(copy.target, "where");
	plan_entry_set(&copy, &copy);
	assert_string_equal(copy.target, "where");
	plan_entry_set(&copy, NULL);
	assert_int_equal(copy.type, ENTRY_ABSENT);
	assert_null(copy.target);
	plan_entry_clear(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes),
		cmocka_unit_test(counts),
		cmocka_unit_test(text),
		cmocka_unit_test(entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
