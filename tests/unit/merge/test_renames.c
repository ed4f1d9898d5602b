/* Renames: rows 46 to 51, by equal bytes and as facts; and all small trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "merge/reconcile.h"

/* A tree in words: "path" a directory, "path=c" a file of content c, "path=c*"
 * an executable one. */
static struct manifest *tree_of(const char *words)
{
	struct manifest *m = manifest_new();
	g_auto(GStrv) list = g_strsplit(words, " ", -1);

	for (char **w = list; *w; w++) {
		struct entry e = { .path = *w, .type = ENTRY_DIR,
			.mode = 0755 };
		char *at = strchr(*w, '=');

		if (!**w)
			continue;
		if (at) {
			*at = '\0';
			e.type = ENTRY_FILE;
			e.size = 1;
			e.flags = ENTRY_HASHED;
			e.digest.bytes[0] = (uint8_t)at[1];
			e.mode = at[2] ? 0755 : 0644;
		}
		manifest_add(m, &e);
	}
	manifest_sort(m);
	return m;
}

struct trees {
	struct manifest *base, *ours, *theirs;
	struct reconcile_move moves[4];
	struct reconcile_input in;
	GStrv words;
};

static void init(struct trees *t, const char *base, const char *ours,
	const char *theirs, const char *moves)
{
	*t = (struct trees){ .base = tree_of(base), .ours = tree_of(ours),
		.theirs = tree_of(theirs) };
	t->words = g_strsplit(moves, " ", -1);
	t->in = (struct reconcile_input){
		.base_ours = t->base, .base_theirs = t->base,
		.ours = t->ours, .theirs = t->theirs, .name = "box",
		.remote_cwd = "/w", .moves = t->moves,
		.gates = { .allow_deletes = true },
	};
	for (char **w = t->words; *w; w++) {
		char *at = strchr(*w, '>');

		if (!at)
			continue;
		*at = '\0';
		t->moves[t->in.move_count++] =
			(struct reconcile_move){ *w, at + 1 };
	}
}

static void drop(struct trees *t)
{
	manifest_free(t->base);
	manifest_free(t->ours);
	manifest_free(t->theirs);
	g_strfreev(t->words);
}

static char *acts(const struct plan *p)
{
	static const char *const names[] = {
		[PLAN_REPORT] = "keep", [PLAN_MKDIR] = "mkdir",
		[PLAN_PUT] = "put", [PLAN_CHMOD] = "chmod",
		[PLAN_DELETE] = "delete", [PLAN_MERGE] = "merge",
		[PLAN_GIT] = "git",
	};
	GString *s = g_string_new(NULL);

	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		g_string_append_printf(s, "%s%s %s", i ? ", " : "",
			names[op->action], op->path);
		if (op->ours_path && strcmp(op->ours_path, op->path))
			g_string_append_printf(s, " with %s", op->ours_path);
		else if (op->from && strcmp(op->from, op->path))
			g_string_append_printf(s, " from %s", op->from);
	}
	return g_string_free(s, FALSE);
}

