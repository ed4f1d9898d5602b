/*
 * Batches in a workspace of the "local" provider, by the tools of GNU, busybox
 * and toybox: what they cost, and what is true when they are cut anywhere.
 */
#include "transport/tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/plan.h"
#include "transport/spec.h"

#include <cmocka.h> /* its macro fail() last */

#define MTIME INT64_C(1767323045000000000)

/* Tools that change something: they are counted, and may be preceded by what
 * the file "hook" says at the call that the file "at" names. */
static const char *const changing[] = { "mv", "ln", "chmod", "mkdir", "rmdir",
	"rm", "tar" };
static const char *const reading[] = { "find", "stat", "xargs", "sort", "cat",
	"sed", "cmp", "sleep", "grep", "sh", "printf", "sha256sum", "comm",
	"kill", "setsid", "readlink", "env", "tr" };

struct world {
	char *top, *box, *bin, *old_path;
	struct remote *remote;
	struct tree *tree;
	uint64_t number;
	const char *changing;	/* a file whose bytes change while it is sent */
};

static char *in_top(const struct world *w, const char *name)
{
	return g_build_filename(w->top, name, NULL);
}

static void put_text(const struct world *w, const char *name, const char *text)
{
	g_autofree char *path = in_top(w, name);

	assert_true(g_file_set_contents(path, text, -1, NULL));
}

