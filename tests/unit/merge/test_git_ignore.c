/* What libgit2 is asked, and what it must never see. */
#include "merge/git_ignore.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "merge/git_guard.h"
#include "merge/lib/beneath.h"

struct place {
	char *dir;
	struct git_ignore *g;
};

static void put(const struct place *p, const char *name, const char *text,
	size_t len)
{
	g_autofree char *path = g_build_filename(p->dir, name, NULL);
	g_autofree char *above = g_path_get_dirname(path);

	assert_int_equal(g_mkdir_with_parents(above, 0755), 0);
	assert_true(g_file_set_contents(path, text, len, NULL));
}

static void put_text(const struct place *p, const char *name, const char *text)
{
	put(p, name, text, strlen(text));
}

static void place_init(struct place *p)
{
	p->dir = g_dir_make_tmp("ignore-XXXXXX", NULL);
	assert_non_null(p->dir);
	p->g = NULL;
}

static void start(struct place *p)
{
	p->g = git_ignore_new(p->dir, NULL);
	assert_non_null(p->g);
}

static void place_release(struct place *p)
{
	g_autofree char *above = g_path_get_dirname(p->dir);
	g_autofree char *name = g_path_get_basename(p->dir);
	int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	git_ignore_free(p->g);
	assert_int_equal(beneath_remove_all(fd, name), 0);
	close(fd);
	g_free(p->dir);
}

static void follows_the_rules(void **state)
{
	static const struct {
		const char *path;
		bool is_dir, ignored;
	} rows[] = {
		{ "a.o", false, true },
		{ "sub/a.o", false, true },
		{ "keep.o", false, false },
		{ "build", true, true },
		{ "build", false, false },
		{ "sub/deep", false, true },
		{ "deep", false, false },
		{ "sub/a.x", false, true },
		{ "sub/back.x", false, false },
		{ "back.x", false, false },
		{ "private", false, true },
		{ ".git", true, false },
		{ ".git/x.o", false, false },
		{ "sub/.git/x.o", false, false },
		{ ".gitignore", false, false },
		{ "x.git/a.o", false, true },
		{ "none/below/a.o", false, true },
	};
	struct place p;

	(void)state;
	place_init(&p);
	put_text(&p, ".gitignore", "*.o\n!keep.o\nbuild/\n");
	put_text(&p, "sub/.gitignore", "/deep\n*.x\n!back.x\n");
	put_text(&p, ".git/info/exclude", "private\n");
	start(&p);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (git_ignore_match(p.g, rows[i].path, rows[i].is_dir) !=
			rows[i].ignored)
			fail_msg("row %zu: %s", i, rows[i].path);
	place_release(&p);
}

#define TEXT(t) t, sizeof(t) - 1

/* The first rows end a process that gives them to libgit2 1.5. */
static const struct {
	const char *text;
	size_t len;
	bool allowed;
} texts[] = {
	{ TEXT("/*.o\n!\\"), false },
	{ TEXT("/*.o\n!/\\\r\n"), false },
	{ TEXT("*.o\n!\\\0x\n"), false },
	{ TEXT("a*\n!//"), false },
	{ TEXT("[\r\n \r\n!\\/\n\t"), false },
	{ TEXT("**\n!\\/ \t"), false },
	{ TEXT("!**\r\n!/\\/ "), false },
	{ TEXT("*.o\n!\\\\"), false },
	/* These never come back from it. */
	{ TEXT("\v"), false },
	{ TEXT("a\n\fx\n"), false },
	{ TEXT(" \v"), false },
	{ TEXT("!/\v"), false },
	{ TEXT("a\vb\n# \f\n"), true },
	{ TEXT(""), true },
	{ TEXT("\n\n"), true },
	{ TEXT("*.o\n!\n"), true },
	{ TEXT("*.o\n!/\r\n"), true },
	{ TEXT("*.o\n!keep\\"), true },
	{ TEXT("*.o\n\\!\\"), true },
	{ TEXT("*.o\n#!\\\n"), true },
	{ TEXT("*.o\n !\\\n"), true },
	{ TEXT("*.o\n!a b\\ \n"), true },
	{ TEXT("*.o\n!\0\\"), true },
};

/* Also proves, by going on living, that libgit2 survives what is allowed. */
static void keeps_deadly_rules_from_libgit2(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		const char *where[] = { ".gitignore", ".git/info/exclude" };

		if (git_guard_allows_text(texts[i].text, texts[i].len) !=
			texts[i].allowed)
			fail_msg("row %zu", i);
		for (size_t k = 0; k < G_N_ELEMENTS(where); k++) {
			struct place p;

			place_init(&p);
			put(&p, where[k], texts[i].text, texts[i].len);
			start(&p);
			git_ignore_match(p.g, "a/x.o", false);
			git_ignore_match(p.g, "x.o", true);
			place_release(&p);
		}
	}
}

/* A deadly file counts for what is below it, and only while it is deadly. */
static void looks_again_when_it_changed(void **state)
{
	struct place p;

	(void)state;
	place_init(&p);
	put_text(&p, ".gitignore", "*.o\n");
	put_text(&p, "sub/.gitignore", "/*.c\n!\\");
	start(&p);
	assert_true(git_ignore_match(p.g, "a.o", false));
	assert_false(git_ignore_match(p.g, "sub/a.o", false));
	assert_false(git_ignore_match(p.g, "sub", true));
	assert_false(git_ignore_match(p.g, "sub/a.c", false));
	assert_true(git_ignore_match(p.g, "subs/a.o", false));
	put_text(&p, "sub/.gitignore", "/*.c\n");
	assert_true(git_ignore_match(p.g, "sub/a.o", false));
	assert_true(git_ignore_match(p.g, "sub/a.c", false));
	put_text(&p, ".gitignore", "*.o\n!\\");
	assert_false(git_ignore_match(p.g, "sub/a.c", false));
	put_text(&p, ".gitignore", "");
	assert_true(git_ignore_match(p.g, "sub/a.c", false));
	place_release(&p);
}

/* Opened by libgit2, a FIFO would hold the test until its time limit. */
static void is_not_held_by_a_fifo(void **state)
{
	g_autofree char *name = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	name = g_build_filename(p.dir, ".gitignore", NULL);
	assert_int_equal(mkfifo(name, 0600), 0);
	start(&p);
	assert_false(git_ignore_match(p.g, "a.o", false));
	assert_int_equal(unlink(name), 0);
	assert_int_equal(mkdir(name, 0700), 0);
	assert_false(git_ignore_match(p.g, "a.o", false));
	assert_int_equal(rmdir(name), 0);
	put_text(&p, ".gitignore", "*.o");
	assert_true(git_ignore_match(p.g, "a.o", false));
	place_release(&p);
}

static void refuses_what_is_no_directory(void **state)
{
	g_autoptr(GError) err = NULL;

	(void)state;
	assert_null(git_ignore_new("/dev/null", &err));
	assert_non_null(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_rules),
		cmocka_unit_test(keeps_deadly_rules_from_libgit2),
		cmocka_unit_test(looks_again_when_it_changed),
		cmocka_unit_test(is_not_held_by_a_fifo),
		cmocka_unit_test(refuses_what_is_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
