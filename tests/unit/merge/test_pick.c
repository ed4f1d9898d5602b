/* Items of a plan, and what of it stays when some are left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/pick.h"
#include "merge/reconcile.h"

/* A tree in words: "path" a directory, "path=c" a file of content c, "path=c*"
 * an executable one, "path>t" a link. */
static struct manifest *tree_of(const char *words)
{
	struct manifest *m = manifest_new();
	g_auto(GStrv) list = g_strsplit(words, " ", -1);

	for (char **w = list; *w; w++) {
		struct entry e = { .path = *w, .type = ENTRY_DIR,
			.mode = 0755 };
		char *at = strpbrk(*w, "=>");

		if (!**w)
			continue;
		if (at && *at == '>') {
			e.type = ENTRY_LINK;
			e.target = at + 1;
		} else if (at) {
			e.type = ENTRY_FILE;
			e.size = 1;
			e.flags = ENTRY_HASHED;
			e.digest.bytes[0] = (uint8_t)at[1];
			e.mode = at[2] ? 0755 : 0644;
		}
		if (at)
			*at = '\0';
		manifest_add(m, &e);
	}
	manifest_sort(m);
	return m;
}

struct trees {
	struct manifest *base, *ours, *theirs;
	struct reconcile_input in;
};

static struct trees trees_of(const char *base, const char *ours,
	const char *theirs)
{
	struct trees t = { tree_of(base), tree_of(ours), tree_of(theirs),
		{ 0 } };

	t.in = (struct reconcile_input){
		.base_ours = t.base, .base_theirs = t.base, .ours = t.ours,
		.theirs = t.theirs, .name = "box", .remote_cwd = "/w",
		.gates = { .allow_deletes = true },
	};
	return t;
}

static void drop(struct trees *t)
{
	manifest_free(t->base);
	manifest_free(t->ours);
	manifest_free(t->theirs);
}

static const char *const kinds[] = {
	[PICK_TEXT] = "text", [PICK_CHANGE] = "change", [PICK_NEW] = "new",
	[PICK_DELETE] = "delete", [PICK_MODE] = "mode", [PICK_COPY] = "copy",
	[PICK_RENAME] = "rename", [PICK_SWAP] = "replace", [PICK_GIT] = "git",
};

static char *items_to_text(const GPtrArray *items)
{
	GString *s = g_string_new(NULL);

	for (guint i = 0; i < items->len; i++) {
		const struct pick_item *item = g_ptr_array_index(items, i);

		g_string_append_printf(s, "%s%s %s %u", i ? ", " : "",
			kinds[item->kind], item->path, item->ops->len);
	}
	return g_string_free(s, FALSE);
}

static const struct row {
	const char *base, *ours, *theirs, *items;
} rows[] = {
	{ "f=a", "f=a", "f=b", "text f 1" },
	{ "f=a", "f=a", "f=a*", "mode f 1" },
	{ "f=a", "f=a", "", "delete f 1" },
	{ "", "", "f=a", "new f 1" },
	{ "l>a", "l>a", "l>b", "change l 1" },
	{ "", "f=a", "f=b", "copy f 1" },
	{ "f=a", "f=a", "f>x", "change f 1" },
	{ "f=a", "f=b", "f=a", "" },
	/* Directories follow what is in them. */
	{ "", "", "d d/f=a d/g=b", "new d/f 1, new d/g 1" },
	{ "", "", "d d/e", "new d/e 1" },
	{ "d d/f=a d/g=b", "d d/f=a d/g=b", "", "delete d/f 1, delete d/g 1" },
	{ "d", "d", "", "delete d 1" },
	/* One thing instead of another. */
	{ "x=a", "x=a", "x x/f=b x/g=c", "replace x 3" },
	{ "x x/f=b", "x x/f=b", "x=a", "replace x 2" },
	/* A conflict's copy is one thing. */
	{ "", "x=a", "x x/f=b x/e x/e/g=c", "copy x 4" },
	/* Repositories. */
	{ ".git .git/HEAD=a a=a", ".git .git/HEAD=a a=a",
		".git .git/HEAD=b .git/ORIG=c a=b", "git .git 2, text a 1" },
	{ "s s/.git s/.git/HEAD=a", "s s/.git s/.git/HEAD=a", "s",
		"git s/.git 2" },
	/* Renames. */
	{ "f=a", "f=b", "g=a", "rename g 2" },
	{ "f=a", "g=a", "f=b", "rename g 1" },
};

/* What resolve_plan() would have made of a rename's merge. */
static void settle(struct plan *p)
{
	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->action == PLAN_MERGE)
			plan_at(p, i)->action = PLAN_PUT;
}