static const struct row {
	const char *base, *ours, *theirs, *moves, *plan;
} rows[] = {
	/* 46: by equal bytes, in either order of the names. */
	{ "f=a", "g=a", "f=b", "", "put g from f" },
	{ "f=a", "e=a", "f=b", "", "put e from f" },
	/* 47: equal bytes need no fact. */
	{ "f=a", "f=b", "g=a", "", "merge g with f, delete f" },
	{ "f=a", "f=b", "e=a", "", "merge e with f, delete f" },
	/* 47: they changed it, too: only a fact tells. */
	{ "f=a", "f=b", "g=c", "", "keep f, put g" },
	{ "f=a", "f=b", "g=c", "f>g", "merge g with f, delete f" },
	{ "f=a", "f=b", "e=c", "f>e", "merge e with f, delete f" },
	{ "f=a", "f=b", "d d/g=c", "f>d/g",
		"mkdir d, merge d/g with f, delete f" },
	{ "f=a", "f=a*", "g=c", "f>g", "put g with f, delete f" },
	{ "f=a", "f=a", "g=c", "f>g", "put g, delete f" },
	{ "f=a", "", "g=c", "f>g", "put g" },
	/* By several steps; and one that ended elsewhere than the file. */
	{ "f=a", "f=b", "h=c", "f>g g>h", "merge h with f, delete f" },
	{ "f=a", "f=b", "h=c", "f>g", "keep f, put h" },
	{ "f=a", "f=b", "f=c g=d", "f>g", "merge f, put g" },
	/* Something else was moved over it. */
	{ "e=x f=a", "e=x f=b", "g=c", "f>g e>g", "keep f, put g, delete e" },
	{ "e=x f=a", "e=y f=a", "g=c", "f>g e>g",
		"merge g with e, delete f, delete e" },
	/* 48 */
	{ "f=a", "g=a", "h=c", "f>h", "put h" },
	/* Both to the same name. */
	{ "f=a", "g=b", "g=c", "f>g", "merge g" },
	{ "f=a", "e=b", "e=a", "f>e", "merge e" },
	{ "f=a", "g=b", "g=b", "f>g", "" },
	{ "f=a", "g=b", "g=c", "", "put g.box.conflict from g" },
	/* 49, 50: directories. */
	{ "d d/x=a", "d d/new=n d/x=a", "e e/x=a", "d>e",
		"keep d/new, mkdir e, put e/x, delete d/x" },
	{ "d d/x=a", "d d/x=b", "e e/x=c", "d>e",
		"mkdir e, merge e/x with d/x, delete d/x, delete d" },
	{ "d d/x=a", "d d/x=b", "e e/y=c", "d>e e/x>e/y",
		"mkdir e, merge e/y with d/x, delete d/x, delete d" },
	/* 51 */
	{ "f=a", "f=b g=z", "g=c", "f>g", "keep f, put g.box.conflict from g" },
	/* Something is in the way here; held for review. */
	{ "f=a", "d=z f=b", "d d/g=c", "f>d/g", NULL },
	{ "f=a", "f=b", ".envrc=c", "f>.envrc", "keep .envrc, keep f" },
};

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct trees t;

		init(&t, rows[i].base, rows[i].ours, rows[i].theirs,
			rows[i].moves);
		g_autoptr(plan_auto) p = reconcile(&t.in);
		g_autofree char *text = acts(p);

		if (rows[i].plan)
			assert_string_equal(text, rows[i].plan);
		drop(&t);
	}
}

/* --- all small trees ----------------------------------------------------------- */

/* The plan carried out: what is where, and all that is anywhere. */
struct model {
	GHashTable *tree;	/* path -> content (as a pointer) */
	bool somewhere[256];	/* contents in the tree, a merge or the trash */
};

static struct manifest *carry_out(struct trees *t, const struct plan *p,
	struct model *m)
{
	struct manifest *after = manifest_new();
	GHashTableIter it;
	gpointer path, content;

	m->tree = g_hash_table_new(g_str_hash, g_str_equal);
	for (size_t i = 0; i < manifest_count(t->ours); i++) {
		const struct entry *e = manifest_at(t->ours, i);

		g_hash_table_insert(m->tree, (gpointer)e->path,
			GUINT_TO_POINTER(e->digest.bytes[0]));
	}
	for (size_t i = 0; i < plan_count(p); i++) {
		struct plan_op *op = plan_at(p, i);
		unsigned made = op->after.digest.bytes[0];
		gpointer was;

		op->outcome = PLAN_DONE;
		if (op->action == PLAN_MERGE) {
			unsigned b = op->base.digest.bytes[0];
			unsigned o = op->ours.digest.bytes[0];
			unsigned x = op->theirs.digest.bytes[0];

			/* Capital: of both. */
			made = o == b ? x : x == b ? o : 'M';
			m->somewhere[o] = m->somewhere[x] = true;
		}
		was = g_hash_table_lookup(m->tree, op->path);
		if (op->action != PLAN_REPORT && was)
			m->somewhere[GPOINTER_TO_UINT(was)] = true;
		if (op->action == PLAN_DELETE)
			g_hash_table_remove(m->tree, op->path);
		else if (op->action == PLAN_PUT || op->action == PLAN_MERGE)
			g_hash_table_insert(m->tree, op->path,
				GUINT_TO_POINTER(made));
	}
	g_hash_table_iter_init(&it, m->tree);
	while (g_hash_table_iter_next(&it, &path, &content)) {
		struct entry e = { .path = path, .type = ENTRY_FILE, .size = 1,
			.flags = ENTRY_HASHED, .mode = 0644 };

		e.digest.bytes[0] = (uint8_t)GPOINTER_TO_UINT(content);
		m->somewhere[e.digest.bytes[0]] = true;
		manifest_add(after, &e);
	}
	manifest_sort(after);
	g_hash_table_destroy(m->tree);
	return after;
}

