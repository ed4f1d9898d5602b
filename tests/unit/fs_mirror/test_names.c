/* Names, and what of their changes the sandbox has to be told: the dirty set,
 * derived from where a place was acknowledged and where it is now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/scan.h"
#include "tests/unit/fs_mirror/world.h"

enum { R = MIRROR_ROOT };

/* As open(2) with O_CREAT | O_TRUNC does. */
static struct mirror_file *open_empty(
	struct world *w, uint64_t dir, const char *name)
{
	const struct stat empty = { .st_size = 0 };
	struct mirror_file *f = NULL;
	struct mirror_attr a;
	struct stat st;

	if (mirror_lookup(w->m, dir, name, &a) == 0) {
		assert_int_equal(mirror_open_file(w->m, &me, a.node, O_WRONLY,
					 &f, NULL), 0);
		assert_int_equal(mirror_setattr(w->m, &me, a.node, f, &empty,
					 MIRROR_SET_SIZE, &st), 0);
	} else {
		assert_int_equal(mirror_create(w->m, &me, dir, name, O_WRONLY,
					 0644, &a, &f), 0);
	}
	mirror_forget(w->m, a.node, 1);
	return f;
}

static void write_file(struct world *w, uint64_t dir, const char *name,
	const char *text)
{
	struct mirror_file *f = open_empty(w, dir, name);

	assert_int_equal(mirror_write_begin(w->m, f), 0);
	assert_int_equal(
		io_write_full(mirror_file_fd(f), text, strlen(text)), 0);
	mirror_write_end(w->m, f);
	mirror_release(w->m, f);
}

static uint64_t make_dir(struct world *w, uint64_t dir, const char *name)
{
	struct mirror_attr a;

	assert_int_equal(mirror_mkdir(w->m, &me, dir, name, 0755, &a), 0);
	return a.node;
}

static int move(struct world *w, const char *from, const char *to)
{
	return mirror_rename(w->m, &me, R, from, R, to, 0);
}

/* The sandbox has all of it now, and the rows say so. */
static void acknowledge(struct world *w)
{
	struct scan_options o = { .hash = SCAN_HASH_NONE, .threads = 1 };
	g_autoptr(manifest_auto) now = NULL;
	struct mirror_changes *c = mirror_collect(w->m, 1000, 1 << 20);
	g_autofree bool *ok = g_new(bool, c->list->len + 1);

	memset(ok, true, c->list->len);
	mirror_settle(w->m, c, ok);
	assert_int_equal(scan_tree(w->root, &o, &now, NULL, NULL), 0);
	assert_int_equal(
		state_store(w->state, STATE_ACK_MIRROR, now, NULL), 0);
	assert_int_equal(
		state_store(w->state, STATE_ACK_REMOTE, now, NULL), 0);
	assert_true(mirror_is_clean(w->m, UINT64_MAX));
}

static void tell_change(GString *out, const struct mirror_change *c)
{
	if (out->len)
		g_string_append_c(out, ' ');
	if (!c->path)
		g_string_append_printf(out, "-%s", c->acked_path);
	else if (!c->acked_path)
		g_string_append_printf(out, "+%s", c->path);
	else if (strcmp(c->path, c->acked_path))
		g_string_append_printf(out, "%s>%s%s", c->acked_path, c->path,
			c->content ? "*" : "");
	else
		g_string_append_printf(out, "%s%s", c->path,
			c->content ? "*" : "~");
}

/* What is to be told: +new, -gone, was>is, bytes*, attributes~. Nothing of it
 * is told, so that it stays to be. */
static void check_changes(struct world *w, const char *want)
{
	struct mirror_changes *c = mirror_collect(w->m, 1000, 1 << 20);
	g_autoptr(GString) told = g_string_new(NULL);

	for (guint i = 0; i < c->list->len; i++)
		tell_change(told, g_ptr_array_index(c->list, i));
	mirror_settle(w->m, c, NULL);
	assert_string_equal(told->str, want);
}

/* The same seen by a process that was killed and starts again: what it saw of
 * moves is gone, what differs is not. */
static void check_restarted(struct world *w, const char *want)
{
	reopen(w);
	check_changes(w, want);
}

