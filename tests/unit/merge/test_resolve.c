/* Planned text merges become files, copies or nothing, as the policy says. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "merge/apply.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/reconcile.h"

struct place {
	char *dir;
	int top, root, theirs, staging;
	const char *base;	/* NULL: not kept */
	struct content content;
	struct apply_options o;
};

static int open_theirs(void *ctx, const char *path, const struct entry *want,
	GError **err)
{
	struct place *p = ctx;
	int fd = beneath_open(p->theirs, path, O_RDONLY, 0);

	(void)want;
	if (fd < 0)
		g_set_error(err, g_quark_from_static_string("t"), 1, "gone");
	return fd;
}

static void put(int dir, const char *name, const char *text)
{
	autofd int fd =
		beneath_open(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
}

static int open_base(void *ctx, const struct digest *digest)
{
	struct place *p = ctx;
	struct digest d;

	if (!p->base)
		return -ENOENT;
	digest_bytes(p->base, strlen(p->base), &d);
	if (!digest_equal(&d, digest))
		return -ENOENT;
	put(p->top, "base", p->base);
	return beneath_open(p->top, "base", O_RDONLY, 0);
}

static int sub(int top, const char *name)
{
	assert_int_equal(beneath_mkdir(top, name, 0755), 0);
	int fd = beneath_open(top, name, O_RDONLY | O_DIRECTORY, 0);

	assert_true(fd >= 0);
	return fd;
}

static void make(struct place *p)
{
	*p = (struct place){ .dir = g_dir_make_tmp("resolve-XXXXXX", NULL) };
	assert_non_null(p->dir);
	p->top = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->top >= 0);
	p->root = sub(p->top, "root");
	p->theirs = sub(p->top, "theirs");
	p->staging = sub(p->top, "staging");
	p->content = (struct content){ .open_theirs = open_theirs,
		.open_base = open_base, .ctx = p };
	p->o = (struct apply_options){ .root_fd = p->root, .trash_fd = -1,
		.staging_fd = p->staging, .id = "t", .name = "box",
		.content = &p->content, .no_sync = true };
}

static void drop(struct place *p)
{
	close(p->root);
	close(p->theirs);
	close(p->staging);
	for (const char *const *n = (const char *const[]){ "root", "theirs",
			"staging", "base", NULL }; *n; n++)
		beneath_remove_all(p->top, *n);
	close(p->top);
	assert_int_equal(rmdir(p->dir), 0);
	g_free(p->dir);
}

static struct entry file_of(const char *text)
{
	struct entry e = { .type = ENTRY_FILE, .mode = 0755,
		.size = (int64_t)strlen(text), .flags = ENTRY_HASHED };

	digest_bytes(text, strlen(text), &e.digest);
	return e;
}

static void expect(int dir, const char *name, const char *text)
{
	char buf[64] = "";
	autofd int fd = beneath_open(dir, name, O_RDONLY, 0);

	assert_true(fd >= 0);
	assert_true(io_read_full(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
}

static const struct row {
	const char *base, *ours, *theirs;
	bool kept;	/* the base's bytes */
	enum conflict_policy policy;
	enum plan_action action;
	enum plan_list list;
	enum plan_source source;
	const char *merged;	/* NULL: not merged */
} rows[] = {
	{ "a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n", true, CONFLICT_BOTH,
		PLAN_PUT, PLAN_MERGED, PLAN_FROM_STAGED, "A\nb\nc\nD\n" },
	/* Their change is a rename only: our bytes, text or not. */
	{ "a\n", "b\n", "a\n", false, CONFLICT_BOTH, PLAN_PUT, PLAN_MERGED,
		PLAN_FROM_STAGED, "b\n" },
	{ "a\n", "b\n", "c\n", true, CONFLICT_BOTH, PLAN_PUT, PLAN_CONFLICTS,
		PLAN_FROM_THEIRS, NULL },
	{ "a\n", "b\n", "c\n", true, CONFLICT_OURS, PLAN_REPORT,
		PLAN_KEPT_LOCAL, PLAN_FROM_THEIRS, NULL },
	{ "a\n", "b\n", "c\n", true, CONFLICT_THEIRS, PLAN_PUT, PLAN_APPLIED,
		PLAN_FROM_THEIRS, NULL },
	/* Without the ancestor nothing is merged. */
	{ "a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n", false,
		CONFLICT_BOTH, PLAN_PUT, PLAN_CONFLICTS, PLAN_FROM_THEIRS,
		NULL },
};

static struct plan *plan_of(const struct row *row)
{
	struct entry base = file_of(row->base), ours = file_of(row->ours),
		     theirs = file_of(row->theirs);
	struct plan *p = plan_new();
	struct plan_op *op = plan_add(p, PLAN_MERGE, "f");

	op->list = PLAN_MERGED;
	op->word = "merged";
	op->from = g_strdup("f");
	op->ours_path = g_strdup("f");
	op->copy = g_strdup("f.box.conflict");
	op->policy = (int)row->policy;
	plan_entry_set(&op->before, &ours);
	plan_entry_set(&op->after, &theirs);
	plan_entry_set(&op->base, &base);
	plan_entry_set(&op->ours, &ours);
	plan_entry_set(&op->theirs, &theirs);
	return p;
}

static void check(const struct row *row)
{
	g_autoptr(plan_auto) plan = plan_of(row);
	const struct plan_op *op = plan_at(plan, 0);
	GError *err = NULL;
	struct place p;

	make(&p);
	p.base = row->kept ? row->base : NULL;
	put(p.root, "f", row->ours);
	put(p.theirs, "f", row->theirs);
	assert_int_equal(resolve_plan(plan, &p.o, &err), 0);
	assert_int_equal(op->action, row->action);
	assert_int_equal(op->list, row->list);
	assert_int_equal(op->source, row->source);
	if (row->merged) {
		assert_string_equal(op->path, "f");
		assert_null(op->copy);
		assert_int_equal(op->after.size, strlen(row->merged));
		expect(p.staging, op->from, row->merged);
	}
	if (row->list == PLAN_CONFLICTS) {
		assert_string_equal(op->path, "f.box.conflict");
		assert_string_equal(op->subject, "f");
		/* A copy is never a program. */
		assert_int_equal(op->after.mode, 0644);
		assert_int_equal(op->before.type, ENTRY_ABSENT);
	}
	/* Only staging is written. */
	expect(p.root, "f", row->ours);
	drop(&p);
}

static void policies(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		check(&rows[i]);
}

/* No second copy of the same bytes; another name when the first is taken. */
static void copies(void **state)
{
	static const struct {
		const char *there;
		bool dropped;
		const char *path;
	} table[] = {
		{ "c\n", true, NULL },
		{ "other\n", false, "f.box.conflict2" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autoptr(plan_auto) plan = plan_of(&rows[2]);
		const struct plan_op *op = plan_at(plan, 0);
		struct place p;

		make(&p);
		p.base = "a\n";
		put(p.root, "f", "b\n");
		put(p.root, "f.box.conflict", table[i].there);
		put(p.theirs, "f", "c\n");
		assert_int_equal(resolve_plan(plan, &p.o, NULL), 0);
		assert_int_equal(op->action == PLAN_REPORT, table[i].dropped);
		if (table[i].path)
			assert_string_equal(op->path, table[i].path);
		expect(p.root, "f.box.conflict", table[i].there);
		drop(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
