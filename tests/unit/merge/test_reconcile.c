/*
 * All small trees through reconcile, carried out on a model: whatever the
 * combination, no content of either side is lost, a second run does nothing,
 * and nothing is deleted without a baseline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/reconcile.h"

enum state {
	ABSENT, FILE_A, FILE_B, FILE_A_X, LINK_1, LINK_2, DIR_EMPTY, DIR_CHILD,
	STATES
};

static struct entry file(const char *path, char content, unsigned mode)
{
	struct entry e = {
		.path = path, .type = ENTRY_FILE, .size = 1,
		.mode = (uint16_t)mode, .flags = ENTRY_HASHED,
	};

	e.digest.bytes[0] = (uint8_t)content;
	return e;
}

static void add_state(struct manifest *m, const char *path, enum state s,
	char child)
{
	g_autofree char *below = g_strconcat(path, "/c", NULL);
	struct entry e = { .path = path, .mode = 0755, .type = ENTRY_DIR };

	switch (s) {
	case ABSENT:
	case STATES:
		return;
	case FILE_A:
		e = file(path, 'a', 0644);
		break;
	case FILE_B:
		e = file(path, 'b', 0644);
		break;
	case FILE_A_X:
		e = file(path, 'a', 0755);
		break;
	case LINK_1:
		e = (struct entry){ .path = path, .type = ENTRY_LINK,
			.target = "one" };
		break;
	case LINK_2:
		e = (struct entry){ .path = path, .type = ENTRY_LINK,
			.target = "two" };
		break;
	case DIR_EMPTY:
		break;
	case DIR_CHILD:
		manifest_add(m, &e);
		e = file(below, child, 0644);
		break;
	}
	manifest_add(m, &e);
}

/* What one entry holds, as a word: "a", "b", "c", "->one", "dir". */
static char *content_of(const struct entry *e)
{
	if (e->type == ENTRY_LINK)
		return g_strconcat("->", e->target, NULL);
	if (e->type == ENTRY_DIR)
		return g_strdup("dir");
	return g_strdup_printf("%c", e->digest.bytes[0]);
}

struct model {
	GHashTable *tree;	/* path -> struct entry (path = key) */
	GPtrArray *trash;	/* contents */
};

static void free_entry(gpointer data)
{
	plan_entry_clear(data);
	g_free(data);
}

static void model_put(struct model *m, const char *path, const struct entry *e)
{
	struct entry *own = g_new0(struct entry, 1);

	plan_entry_set(own, e);
	g_hash_table_replace(m->tree, g_strdup(path), own);
}

static struct model model_of(const struct manifest *m)
{
	struct model model = {
		.tree = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, free_entry),
		.trash = g_ptr_array_new_with_free_func(g_free),
	};

	for (size_t i = 0; i < manifest_count(m); i++)
		model_put(&model, manifest_at(m, i)->path, manifest_at(m, i));
	return model;
}

static void model_free(struct model *m)
{
	g_hash_table_destroy(m->tree);
	g_ptr_array_free(m->trash, TRUE);
}

static bool has_children(struct model *m, const char *path)
{
	g_autofree char *prefix = g_strconcat(path, "/", NULL);
	GHashTableIter it;
	gpointer key;

	g_hash_table_iter_init(&it, m->tree);
	while (g_hash_table_iter_next(&it, &key, NULL))
		if (g_str_has_prefix(key, prefix))
			return true;
	return false;
}

static void model_trash(struct model *m, const char *path)
{
	struct entry *old = g_hash_table_lookup(m->tree, path);

	if (old)
		g_ptr_array_add(m->trash, content_of(old));
	g_hash_table_remove(m->tree, path);
}