/* a/f, b, c: in the sandbox. */
static uint64_t begin(struct world *w)
{
	uint64_t a;

	open_mirror(w);
	a = make_dir(w, R, "a");
	write_file(w, a, "f", "of a\n");
	write_file(w, R, "b", "of b\n");
	write_file(w, R, "c", "of c\n");
	check_changes(w, "+a +a/f +b +c");
	acknowledge(w);
	check_changes(w, "");
	return a;
}

static void new_and_gone(void **state)
{
	struct world *w = *state;

	begin(w);
	write_file(w, R, "t", "never seen by anybody\n");
	assert_int_equal(mirror_unlink(w->m, &me, R, "t"), 0);
	check_changes(w, "");
	assert_int_equal(mirror_unlink(w->m, &me, R, "b"), 0);
	check_changes(w, "-b");
	check_restarted(w, "-b");
	/* Another file of that name: told as both, sent as one. */
	write_file(w, R, "b", "another\n");
	check_changes(w, "+b -b");
	check_restarted(w, "b*");
}

static void an_editor_saves(void **state)
{
	struct world *w = *state;

	begin(w);
	write_file(w, R, "b.new", "second\n");
	assert_int_equal(move(w, "b.new", "b"), 0);
	check_changes(w, "b*");
	check_restarted(w, "b*");
	acknowledge(w);
	/* vim's way, with a backup that stays a moment. */
	assert_int_equal(move(w, "b", "b~"), 0);
	write_file(w, R, "b", "third\n");
	assert_int_equal(mirror_unlink(w->m, &me, R, "b~"), 0);
	check_changes(w, "+b -b");
	check_restarted(w, "b*");
}

static void moves(void **state)
{
	struct world *w = *state;
	uint64_t a = begin(w);

	assert_int_equal(move(w, "b", "x"), 0);
	check_changes(w, "b>x");
	assert_int_equal(move(w, "x", "y"), 0);
	check_changes(w, "b>y");
	assert_int_equal(move(w, "y", "b"), 0);
	check_changes(w, "b~");
	check_restarted(w, "b*");
	acknowledge(w);
	/* A directory moves as one, whatever is in it. */
	assert_int_equal(move(w, "a", "z"), 0);
	check_changes(w, "a>z");
	write_file(w, a, "g", "new\n");
	check_changes(w, "a>z +z/g");
	assert_int_equal(mirror_rename(w->m, &me, a, "f", R, "f", 0), 0);
	check_changes(w, "a/f>f a>z +z/g");
	acknowledge(w);
	check_restarted(w, "");
}

/* Files are new bytes in their places. */
static void exchanged(void **state)
{
	struct world *w = *state;

	begin(w);
	assert_int_equal(
		mirror_rename(w->m, &me, R, "b", R, "c", RENAME_EXCHANGE), 0);
	check_changes(w, "b* c*");
	check_restarted(w, "b* c*");
	acknowledge(w);
	assert_int_equal(mirror_rename(w->m, &me, R, "b", R, "c",
				 RENAME_NOREPLACE), -EEXIST);
	check_changes(w, "");
}

static void attributes_only(void **state)
{
	struct world *w = *state;
	struct stat st = { .st_mode = 0600 };
	uint64_t b;

	begin(w);
	b = look_up(w, "b", &st);
	st.st_mode = 0600;
	assert_int_equal(mirror_setattr(w->m, &me, b, NULL, &st,
				 MIRROR_SET_MODE, &st), 0);
	check_changes(w, "b~");
	/* The ctime alone does not tell that the bytes are the same. */
	check_restarted(w, "b*");
}

/* What changes again while it is sent is not taken for sent. */
static void changed_in_flight(void **state)
{
	struct world *w = *state;
	struct mirror_changes *c;
	uint64_t before;
	bool ok[] = { true };

	begin(w);
	write_file(w, R, "b", "one\n");
	before = mirror_sequence(w->m);
	c = mirror_collect(w->m, 1000, 1 << 20);
	assert_int_equal(c->list->len, 1);
	assert_true(mirror_change_is_current(
		w->m, g_ptr_array_index(c->list, 0)));
	write_file(w, R, "b", "two, of another length\n");
	assert_false(mirror_change_is_current(
		w->m, g_ptr_array_index(c->list, 0)));
	assert_false(mirror_is_clean(w->m, before));
	mirror_settle(w->m, c, ok);
	check_changes(w, "b*");
	assert_false(mirror_is_clean(w->m, mirror_sequence(w->m)));
}