static void expect_kept(const struct manifest *side, const struct model *m,
	const char *what)
{
	for (size_t i = 0; i < manifest_count(side); i++) {
		unsigned c = manifest_at(side, i)->digest.bytes[0];

		if (!m->somewhere[c])
			fail_msg("%s: content %c is lost", what, c);
	}
}

static void expect_one_op_a_path(const struct plan *p, const char *what)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);

		if (op->action != PLAN_REPORT &&
			!g_hash_table_add(seen, op->path))
			fail_msg("%s: two operations on %s", what, op->path);
	}
}

static void check(const char *base, const char *ours, const char *theirs,
	const char *moves)
{
	g_autofree char *what = g_strdup_printf("base %s, ours %s, theirs %s, "
		"moves %s", base, ours, theirs, moves);
	struct manifest *after, *bo, *bt;
	struct model m = { 0 };
	struct trees t;

	init(&t, base, ours, theirs, moves);
	g_autoptr(plan_auto) p = reconcile(&t.in);

	expect_one_op_a_path(p, what);
	after = carry_out(&t, p, &m);
	expect_kept(t.ours, &m, what);
	/* Of theirs what they made; that they still have what we changed or
	 * deleted is no loss. */
	for (size_t i = 0; i < manifest_count(t.theirs); i++) {
		unsigned c = manifest_at(t.theirs, i)->digest.bytes[0];

		if (c >= 'm' && !m.somewhere[c])
			fail_msg("%s: content %c is lost", what, c);
	}
	reconcile_rebase(&t.in, p, after, &bo, &bt);
	t.in.base_ours = bo;
	t.in.base_theirs = bt;
	t.in.ours = after;
	g_autoptr(plan_auto) again = reconcile(&t.in);

	for (size_t i = 0; i < plan_count(again); i++)
		if (plan_at(again, i)->action != PLAN_REPORT)
			fail_msg("%s: a second run does something", what);
	manifest_free(after);
	manifest_free(bo);
	manifest_free(bt);
	drop(&t);
}

/* Three names; each side has at each nothing, one of the baseline's two
 * contents, or something of its own; and every list of up to two moves. */
static char *side(unsigned k, const char *contents)
{
	static const char names[] = "fgh";
	GString *s = g_string_new(NULL);

	for (unsigned n = 0; n < 3; n++, k /= 4)
		if (k % 4)
			g_string_append_printf(s, "%s%c=%c", s->len ? " " : "",
				names[n], contents[n * 3 + k % 4 - 1]);
	return g_string_free(s, FALSE);
}

static void small_trees(void **state)
{
	static const char *const bases[] = { "f=a", "f=a g=b", "h=a",
		"f=a g=b h=c", "g=a h=a" };
	static const char *const moves[] = { "", "f>g", "f>h", "g>f", "h>f",
		"h>g", "f>g g>h", "f>h g>f", "g>h f>g", "h>g g>f", "f>g f>h" };

	(void)state;
	for (size_t b = 0; b < G_N_ELEMENTS(bases); b++)
		for (size_t v = 0; v < G_N_ELEMENTS(moves); v++)
			for (unsigned o = 0; o < 64; o++)
				for (unsigned t = 0; t < 64; t++) {
					/* Own contents differ by name. */
					g_autofree char *ours =
						side(o, "abiabjabk");
					g_autofree char *theirs =
						side(t, "abmabnabo");

					check(bases[b], ours, theirs,
						moves[v]);
				}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table), cmocka_unit_test(small_trees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