/* Carries out one operation as apply_plan() would; texts never merge here. */
static void model_apply(struct model *m, struct plan_op *op)
{
	const struct entry *now = g_hash_table_lookup(m->tree, op->path);

	op->outcome = PLAN_DONE;
	switch (op->action) {
	case PLAN_REPORT:
	case PLAN_GIT:
		return;
	case PLAN_MERGE:
		/* A pure rename of theirs takes our bytes along. */
		if (digest_equal(&op->theirs.digest, &op->base.digest)) {
			model_trash(m, op->path);
			model_put(m, op->path, &op->ours);
			return;
		}
		op->list = PLAN_CONFLICTS;
		model_put(m, op->copy, &op->theirs);
		return;
	case PLAN_MKDIR:
		if (now && now->type == ENTRY_DIR)
			return;
		model_trash(m, op->path);
		model_put(m, op->path, &op->after);
		return;
	case PLAN_PUT:
		if (now) {
			assert_int_equal(now->type, op->before.type);
			assert_false(has_children(m, op->path));
		} else {
			assert_int_equal(op->before.type, ENTRY_ABSENT);
		}
		model_trash(m, op->path);
		model_put(m, op->path, &op->after);
		return;
	case PLAN_CHMOD:
		assert_non_null(now);
		((struct entry *)now)->mode = op->after.mode;
		return;
	case PLAN_DELETE:
		assert_non_null(now);
		assert_false(has_children(m, op->path));
		model_trash(m, op->path);
		return;
	}
}

static struct manifest *manifest_of(struct model *m)
{
	struct manifest *out = manifest_new();
	GHashTableIter it;
	gpointer key, value;

	g_hash_table_iter_init(&it, m->tree);
	while (g_hash_table_iter_next(&it, &key, &value)) {
		struct entry e = *(struct entry *)value;

		e.path = key;
		manifest_add(out, &e);
	}
	manifest_sort(out);
	return out;
}

static bool is_in_tree(struct model *m, const char *content)
{
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, m->tree);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		g_autofree char *own = content_of(value);

		if (!strcmp(own, content))
			return true;
	}
	return false;
}

static bool is_in_trash(const struct model *m, const char *content)
{
	return g_ptr_array_find_with_equal_func(
		m->trash, content, g_str_equal, NULL);
}

static bool manifest_holds(const struct manifest *m, const char *content)
{
	for (size_t i = 0; i < manifest_count(m); i++) {
		g_autofree char *own = content_of(manifest_at(m, i));

		if (!strcmp(own, content))
			return true;
	}
	return false;
}

static void check_nothing_lost(struct model *m, const struct manifest *base,
	const struct manifest *ours, const struct manifest *theirs,
	const char *what)
{
	for (size_t i = 0; i < manifest_count(ours); i++) {
		g_autofree char *c = content_of(manifest_at(ours, i));

		if (strcmp(c, "dir") && !is_in_tree(m, c) &&
			!is_in_trash(m, c))
			fail_msg("%s: ours \"%s\" is lost", what, c);
	}
	for (size_t i = 0; i < manifest_count(theirs); i++) {
		g_autofree char *c = content_of(manifest_at(theirs, i));

		if (strcmp(c, "dir") && !is_in_tree(m, c) &&
			!manifest_holds(base, c))
			fail_msg("%s: theirs \"%s\" is lost", what, c);
	}
}

static size_t count_writes(const struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < plan_count(p); i++)
		n += plan_at(p, i)->action != PLAN_REPORT;
	return n;
}

static struct reconcile_input input_of(const struct manifest *base,
	const struct manifest *ours, const struct manifest *theirs)
{
	return (struct reconcile_input){
		.base_ours = base, .base_theirs = base, .ours = ours,
		.theirs = theirs, .name = "box", .remote_cwd = "/ws",
		.gates = { .allow_deletes = true },
	};
}

static void check_case(const struct manifest *base,
	const struct manifest *ours, const struct manifest *theirs,
	const char *what)
{
	struct reconcile_input in = input_of(base, ours, theirs);
	g_autoptr(plan_auto) plan = reconcile(&in);
	g_autoptr(plan_auto) again = NULL;
	struct model m = model_of(ours);
	g_autoptr(manifest_auto) now = NULL;
	g_autoptr(manifest_auto) base_o = NULL;
	g_autoptr(manifest_auto) base_t = NULL;

	for (size_t i = 0; i < plan_count(plan); i++)
		model_apply(&m, plan_at(plan, i));
	check_nothing_lost(&m, base, ours, theirs, what);
	now = manifest_of(&m);
	reconcile_rebase(&in, plan, now, &base_o, &base_t);
	in.base_ours = base_o;
	in.base_theirs = base_t;
	in.ours = now;
	again = reconcile(&in);
	if (count_writes(again)) {
		g_autofree char *first = plan_to_text(plan);
		g_autofree char *second = plan_to_text(again);

		fail_msg("%s: not idempotent:\n%s-- then --\n%s", what, first,
			second);
	}
	model_free(&m);
}