/* Limits split a collection, and never a rename. */
static void in_parts(void **state)
{
	struct world *w = *state;
	unsigned total = 0;
	bool more = true;

	open_mirror(w);
	for (int i = 0; i < 25; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%02d", i);
		write_file(w, R, name, "0123456789");
	}
	while (more) {
		struct mirror_changes *c = mirror_collect(w->m, 10, 1 << 20);
		bool ok[10];

		memset(ok, true, sizeof(ok));
		assert_in_range(c->list->len, 1, 10);
		total += c->list->len;
		more = c->more;
		mirror_settle(w->m, c, ok);
	}
	assert_int_equal(total, 25);
	assert_true(mirror_is_clean(w->m, UINT64_MAX));
}

static void pending(void **state)
{
	struct world *w = *state;
	struct mirror_pending p;

	begin(w);
	mirror_pending(w->m, &p);
	assert_int_equal(p.files, 0);
	assert_int_equal(p.oldest_ns, 0);
	write_file(w, R, "b", "0123456789");
	assert_int_equal(mirror_unlink(w->m, &me, R, "c"), 0);
	mirror_pending(w->m, &p);
	assert_int_equal(p.files, 2);
	assert_int_equal(p.bytes, 10);
	assert_in_range(p.oldest_ns, 1, io_now_ns());
}