static void items(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct trees t = trees_of(
			rows[i].base, rows[i].ours, rows[i].theirs);
		g_autoptr(plan_auto) p = reconcile(&t.in);

		settle(p);
		g_autoptr(GPtrArray) list = pick_items(p);
		g_autofree char *text = items_to_text(list);

		assert_string_equal(text, rows[i].items);
		drop(&t);
	}
}

/* Nothing is taken: nothing is done, and the same is offered again. */
static void all_left(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct trees t = trees_of(
			rows[i].base, rows[i].ours, rows[i].theirs);
		g_autoptr(plan_auto) p = reconcile(&t.in);
		struct manifest *bo, *bt;

		settle(p);
		g_autoptr(GPtrArray) list = pick_items(p);

		for (guint k = 0; k < list->len; k++)
			pick_leave(p, g_ptr_array_index(list, k), "left");
		pick_finish(p, list);
		for (size_t k = 0; k < plan_count(p); k++) {
			assert_int_equal(
				plan_at(p, k)->action, PLAN_REPORT);
			plan_at(p, k)->outcome = PLAN_DONE;
		}
		assert_int_equal(plan_exit_code(p), list->len ? 3 : 0);
		reconcile_rebase(&t.in, p, t.ours, &bo, &bt);
		t.in.base_ours = bo;
		t.in.base_theirs = bt;
		g_autoptr(plan_auto) again = reconcile(&t.in);

		settle(again);
		g_autoptr(GPtrArray) offered = pick_items(again);
		g_autofree char *text = items_to_text(offered);

		assert_string_equal(text, rows[i].items);
		for (guint k = 0; k < list->len; k++) {
			const struct pick_item *a = g_ptr_array_index(list, k);
			const struct pick_item *b =
				g_ptr_array_index(offered, k);

			assert_true(digest_equal(&a->digest, &b->digest));
		}
		manifest_free(bo);
		manifest_free(bt);
		drop(&t);
	}
}

static char *after_leaving(struct trees *t, const char *path)
{
	g_autoptr(plan_auto) p = reconcile(&t->in);
	g_autoptr(GPtrArray) list = pick_items(p);
	GString *s = g_string_new(NULL);

	for (guint k = 0; k < list->len; k++) {
		const struct pick_item *item = g_ptr_array_index(list, k);

		if (!strcmp(item->path, path))
			pick_leave(p, item, "left");
	}
	pick_finish(p, list);
	for (size_t i = 0; i < plan_count(p); i++)
		g_string_append_printf(s, "%s%s%s", i ? " " : "",
			plan_at(p, i)->action == PLAN_REPORT ? "-" : "+",
			plan_at(p, i)->path);
	return g_string_free(s, FALSE);
}

static void directories(void **state)
{
	static const struct {
		const char *base, *ours, *theirs, *leave, *plan;
	} table[] = {
		{ "", "", "d d/f=a d/g=b", "d/f", "+d -d/f +d/g" },
		{ "", "", "d d/e d/e/f=a", "d/e/f", "-d -d/e -d/e/f" },
		{ "", "", "d d/e d/e/f=a d/g=b", "d/e/f",
			"+d -d/e -d/e/f +d/g" },
		{ "d d/f=a d/g=b", "d d/f=a d/g=b", "", "d/f",
			"+d/g -d/f -d" },
		{ "d d/e d/e/f=a", "d d/e d/e/f=a", "", "d/e/f",
			"-d/e/f -d/e -d" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		struct trees t = trees_of(
			table[i].base, table[i].ours, table[i].theirs);
		g_autofree char *plan = after_leaving(&t, table[i].leave);

		assert_string_equal(plan, table[i].plan);
		drop(&t);
	}
}

static void part(void **state)
{
	struct trees t = trees_of("f=a", "f=a", "f=b*");
	g_autoptr(plan_auto) p = reconcile(&t.in);
	g_autoptr(GPtrArray) list = pick_items(p);
	const struct pick_item *item = g_ptr_array_index(list, 0);
	struct pick_text some = { .from = "staged", .size = 7, .mode = 0644 };
	struct pick_text mode = { .mode = 0755 };

	(void)state;
	pick_part(p, item, &some, "1 of 2");
	assert_int_equal(plan_count(p), 2);
	assert_int_equal(plan_at(p, 0)->source, PLAN_FROM_STAGED);
	assert_string_equal(plan_at(p, 0)->from, "staged");
	assert_int_equal(plan_at(p, 0)->after.mode, 0644);
	assert_int_equal(plan_at(p, 1)->list, PLAN_HELD);
	pick_part(p, item, &mode, "mode only");
	assert_int_equal(plan_at(p, 0)->action, PLAN_CHMOD);
	assert_int_equal(plan_at(p, 0)->after.mode, 0755);
	assert_int_equal(plan_at(p, 0)->after.digest.bytes[0], 'a');
	drop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items), cmocka_unit_test(all_left),
		cmocka_unit_test(directories), cmocka_unit_test(part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