static struct manifest *one(const char *p, enum state sp, char cp,
	const char *q, enum state sq, char cq)
{
	struct manifest *m = manifest_new();

	if (p)
		add_state(m, p, sp, cp);
	if (q)
		add_state(m, q, sq, cq);
	/* So that no side's root is ever empty. */
	struct entry keep = file("keep", 'k', 0644);

	manifest_add(m, &keep);
	manifest_sort(m);
	return m;
}

static void all_states_of_one_path(void **state)
{
	(void)state;
	for (int b = 0; b < STATES; b++)
		for (int o = 0; o < STATES; o++)
			for (int t = 0; t < STATES; t++) {
				g_autofree char *what = g_strdup_printf(
					"base %d ours %d theirs %d", b, o, t);
				g_autoptr(manifest_auto) mb =
					one("p", b, 'c', NULL, 0, 0);
				g_autoptr(manifest_auto) mo =
					one("p", o, 'd', NULL, 0, 0);
				g_autoptr(manifest_auto) mt =
					one("p", t, 'e', NULL, 0, 0);
				g_autoptr(manifest_auto) mo_same =
					one("p", o, 'c', NULL, 0, 0);
				g_autoptr(manifest_auto) mt_same =
					one("p", t, 'c', NULL, 0, 0);

				check_case(mb, mo, mt, what);
				check_case(mb, mo_same, mt, what);
				check_case(mb, mo, mt_same, what);
				check_case(mb, mo_same, mt_same, what);
			}
}

/* Two paths, so that renames and names that share a beginning meet. */
static void pairs_of_paths(void **state)
{
	static const enum state few[] = { ABSENT, FILE_A, FILE_B, DIR_CHILD };
	enum { N = G_N_ELEMENTS(few), ALL = N * N * N * N * N * N };

	(void)state;
	for (int i = 0; i < ALL; i++) {
		int k = i, s[6];

		for (int j = 0; j < 6; j++, k /= N)
			s[j] = few[k % N];
		g_autofree char *what = g_strdup_printf(
			"base %d,%d ours %d,%d theirs %d,%d", s[0], s[1], s[2],
			s[3], s[4], s[5]);
		g_autoptr(manifest_auto) mb =
			one("p", s[0], 'c', "p-2", s[1], 'x');
		g_autoptr(manifest_auto) mo =
			one("p", s[2], 'd', "p-2", s[3], 'x');
		g_autoptr(manifest_auto) mt =
			one("p", s[4], 'e', "p-2", s[5], 'x');

		check_case(mb, mo, mt, what);
	}
}

/* The same change on both sides is nothing; only one side's change gives the
 * same tree whichever side it was. */
static void symmetry(void **state)
{
	(void)state;
	for (int b = 0; b < STATES; b++)
		for (int x = 0; x < STATES; x++) {
			g_autoptr(manifest_auto) base =
				one("p", b, 'c', NULL, 0, 0);
			g_autoptr(manifest_auto) made =
				one("p", x, 'c', NULL, 0, 0);
			struct reconcile_input both =
				input_of(base, made, made);
			struct reconcile_input theirs =
				input_of(base, base, made);
			struct reconcile_input ours =
				input_of(base, made, base);
			g_autoptr(plan_auto) p_both = reconcile(&both);
			g_autoptr(plan_auto) p_theirs = reconcile(&theirs);
			g_autoptr(plan_auto) p_ours = reconcile(&ours);
			struct model m = model_of(base);
			g_autoptr(manifest_auto) now = NULL;

			assert_int_equal(count_writes(p_both), 0);
			assert_int_equal(count_writes(p_ours), 0);
			for (size_t i = 0; i < plan_count(p_theirs); i++)
				model_apply(&m, plan_at(p_theirs, i));
			now = manifest_of(&m);
			assert_int_equal(
				manifest_count(now), manifest_count(made));
			for (size_t i = 0; i < manifest_count(now); i++) {
				g_autofree char *a =
					content_of(manifest_at(now, i));
				g_autofree char *c =
					content_of(manifest_at(made, i));

				assert_string_equal(a, c);
			}
			model_free(&m);
		}
}