static char *text_of(const struct world *w, const char *name)
{
	g_autofree char *path = g_build_filename(w->box, name, NULL);
	char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static void in_box(const struct world *w, const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(w->box, name, NULL);
	g_autofree char *dir = g_path_get_dirname(path);

	g_mkdir_with_parents(dir, 0755);
	assert_true(g_file_set_contents(path, text, -1, NULL));
}

static char *tool_path(const struct world *w, const char *box, const char *tool)
{
	g_autofree char *found = NULL;

	if (!box)
		return g_find_program_in_path(tool);
	/* What the box does not have comes from the system. */
	g_autofree char *ask = g_strdup_printf(
		"%s --help %s >/dev/null 2>&1", box, tool);

	found = system(ask) == 0 && strcmp(tool, "sh")
		? g_find_program_in_path(box) : NULL;
	(void)w;
	return found ? g_steal_pointer(&found) : g_find_program_in_path(tool);
}

static void add_tool(struct world *w, const char *box, const char *tool,
	bool counted)
{
	g_autofree char *real = tool_path(w, box, tool);
	g_autofree char *at = g_build_filename(w->bin, tool, NULL);
	g_autofree char *below = g_build_filename(w->bin, "real", tool, NULL);
	g_autofree char *text = NULL;

	if (!real)
		return;
	assert_int_equal(symlink(real, counted ? below : at), 0);
	if (!counted)
		return;
	text = g_strdup_printf("#!/bin/sh\n"
		"c=0\n[ ! -s '%1$s/count' ] || read -r c <'%1$s/count'\n"
		"c=$((c + 1))\necho $c >'%1$s/count'\nread -r k <'%1$s/at'\n"
		"[ $c != \"$k\" ] || . '%1$s/hook'\n"
		"exec '%2$s' \"$@\"\n", w->top, below);
	assert_true(g_file_set_contents(at, text, -1, NULL));
	g_chmod(at, 0755);
}

/* BOX: busybox, toybox, or NULL for the system's tools. */
static struct world *world_new(const char *box)
{
	struct world *w = g_new0(struct world, 1);
	struct tree_config c = { .session_id = "0123456789abcdef",
		.runtime_dir = ".sandmount", .create = true };
	g_autofree char *real = NULL;
	g_autofree char *name = NULL;
	g_autoptr(GError) err = NULL;
	struct call call = { .deadline_ms = 120000 };
	struct spec *spec;

	w->top = g_dir_make_tmp("batch-XXXXXX", NULL);
	w->box = in_top(w, "box");
	w->bin = in_top(w, "bin");
	real = g_build_filename(w->bin, "real", NULL);
	g_mkdir(w->box, 0755);
	g_mkdir_with_parents(real, 0755);
	put_text(w, "at", "0\n");
	for (size_t i = 0; i < G_N_ELEMENTS(changing); i++)
		add_tool(w, box, changing[i], true);
	for (size_t i = 0; i < G_N_ELEMENTS(reading); i++)
		add_tool(w, box, reading[i], false);
	w->old_path = g_strdup(g_getenv("PATH"));
	g_setenv("PATH", w->bin, TRUE);
	name = g_strconcat("local:", w->box, NULL);
	spec = spec_resolve(name, "/nonexistent", NULL, &err);
	assert_non_null(spec);
	w->remote = remote_open(spec, &call, &err);
	spec_free(spec);
	assert_non_null(w->remote);
	w->tree = tree_open(w->remote, &c, &call, &err);
	assert_non_null(w->tree);
	return w;
}

static void world_free(struct world *w)
{
	int fd;

	tree_close(w->tree);
	remote_close(w->remote);
	g_setenv("PATH", w->old_path, TRUE);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	beneath_remove_all(fd, w->top + 1);
	close(fd);
	g_free(w->top);
	g_free(w->box);
	g_free(w->bin);
	g_free(w->old_path);
	g_free(w);
}

/* Calls of changing tools since the last look. */
static unsigned take_count(struct world *w)
{
	g_autofree char *path = in_top(w, "count");
	g_autofree char *text = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	g_unlink(path);
	return (unsigned)atoi(text);
}

/* --- batches ------------------------------------------------------------- */

static char *bytes_of(const char *path)
{
	return g_strdup_printf("the bytes of %s\n", path);
}

static int open_bytes(void *ctx, const struct batch_op *op, int *reason)
{
	g_autofree char *text = bytes_of(op->path);
	int fd = memfd_create("bytes", MFD_CLOEXEC);

	(void)ctx;
	(void)reason;
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool still_same(void *ctx, const struct batch_op *op)
{
	const struct world *w = ctx;

	return !w->changing || strcmp(w->changing, op->path);
}

static struct batch *new_batch(struct world *w)
{
	struct batch *b = batch_new(++w->number);

	b->open = open_bytes;
	b->still_same = still_same;
	b->ctx = w;
	return b;
}

static struct batch_op *add(struct batch *b, enum batch_kind kind,
	const char *path, unsigned mode)
{
	struct batch_op *op = batch_add(b, kind, path);
	g_autofree char *text = bytes_of(path);

	op->entry.type = kind == BATCH_MKDIR ? ENTRY_DIR : ENTRY_FILE;
	op->entry.mode = (uint16_t)mode;
	op->entry.size = kind == BATCH_PUT ? (int64_t)strlen(text) : 0;
	op->entry.mtime_ns = MTIME;
	return op;
}

/* OP's path is there, as it is now. */
static struct batch_op *seen(const struct world *w, struct batch_op *op)
{
	g_autofree char *path = g_build_filename(w->box, op->path, NULL);
	char target[256] = "";
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	entry_from_stat(&op->expect, &st);
	op->expect.path = NULL;
	if (S_ISLNK(st.st_mode) &&
		readlink(path, target, sizeof(target) - 1) >= 0)
		op->expect.target = g_strdup(target);
	/* As the sandbox lists it. */
	op->expect.mode = st.st_mode & 07777;
	return op;
}

static int apply(struct world *w, struct batch *b)
{
	struct call call = { .deadline_ms = 120000 };
	struct batch_stats stats;
	g_autoptr(GError) err = NULL;

	return tree_apply(w->tree, b, &call, &stats, &err);
}

static const struct batch_op *op_of(const struct batch *b, const char *path)
{
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		if (!strcmp(op->path, path))
			return op;
	}
	fail_msg("no %s", path);
	return NULL;
}

static void assert_sent(const struct world *w, const char *path, unsigned mode)
{
	g_autofree char *want = bytes_of(path);
	g_autofree char *have = text_of(w, path);
	g_autofree char *at = g_build_filename(w->box, path, NULL);
	struct stat st;

	assert_non_null(have);
	assert_string_equal(have, want);
	assert_int_equal(lstat(at, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_mtim.tv_sec, MTIME / 1000000000);
}

static void assert_mode(const struct world *w, const char *path, unsigned mode)
{
	g_autofree char *at = g_build_filename(w->box, path, NULL);
	struct stat st;

	assert_int_equal(lstat(at, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void assert_absent(const struct world *w, const char *path)
{
	g_autofree char *at = g_build_filename(w->box, path, NULL);
	struct stat st;

	assert_int_equal(lstat(at, &st), -1);
}

/* A name for everything that tools stumble over. */
static const char *const odd[] = { "new/-dash", "new/sp ace", "new/new\nline",
	"new/.hidden", "new/\xff\xfe", "new/q'uo\"te", "new/$x`y`*",
	"new/\\back" };

static void make_box(const struct world *w)
{
	g_autofree char *link = g_build_filename(w->box, "link", NULL);

	in_box(w, "src/x", "x");
	in_box(w, "dir/replaced", "before");
	in_box(w, "gone/a", "a");
	in_box(w, "gone/b", "b");
	in_box(w, "mode", "mode");
	in_box(w, "elsewhere/kept", "kept");
	assert_int_equal(symlink("elsewhere", link), 0);
}

/* One of everything. */
static struct batch *everything(struct world *w)
{
	struct batch *b = new_batch(w);
	struct batch_op *op;

	seen(w, add(b, BATCH_MOVE, "src", 0))->to = g_strdup("moved");
	add(b, BATCH_MKDIR, "new", 0755);
	add(b, BATCH_MKDIR, "new/shut", 0500);
	add(b, BATCH_MKDIR, "new/shut/deep", 0711);
	add(b, BATCH_MKDIR, "moved/made", 0750);
	seen(w, add(b, BATCH_MKDIR, "elsewhere", 0700));
	seen(w, add(b, BATCH_DELETE, "gone/a", 0));
	seen(w, add(b, BATCH_DELETE, "gone/b", 0));
	seen(w, add(b, BATCH_DELETE, "gone", 0));
	seen(w, add(b, BATCH_PUT, "dir/replaced", 0640));
	seen(w, add(b, BATCH_PUT, "link", 0600));
	add(b, BATCH_PUT, "dir/beside", 0644);
	add(b, BATCH_PUT, "moved/y", 0644);
	add(b, BATCH_PUT, "moved/made/z", 0755);
	add(b, BATCH_PUT, "new/shut/deep/f", 0444);
	for (size_t i = 0; i < G_N_ELEMENTS(odd); i++)
		add(b, BATCH_PUT, odd[i], 0644);
	op = add(b, BATCH_PUT, "new/l", 0777);
	op->entry.type = ENTRY_LINK;
	op->entry.target = g_strdup("../dir");
	seen(w, add(b, BATCH_CHMOD, "mode", 0755));
	return b;
}

static void assert_everything(struct world *w, const struct batch *b,
	const char *edited)
{
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		if ((!edited || strcmp(op->path, edited)) &&
			op->result != BATCH_DONE)
			fail_msg("%s: result %d", op->path, (int)op->result);
		if (op->kind == BATCH_PUT && op->entry.type == ENTRY_FILE &&
			(!edited || strcmp(op->path, edited)))
			assert_sent(w, op->path, op->entry.mode);
		else if (op->kind == BATCH_MKDIR || op->kind == BATCH_CHMOD)
			assert_mode(w, op->path, op->entry.mode);
		else if (op->kind == BATCH_DELETE || op->kind == BATCH_MOVE)
			assert_absent(w, op->path);
	}
	g_autofree char *x = text_of(w, "moved/x");
	g_autofree char *kept = text_of(w, "elsewhere/kept");
	g_autofree char *old = text_of(w,
		".sandmount/.session-0123456789abcdef/old/dir/replaced");

	assert_string_equal(x, "x");
	assert_string_equal(kept, "kept");
	assert_string_equal(old, "before");
	assert_absent(w, ".sandmount/.session-0123456789abcdef/stage");
}

/* Cuts the batch at call AT of a tool that changes something, lets the sandbox
 * edit what is in place by then, and sends it again. False when AT was not
 * reached. */
static bool cut_at(const char *box, unsigned at)
{
	static const char *const candidates[] = { "new/-dash", "dir/replaced",
		"link", "dir/beside" };
	struct world *w = world_new(box);
	const char *edited = NULL;
	g_autofree char *done = NULL;
	g_autofree char *number = g_strdup_printf("%u\n", at);
	struct batch *b;
	bool cut;

	make_box(w);
	b = everything(w);
	take_count(w);
	put_text(w, "at", number);
	put_text(w, "hook", "kill -KILL 0\n");
	cut = apply(w, b) < 0;
	done = text_of(w, ".sandmount/.session-0123456789abcdef/done");
	put_text(w, "at", "0\n");
	for (size_t i = 0; cut && i < G_N_ELEMENTS(candidates); i++) {
		const char *c = candidates[(i + at) %
			G_N_ELEMENTS(candidates)];
		g_autofree char *have = text_of(w, c);
		g_autofree char *sent = bytes_of(c);

		if (!edited && !g_strcmp0(have, sent)) {
			in_box(w, c, "by the sandbox");
			edited = c;
		}
	}
	if (cut)
		assert_int_equal(apply(w, b), 0);
	assert_everything(w, b, edited);
	if (edited) {
		g_autofree char *have = text_of(w, edited);

		assert_string_equal(have, "by the sandbox");
		/* It may have come after the batch was done. */
		if (!done)
			assert_int_not_equal(
				op_of(b, edited)->result, BATCH_DONE);
	}
	batch_free(b);
	world_free(w);
	return cut;
}

static bool has_box(const char *box)
{
	g_autofree char *path = box ? g_find_program_in_path(box) : NULL;

	return !box || path;
}

static const char *const boxes[] = { NULL, "busybox", "toybox" };

static void cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(boxes); i++) {
		/* Odd points with one, the even ones with the others. */
		unsigned at = i ? 2 * (unsigned)i : 1, step = i ? 4 : 2;

		if (!has_box(boxes[i]))
			continue;
		while (cut_at(boxes[i], at))
			at += step;
		assert_true(at > 10);
	}
}

/* --- single cases --------------------------------------------------------- */

static void many_new_files_are_few_processes(void **state)
{
	struct world *w = world_new(NULL);
	struct batch *b = new_batch(w);

	(void)state;
	in_box(w, "here/a", "a");
	for (int d = 0; d < 20; d++) {
		g_autofree char *dir = g_strdup_printf("new%d", d % 10);
		g_autofree char *sub = g_strdup_printf("new%d/d%d", d % 10, d);

		if (d < 10)
			add(b, BATCH_MKDIR, dir, 0755);
		add(b, BATCH_MKDIR, sub, 0755);
		for (int f = 0; f < 50; f++) {
			g_autofree char *path =
				g_strdup_printf("%s/f%d", sub, f);

			add(b, BATCH_PUT, path, f % 2 ? 0644 : 0755);
		}
	}
	for (int f = 0; f < 1000; f++) {
		g_autofree char *path = g_strdup_printf("here/f%d", f);

		add(b, BATCH_PUT, path, 0644);
	}
	take_count(w);
	assert_int_equal(apply(w, b), 0);
	assert_in_range(take_count(w), 3, 20);
	assert_sent(w, "new3/d13/f49", 0644);
	assert_sent(w, "new9/d9/f0", 0755);
	assert_sent(w, "here/f999", 0644);
	for (guint i = 0; i < b->ops->len; i++)
		assert_int_equal(((struct batch_op *)g_ptr_array_index(
			b->ops, i))->result, BATCH_DONE);
	batch_free(b);
	world_free(w);
}

static void a_number_twice_changes_nothing(void **state)
{
	struct world *w = world_new(NULL);
	struct batch *b, *again;

	(void)state;
	make_box(w);
	b = everything(w);
	again = everything(w);
	again->number = b->number;
	assert_int_equal(apply(w, b), 0);
	in_box(w, "new/-dash", "by the sandbox");
	assert_int_equal(apply(w, again), 0);
	g_autofree char *have = text_of(w, "new/-dash");

	assert_string_equal(have, "by the sandbox");
	batch_free(b);
	batch_free(again);
	world_free(w);
}

/* What changed while it was sent is not in the tree that it belongs to. */
/* Late, when everything is as it was before it again. */
static void an_older_number_changes_nothing(void **state)
{
	struct world *w = world_new(NULL);
	struct batch *late, *now;
	struct batch_op *op;

	(void)state;
	late = new_batch(w);
	now = new_batch(w);
	add(now, BATCH_PUT, "by-now", 0644);
	assert_int_equal(apply(w, now), 0);
	op = add(late, BATCH_PUT, "late", 0644);
	assert_int_not_equal(apply(w, late), 0);
	assert_int_not_equal(op->result, BATCH_DONE);
	assert_absent(w, "late");
	assert_sent(w, "by-now", 0644);
	batch_free(late);
	batch_free(now);
	world_free(w);
}

static void what_changed_is_withdrawn(void **state)
{
	struct world *w = world_new(NULL);
	struct batch *b = new_batch(w);

	(void)state;
	add(b, BATCH_MKDIR, "d", 0755);
	add(b, BATCH_PUT, "d/rests", 0644);
	add(b, BATCH_PUT, "d/changes", 0644);
	w->changing = "d/changes";
	assert_int_equal(apply(w, b), 0);
	assert_sent(w, "d/rests", 0644);
	assert_absent(w, "d/changes");
	assert_int_equal(op_of(b, "d/changes")->result, BATCH_SKIPPED);
	assert_int_equal(op_of(b, "d/rests")->result, BATCH_DONE);
	batch_free(b);
	world_free(w);
}

/* A directory of which the sandbox made a link since. */
static void planted_links_are_not_followed(void **state)
{
	struct world *w = world_new(NULL);
	struct batch *b = new_batch(w);
	g_autofree char *link = g_build_filename(w->box, "a", NULL);

	(void)state;
	in_box(w, "other/b/x", "x");
	assert_int_equal(symlink("other", link), 0);
	add(b, BATCH_PUT, "a/b/new", 0644);
	add(b, BATCH_MKDIR, "a/dir", 0755);
	add(b, BATCH_PUT, "a/dir/new", 0644);
	add(b, BATCH_PUT, "fine", 0644);
	assert_int_equal(apply(w, b), 0);
	assert_absent(w, "other/b/new");
	assert_absent(w, "other/dir");
	assert_sent(w, "fine", 0644);
	assert_int_equal(op_of(b, "a/b/new")->result, BATCH_DIVERGED);
	assert_int_equal(op_of(b, "a/dir")->result, BATCH_DIVERGED);
	assert_int_equal(op_of(b, "a/dir/new")->result, BATCH_DIVERGED);
	assert_int_equal(op_of(b, "fine")->result, BATCH_DONE);
	batch_free(b);
	world_free(w);
}

static void others_were_first(void **state)
{
	struct world *w = world_new(NULL);
	struct batch *b = new_batch(w);

	(void)state;
	in_box(w, "d/e/f", "by the sandbox");
	add(b, BATCH_MKDIR, "d", 0755);
	add(b, BATCH_MKDIR, "d/e", 0755);
	add(b, BATCH_PUT, "d/e/f", 0644);
	add(b, BATCH_PUT, "d/e/g", 0644);
	assert_int_equal(apply(w, b), 0);
	g_autofree char *have = text_of(w, "d/e/f");

	assert_string_equal(have, "by the sandbox");
	assert_sent(w, "d/e/g", 0644);
	assert_int_equal(op_of(b, "d")->result, BATCH_DIVERGED);
	assert_int_equal(op_of(b, "d/e/f")->result, BATCH_DIVERGED);
	batch_free(b);
	world_free(w);
}

/* The same between our look and our rename. */
static void others_come_between(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(boxes); i++) {
		struct world *w;
		struct batch *b;
		g_autofree char *hook = NULL;

		if (!has_box(boxes[i]))
			continue;
		w = world_new(boxes[i]);
		b = new_batch(w);
		hook = g_strdup_printf("case \"$*\" in *-f*) cd '%1$s'\n"
			"'%2$s/real/mkdir' -p d/e l\n"
			"echo 'by the sandbox' >d/e/f\n"
			"'%2$s/real/ln' -s l n; cd - >/dev/null;; esac\n",
			w->box, w->bin);
		add(b, BATCH_MKDIR, "d", 0755);
		add(b, BATCH_MKDIR, "d/e", 0755);
		add(b, BATCH_MKDIR, "d/e/h", 0755);
		add(b, BATCH_MKDIR, "n", 0755);
		add(b, BATCH_PUT, "d/e/f", 0644);
		add(b, BATCH_PUT, "d/e/g", 0644);
		add(b, BATCH_PUT, "d/e/h/i", 0644);
		add(b, BATCH_PUT, "n/x", 0644);
		add(b, BATCH_PUT, "fine", 0644);
		put_text(w, "hook", hook);
		take_count(w);
		/* mkdir turn, rm, mkdir stage, tar, rm old, and the first mv */
		put_text(w, "at", "6\n");
		assert_int_equal(apply(w, b), 0);
		g_autofree char *have = text_of(w, "d/e/f");

		assert_string_equal(have, "by the sandbox\n");
		assert_sent(w, "d/e/g", 0644);
		assert_sent(w, "d/e/h/i", 0644);
		assert_sent(w, "fine", 0644);
		assert_absent(w, "l/x");
		assert_int_equal(op_of(b, "d/e/g")->result, BATCH_DONE);
		assert_int_equal(op_of(b, "d/e/f")->result, BATCH_SKIPPED);
		assert_int_not_equal(op_of(b, "n/x")->result, BATCH_DONE);
		batch_free(b);
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_new_files_are_few_processes),
		cmocka_unit_test(a_number_twice_changes_nothing),
		cmocka_unit_test(an_older_number_changes_nothing),
		cmocka_unit_test(what_changed_is_withdrawn),
		cmocka_unit_test(planted_links_are_not_followed),
		cmocka_unit_test(others_were_first),
		cmocka_unit_test(others_come_between),
		cmocka_unit_test(cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
