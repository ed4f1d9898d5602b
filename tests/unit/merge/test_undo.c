/* Undo, whole and after it was killed at each of its steps. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/apply.h"
#include "merge/lib/beneath.h"

#define TEMP ".sandmount-undo-0.tmp"

/* "a" held "old"; a restore made it "new" and moved "old" to the trash. */
struct place {
	char *top;
	int top_fd, root_fd, trash_fd;
	struct plan *plan;
	struct plan *result;
};

static void put(int dir, const char *name, const char *text)
{
	int fd = beneath_open(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void expect(int dir, const char *name, const char *text)
{
	int fd = beneath_open(dir, name, O_RDONLY, 0);
	char buf[64] = "";

	if (!text) {
		assert_true(fd < 0);
		return;
	}
	assert_true(fd >= 0);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
	close(fd);
}

/* The entry of what is at NAME now, with its digest. */
static void describe(int dir, const char *name, struct entry *e)
{
	struct hasher *h = hasher_new();
	struct stat st;
	char buf[64];
	int fd = beneath_open(dir, name, O_RDONLY, 0);
	ssize_t n;

	assert_int_equal(beneath_stat(dir, name, &st), 0);
	n = read(fd, buf, sizeof(buf));
	assert_true(n >= 0);
	close(fd);
	entry_from_stat(e, &st);
	hasher_update(h, buf, (size_t)n);
	hasher_final(h, &e->digest);
	hasher_free(h);
	e->flags |= ENTRY_HASHED;
}

static int make_dir(struct place *p, const char *name)
{
	assert_int_equal(beneath_mkdir(p->top_fd, name, 0700), 0);
	return beneath_open(p->top_fd, name, O_RDONLY | O_DIRECTORY, 0);
}

static void set_up(struct place *p)
{
	struct plan_op *op;

	*p = (struct place){ .top = g_dir_make_tmp("undo-XXXXXX", NULL) };
	assert_non_null(p->top);
	p->top_fd = open(p->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->root_fd = make_dir(p, "root");
	p->trash_fd = make_dir(p, "trash");
	put(p->trash_fd, "a", "old");
	put(p->root_fd, "a", "new");
	p->plan = plan_new();
	op = plan_add(p->plan, PLAN_PUT, "a");
	op->outcome = PLAN_DONE;
	op->list = PLAN_APPLIED;
	op->kind = "file";
	op->trash = g_strdup("a");
	describe(p->trash_fd, "a", &op->before);
	describe(p->root_fd, "a", &op->after);
	op->now = op->after;
}

static void tear_down(struct place *p)
{
	g_autofree char *parent = g_path_get_dirname(p->top);
	g_autofree char *name = g_path_get_basename(p->top);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	plan_free(p->plan);
	plan_free(p->result);
	close(p->trash_fd);
	close(p->root_fd);
	close(p->top_fd);
	assert_int_equal(beneath_remove_all(fd, name), 0);
	close(fd);
	g_free(p->top);
}

/* Runs the undo; the one line of its report is in LIST. */
static void undo(struct place *p, enum plan_list list)
{
	const struct apply_options o = {
		.root_fd = p->root_fd, .trash_fd = p->trash_fd,
		.staging_fd = p->trash_fd, .id = "undo", .name = "box",
	};

	plan_free(p->result);
	p->result = NULL;
	assert_int_equal(undo_plan(p->plan, &o, &p->result, NULL), 0);
	assert_int_equal(plan_count(p->result), 1);
	assert_int_equal(plan_at(p->result, 0)->list, list);
}

static void puts_back(void **state)
{
	struct place p;

	(void)state;
	set_up(&p);
	undo(&p, PLAN_APPLIED);
	expect(p.root_fd, "a", "old");
	expect(p.root_fd, TEMP, NULL);
	/* Once more changes nothing. */
	undo(&p, PLAN_APPLIED);
	expect(p.root_fd, "a", "old");
	tear_down(&p);
}

static void goes_on_before_the_exchange(void **state)
{
	struct place p;

	(void)state;
	set_up(&p);
	/* The old version is nowhere else any more. */
	assert_int_equal(
		beneath_rename(p.trash_fd, "a", p.root_fd, TEMP, 0), 0);
	undo(&p, PLAN_APPLIED);
	expect(p.root_fd, "a", "old");
	expect(p.root_fd, TEMP, NULL);
	tear_down(&p);
}

static void goes_on_after_the_exchange(void **state)
{
	struct place p;

	(void)state;
	set_up(&p);
	assert_int_equal(
		beneath_rename(p.root_fd, "a", p.root_fd, TEMP, 0), 0);
	assert_int_equal(
		beneath_rename(p.trash_fd, "a", p.root_fd, "a", 0), 0);
	undo(&p, PLAN_APPLIED);
	expect(p.root_fd, "a", "old");
	expect(p.root_fd, TEMP, NULL);
	tear_down(&p);
}

static void replaces_a_cut_off_copy(void **state)
{
	struct place p;

	(void)state;
	set_up(&p);
	put(p.root_fd, TEMP, "o");
	undo(&p, PLAN_APPLIED);
	expect(p.root_fd, "a", "old");
	expect(p.root_fd, TEMP, NULL);
	tear_down(&p);
}

static void leaves_newer_work(void **state)
{
	struct place p;

	(void)state;
	set_up(&p);
	put(p.root_fd, "a", "newer");
	undo(&p, PLAN_HELD);
	expect(p.root_fd, "a", "newer");
	expect(p.trash_fd, "a", "old");
	tear_down(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_back),
		cmocka_unit_test(goes_on_before_the_exchange),
		cmocka_unit_test(goes_on_after_the_exchange),
		cmocka_unit_test(replaces_a_cut_off_copy),
		cmocka_unit_test(leaves_newer_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