/* Without a baseline nothing is deleted, whatever the sides look like. */
static void no_deletion_without_a_base(void **state)
{
	g_autoptr(manifest_auto) none = manifest_new();

	(void)state;
	manifest_sort(none);
	for (int o = 0; o < STATES; o++)
		for (int t = 0; t < STATES; t++) {
			g_autoptr(manifest_auto) mo =
				one("p", o, 'd', NULL, 0, 0);
			g_autoptr(manifest_auto) mt =
				one("p", t, 'e', NULL, 0, 0);
			struct reconcile_input in = input_of(none, mo, mt);

			in.gates = (struct reconcile_gates){
				.base_damaged = true };
			g_autoptr(plan_auto) p = reconcile(&in);

			for (size_t i = 0; i < plan_count(p); i++)
				assert_int_not_equal(plan_at(p, i)->action,
					PLAN_DELETE);
			assert_int_equal(plan_exit_code(p), 4);
		}
}

static void gates(void **state)
{
	static const struct {
		struct reconcile_gates gates;
		int files, deleted;
		bool held;
	} rows[] = {
		{ { 0 }, 200, 40, false },
		{ { 0 }, 200, 51, true },
		{ { 0 }, 300, 75, false },
		{ { 0 }, 300, 76, true },
		{ { .allow_deletes = true }, 200, 180, false },
		{ { .theirs_replaced = true }, 200, 1, true },
		{ { .listing_incomplete = true }, 200, 1, true },
		{ { .ours_replaced = true, .allow_deletes = true }, 200, 1,
			true },
		{ { 0 }, 2, 2, true },	/* emptied */
		{ { 0 }, 1, 1, false },
	};

	(void)state;
	for (size_t k = 0; k < G_N_ELEMENTS(rows); k++) {
		g_autoptr(manifest_auto) base = manifest_new();
		g_autoptr(manifest_auto) theirs = manifest_new();

		for (int i = 0; i < rows[k].files; i++) {
			g_autofree char *path = g_strdup_printf("f%d", i);
			struct entry e = file(path, (char)(i % 100), 0644);

			manifest_add(base, &e);
			if (i >= rows[k].deleted)
				manifest_add(theirs, &e);
		}
		manifest_sort(base);
		manifest_sort(theirs);
		struct reconcile_input in = input_of(base, base, theirs);

		in.gates = rows[k].gates;
		g_autoptr(plan_auto) p = reconcile(&in);

		assert_int_equal(plan_list_count(p, PLAN_DELETED),
			rows[k].held ? 0 : rows[k].deleted);
		assert_int_equal(plan_list_count(p, PLAN_HELD),
			rows[k].held ? rows[k].deleted : 0);
		assert_int_equal(p->gated, rows[k].held);
		assert_int_equal(plan_exit_code(p), rows[k].held ? 4 : 0);
	}
}

static void copy_names(void **state)
{
	static const struct {
		const char *path;
		unsigned k, max;
		const char *copy;
	} rows[] = {
		{ "a.c", 1, 0, "a.c.box.conflict" },
		{ "d/a.c", 2, 0, "d/a.c.box.conflict2" },
		{ "d.d/a", 11, 0, "d.d/a.box.conflict11" },
	};
	g_autofree char *name = g_strnfill(250, 'n');

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *copy = conflict_copy_path(
			rows[i].path, "box", rows[i].k, rows[i].max);

		assert_string_equal(copy, rows[i].copy);
		assert_true(is_conflict_copy(copy));
	}
	g_autofree char *cut = conflict_copy_path(name, "box", 1, 255);

	assert_int_equal(strlen(cut), 255);
	assert_true(is_conflict_copy(cut));
	assert_false(is_conflict_copy("a.conflict.c"));
	assert_false(is_conflict_copy("conflict"));
}