/* An inode lives as long as somebody knows it. */
static void unlinked_and_open(void **state)
{
	struct world *w = *state;
	struct mirror_file *f;
	struct stat st;
	char text[16] = "";
	uint64_t b;

	begin(w);
	b = look_up(w, "b", &st);
	assert_int_equal(
		mirror_open_file(w->m, &me, b, O_RDONLY, &f, NULL), 0);
	assert_int_equal(mirror_unlink(w->m, &me, R, "b"), 0);
	assert_int_equal(mirror_getattr(w->m, b, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(io_read_full(mirror_file_fd(f), text, 15), 5);
	assert_string_equal(text, "of b\n");
	mirror_release(w->m, f);
	mirror_forget(w->m, b, 1);
	assert_int_equal(mirror_getattr(w->m, b, &st), -ESTALE);
}

static void hard_links(void **state)
{
	struct world *w = *state;
	struct mirror_attr l;
	struct stat st;
	uint64_t b;

	begin(w);
	b = look_up(w, "b", &st);
	assert_int_equal(mirror_link(w->m, &me, b, R, "l", &l), 0);
	assert_int_equal(l.node, b);
	assert_int_equal(l.st.st_nlink, 2);
	check_changes(w, "+l");
	acknowledge(w);
	/* A change through one name is one of the other. */
	write_file(w, R, "l", "both\n");
	check_changes(w, "b* l*");
	assert_int_equal(mirror_unlink(w->m, &me, R, "b"), 0);
	assert_int_equal(mirror_getattr(w->m, b, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	check_changes(w, "l* -b");
}

static void refusals(void **state)
{
	struct world *w = *state;
	struct mirror_attr a;

	begin(w);
	assert_int_equal(
		mirror_mkdir(w->m, &me, R, ".sandmount", 0755, &a), -EACCES);
	assert_int_equal(move(w, "b", ".sandmount"), -EACCES);
	assert_int_equal(mirror_mkdir(w->m, &me, R, "a", 0755, &a), -EEXIST);
	assert_int_equal(mirror_rmdir(w->m, &me, R, "a"), -ENOTEMPTY);
	assert_int_equal(mirror_rmdir(w->m, &me, R, "b"), -ENOTDIR);
	assert_int_equal(mirror_unlink(w->m, &me, R, "a"), -EISDIR);
	assert_int_equal(mirror_unlink(w->m, &me, R, "none"), -ENOENT);
	assert_int_equal(move(w, "b", "a"), -EISDIR);
	assert_int_equal(move(w, "a", "b"), -ENOTDIR);
	assert_int_equal(move(w, "none", "b"), -ENOENT);
	assert_int_equal(mirror_lookup(w->m, R, "none", &a), -ENOENT);
	check_changes(w, "");
}

/* Offsets stay good while entries come and go. */
static void listings(void **state)
{
	struct world *w = *state;
	struct mirror_dirent e;
	GString *seen = g_string_new(NULL);
	off_t at = 0;

	begin(w);
	while (mirror_read_dir(w->m, R, at, false, &e) == 0) {
		g_string_append_printf(seen, "%s ", e.name);
		at = e.next;
		if (!strcmp(e.name, "a")) {
			mirror_unlink(w->m, &me, R, "b");
			write_file(w, R, "later", "");
		}
	}
	assert_non_null(strstr(seen->str, ". .. "));
	assert_non_null(strstr(seen->str, "a "));
	assert_non_null(strstr(seen->str, "c "));
	g_string_free(seen, TRUE);
}

/* Far below what one system call takes, in more levels than there may be open
 * files. */
static void deep(void **state)
{
	enum { LEVELS = 150, BYTES = 99 };
	struct world *w = *state;
	g_autofree char *name = g_strnfill(BYTES, 'd');
	struct mirror_attr a;
	struct rlimit was;
	uint64_t dir = R;
	struct stat st;

	begin(w);
	for (int i = 0; i < LEVELS; i++)
		dir = make_dir(w, dir, name);
	write_file(w, dir, "f", "deep");
	assert_int_equal(mirror_symlink(w->m, &me, dir, "l", "f", &a), 0);
	assert_int_equal(mirror_rename(w->m, &me, dir, "f", R, "up", 0), 0);
	assert_int_equal(mirror_rename(w->m, &me, R, "up", dir, "f", 0), 0);
	assert_int_equal(mirror_lookup(w->m, dir, "f", &a), 0);
	assert_int_equal(mirror_link(w->m, &me, a.node, dir, "g", &a), 0);
	assert_int_equal(mirror_unlink(w->m, &me, dir, "f"), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE,
		&(struct rlimit){ 60, was.rlim_max }), 0);
	reopen(w);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	dir = R;
	for (int i = 0; i < LEVELS; i++) {
		assert_int_equal(mirror_lookup(w->m, dir, name, &a), 0);
		dir = a.node;
	}
	assert_int_equal(mirror_lookup(w->m, dir, "g", &a), 0);
	assert_int_equal(mirror_getattr(w->m, a.node, &st), 0);
	assert_int_equal(st.st_size, 4);
	/* But for what no manifest holds. */
	for (int i = LEVELS; (i + 1) * (BYTES + 1) <= PATH_LIMIT; i++)
		dir = make_dir(w, dir, name);
	assert_int_equal(mirror_mkdir(w->m, &me, dir, name, 0755, &a),
		-ENAMETOOLONG);
}

/* Back to who we are, if that is root. */
static void be_root(void)
{
	if (getuid() != 0)
		return;
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
}

/* Who has closed a directory to himself has not closed the mirror. */
static void closed_to_its_owner(void **state)
{
	struct world *w = *state;
	const struct stat none = { .st_mode = 0 };
	struct mirror_attr a;
	struct stat st;
	uint64_t dir;

	if (geteuid() == 0 && (setegid(65534) < 0 || seteuid(65534) < 0))
		skip();
	/* A root directory that others may not search hides /proc from them. */
	if (faccessat(AT_FDCWD, "/", X_OK, AT_EACCESS) < 0) {
		be_root();
		skip();
	}
	if (fchown(w->root, 65534, 65534) < 0 && seteuid(0) == 0 &&
		fchown(w->root, 65534, 65534) == 0)
		assert_int_equal(seteuid(65534), 0);
	begin(w);
	dir = make_dir(w, R, "closed");
	make_dir(w, dir, "in");
	assert_int_equal(mirror_setattr(w->m, &me, dir, NULL, &none,
				 MIRROR_SET_MODE, &st), 0);
	reopen(w);
	dir = look_up(w, "closed", &st);
	assert_int_equal(st.st_mode & 07777, 0);
	assert_int_equal(mirror_lookup(w->m, dir, "in", &a), 0);
	be_root();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(new_and_gone), TEST(an_editor_saves), TEST(moves),
		TEST(exchanged), TEST(attributes_only),
		TEST(changed_in_flight), TEST(in_parts), TEST(pending),
		TEST(unlinked_and_open), TEST(hard_links), TEST(refusals),
		TEST(listings), TEST(deep), TEST(closed_to_its_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