static void held_paths(void **state)
{
	static const struct {
		const char *path;
		bool held;
	} rows[] = {
		{ ".git/hooks/pre-commit", true },
		{ "a/b/.git/hooks/x", true },
		{ ".git/config", true },
		{ ".git/configs", false },
		{ ".git/modules/sub/config", true },
		{ ".git/modules/sub/hooks/post-checkout", true },
		{ ".git/worktrees/w/commondir", true },
		{ ".git/commondir", true },
		{ ".git/config.worktree", true },
		{ "sub/.git", true },
		{ ".git/refs/heads/config", false },
		{ ".git/modules/sub/refs/heads/hooks/x", false },
		{ ".git/logs/refs/heads/config", false },
		{ ".git/modules/sub/HEAD", false },
		{ "a.git", false },
		{ "x.git/config", false },
		{ ".envrc", true },
		{ "deep/.envrc", true },
		{ "my.envrc", false },
		{ ".vscode/tasks.json", true },
		{ ".vscode/other.json", false },
		{ ".husky/pre-push", true },
		{ ".mcp.json", true },
		{ ".git/HEAD", false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		assert_int_equal(reconcile_is_held(NULL, rows[i].path),
			rows[i].held);
}

/* Rows 52 and 55: names that our file system cannot tell apart, or take. Both
 * versions are kept, under a name that it can. */
static void names_refused_here(void **state)
{
	static const struct {
		const char *ours, *theirs;
		bool fold;
		unsigned name_max;
		bool copied;
	} rows[] = {
		{ "readme", "README", false, 255, false },
		{ "readme", "README", true, 255, true },
		{ "d/readme", "d/ReadMe", true, 255, true },
		{ "readme", "other", true, 255, false },
		{ "x", "a-name-of-more-than-forty-bytes-altogether.txt", false,
			40, true },
		{ "x", "a-name-of-more-than-forty-bytes-altogether.txt", false,
			255, false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct entry dir = { .path = "d", .type = ENTRY_DIR,
			.mode = 0755 };
		struct entry a = file(rows[i].ours, 'a', 0644);
		struct entry b = file(rows[i].theirs, 'b', 0644);
		g_autoptr(manifest_auto) base = manifest_new();
		g_autoptr(manifest_auto) ours = manifest_new();
		g_autoptr(manifest_auto) theirs = manifest_new();
		g_autoptr(plan_auto) p = NULL;
		struct reconcile_input in;
		unsigned puts = 0;

		manifest_add(base, &dir);
		manifest_add(ours, &dir);
		manifest_add(theirs, &dir);
		manifest_add(ours, &a);
		manifest_add(theirs, &b);
		manifest_sort(base);
		manifest_sort(ours);
		manifest_sort(theirs);
		in = input_of(base, ours, theirs);
		in.fold_case = rows[i].fold;
		in.name_max = rows[i].name_max;
		p = reconcile(&in);
		for (size_t k = 0; k < plan_count(p); k++) {
			const struct plan_op *op = plan_at(p, k);
			const char *name = strrchr(op->path, '/');

			if (op->action != PLAN_PUT)
				continue;
			puts++;
			name = name ? name + 1 : op->path;
			assert_true(strlen(name) <= rows[i].name_max);
			assert_int_equal(g_ascii_strcasecmp(op->path,
				rows[i].theirs) == 0, !rows[i].copied);
			if (rows[i].copied)
				assert_string_equal(
					op->subject, rows[i].theirs);
		}
		assert_int_equal(puts, 1);
		assert_int_equal(plan_list_count(p, PLAN_CONFLICTS),
			rows[i].copied);
		assert_int_equal(plan_exit_code(p), rows[i].copied ? 3 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_states_of_one_path),
		cmocka_unit_test(pairs_of_paths),
		cmocka_unit_test(symmetry),
		cmocka_unit_test(no_deletion_without_a_base),
		cmocka_unit_test(gates),
		cmocka_unit_test(copy_names),
		cmocka_unit_test(held_paths),
		cmocka_unit_test(names_refused_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
