/* Content states: stubs on disk, in the node table, across a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <glib.h>

#include "fs/mirror/content.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/plan.h"
#include "merge/scan.h"
#include "tests/unit/fs_mirror/world.h"

#define MTIME INT64_C(1700000000123456789)

static const char TEXT[] = "eleven byte";
enum { SIZE = 11 };

/* The stub PATH with its rows, as attach makes them. */
static void add_stub(struct world *w, const char *path, unsigned mode)
{
	struct entry remote = { .path = path, .type = ENTRY_FILE,
		.size = SIZE, .mtime_ns = MTIME, .ctime_ns = MTIME + 5,
		.ino = 4711, .mode = mode };
	struct entry row = { 0 };
	struct stat st;

	assert_int_equal(
		content_make_stub(w->root, path, &remote, &st), 0);
	assert_true(content_is_stub(&st));
	entry_from_stat(&row, &st);
	row.path = path;
	row.mode &= 0777;
	assert_int_equal(
		state_put(w->state, STATE_ACK_MIRROR, &row, NULL), 0);
	assert_int_equal(
		state_put(w->state, STATE_ACK_REMOTE, &remote, NULL), 0);
}

static int staged(struct world *w, const char *text)
{
	int fd = beneath_open(w->fd, "staged", O_RDWR | O_CREAT | O_TRUNC,
		0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
	return fd;
}

/* Fills NODE, whose rows are at PATH; what the fill says. */
static int fill(struct world *w, uint64_t node, const char *path,
	const char *text, int64_t mtime_ns)
{
	struct entry mirror, remote, got;
	struct fill f = { .node = node, .row_mirror = &mirror,
		.row_remote = &remote, .remote = &got };
	GArray *job = mirror_job_of(w->m, node);

	assert_non_null(job);
	g_array_free(job, TRUE);
	assert_true(state_find(w->state, STATE_ACK_MIRROR, path, &mirror));
	assert_true(state_find(w->state, STATE_ACK_REMOTE, path, &remote));
	mirror.path = remote.path = path;
	got = remote;
	got.size = (int64_t)strlen(text);
	got.mtime_ns = mtime_ns;
	got.flags = ENTRY_HASHED;
	digest_bytes(text, strlen(text), &got.digest);
	f.staged_fd = staged(w, text);
	mirror_fill(w->m, &f, 1);
	close(f.staged_fd);
	return f.result;
}

static void assert_file(struct world *w, const char *path, const char *text)
{
	char buf[100] = "";
	autofd int fd = content_open(w->root, path);

	assert_true(fd >= 0);
	assert_int_equal(io_read_full(fd, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

static void test_on_disk(void **state)
{
	struct world *w = *state;
	struct entry e = { .path = "e", .type = ENTRY_FILE, .mode = 0444 };
	struct stat st;
	int fd;

	add_stub(w, "f", 0444);
	assert_int_equal(content_open(w->root, "f"), -ENODATA);
	assert_int_equal(beneath_stat(w->root, "f", &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(st.st_mode & 07777, 01444);
	assert_int_equal(st.st_mtim.tv_sec, MTIME / 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, MTIME % 1000000000);
	/* Nothing is missing of an empty file. */
	assert_int_equal(content_make_stub(w->root, "e", &e, &st), 0);
	assert_false(content_is_stub(&st));
	assert_file(w, "e", "");
	assert_int_equal(content_open_stub(w->root, "e"), -ENODATA);
	fd = content_open_stub(w->root, "f");
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, TEXT, SIZE), 0);
	assert_int_equal(content_open(w->root, "f"), -ENODATA);
	assert_int_equal(content_clear_mark(fd), 0);
	close(fd);
	assert_file(w, "f", TEXT);
}

static void test_scan(void **state)
{
	struct world *w = *state;
	struct scan_options o = {
		.hash = SCAN_HASH_CHANGED, .stubs = SCAN_STUBS,
	};
	g_autoptr(manifest_auto) m = NULL;
	struct entry row;
	const struct entry *e;

	add_stub(w, "f", 0640);
	assert_int_equal(scan_tree(w->root, &o, &m, NULL, NULL), 0);
	e = manifest_find(m, "f");
	assert_int_equal(e->flags & (ENTRY_STUB | ENTRY_HASHED), ENTRY_STUB);
	assert_int_equal(e->mode, 0640);
	assert_true(state_find(w->state, STATE_ACK_MIRROR, "f", &row));
	assert_true(entry_same_content(e, &row));
	row.ino++;
	assert_false(entry_same_content(e, &row));
	/* The flag is of that scan and never stored. */
	assert_int_equal(state_store(w->state, STATE_BASE_MOUNT, m, NULL), 0);
	assert_true(state_find(w->state, STATE_BASE_MOUNT, "f", &row));
	assert_int_equal(row.flags & ENTRY_STUB, 0);
}

static void test_fill(void **state)
{
	struct world *w = *state;
	struct mirror_file *f;
	struct entry row;
	struct stat st;
	uint64_t node, files, bytes;

	add_stub(w, "f", 0640);
	open_mirror(w);
	assert_true(mirror_is_clean(w->m, UINT64_MAX));
	node = look_up(w, "f", &st);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks > 0);
	assert_int_equal(mirror_open_file(w->m, &me, node, O_RDONLY, &f, NULL),
		-EINPROGRESS);
	assert_int_equal(mirror_open_content(w->m, "f"), -ENODATA);
	assert_int_equal(fill(w, node, "f", TEXT, MTIME), 0);
	assert_file(w, "f", TEXT);
	mirror_stub_count(w->m, &files, &bytes);
	assert_int_equal(files, 0);
	assert_int_equal(mirror_open_file(w->m, &me, node, O_RDONLY, &f, NULL),
		0);
	mirror_release(w->m, f);
	assert_int_equal(mirror_getattr(w->m, node, &st), 0);
	assert_int_equal(st.st_mtim.tv_nsec, MTIME % 1000000000);
	assert_true(state_find(w->state, STATE_ACK_MIRROR, "f", &row));
	assert_true(row.flags & ENTRY_HASHED);
	reopen(w);
	assert_true(mirror_is_clean(w->m, UINT64_MAX));
	assert_file(w, "f", TEXT);
}

static void test_newer(void **state)
{
	struct world *w = *state;
	struct entry row;
	struct stat st;
	uint64_t node;

	add_stub(w, "f", 0644);
	open_mirror(w);
	node = look_up(w, "f", &st);
	assert_int_equal(fill(w, node, "f", "newer", MTIME + 7), -ESTALE);
	assert_file(w, "f", "newer");
	assert_int_equal(mirror_getattr(w->m, node, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_true(state_find(w->state, STATE_ACK_REMOTE, "f", &row));
	assert_int_equal(row.size, 5);
	reopen(w);
	assert_true(mirror_is_clean(w->m, UINT64_MAX));
}

/* The row became another while the bytes travelled: they are not taken. */
static void test_stale_row(void **state)
{
	struct world *w = *state;
	struct entry mirror, remote, got;
	struct fill f = { .row_mirror = &mirror, .row_remote = &remote,
		.remote = &got };
	struct entry other;
	struct stat st;

	add_stub(w, "f", 0644);
	open_mirror(w);
	f.node = look_up(w, "f", &st);
	g_array_free(mirror_job_of(w->m, f.node), TRUE);
	state_find(w->state, STATE_ACK_MIRROR, "f", &mirror);
	state_find(w->state, STATE_ACK_REMOTE, "f", &remote);
	mirror.path = remote.path = "f";
	got = remote;
	got.flags = ENTRY_HASHED;
	other = mirror;
	other.mtime_ns++;
	assert_int_equal(
		state_put(w->state, STATE_ACK_MIRROR, &other, NULL), 0);
	f.staged_fd = staged(w, TEXT);
	mirror_fill(w->m, &f, 1);
	close(f.staged_fd);
	assert_int_equal(f.result, -EAGAIN);
	assert_int_equal(content_open(w->root, "f"), -ENODATA);
}

/* Killed in the middle of a fill, or of a truncation nobody was told of. */
static void test_interrupted_fill(void **state)
{
	struct world *w = *state;
	struct stat st;
	int fd;

	for (int cut = 0; cut < 2; cut++) {
		if (cut == 0)
			add_stub(w, "f", 0644);
		fd = content_open_stub(w->root, "f");
		assert_true(fd >= 0);
		if (cut)
			assert_int_equal(ftruncate(fd, 0), 0);
		else
			assert_int_equal(io_write_full(fd, "elev", 4), 0);
		close(fd);
		if (w->m)
			mirror_close(w->m);
		open_mirror(w);
		assert_true(mirror_is_clean(w->m, UINT64_MAX));
		look_up(w, "f", &st);
		assert_int_equal(st.st_size, SIZE);
		assert_int_equal(st.st_mtim.tv_nsec, MTIME % 1000000000);
		assert_int_equal(content_open(w->root, "f"), -ENODATA);
	}
}

/* A stub that was moved before a crash still knows its bytes: a move, neither
 * something new nor something gone. */
static void test_moved(void **state)
{
	struct world *w = *state;
	struct mirror_changes *changes;
	const struct mirror_change *c;

	add_stub(w, "f", 0644);
	open_mirror(w);
	assert_int_equal(mirror_rename(w->m, &me, MIRROR_ROOT, "f",
				 MIRROR_ROOT, "g", 0), 0);
	reopen(w);
	changes = mirror_collect(w->m, 100, 1 << 20);
	assert_int_equal(changes->list->len, 1);
	c = g_ptr_array_index(changes->list, 0);
	assert_string_equal(c->path, "g");
	assert_string_equal(c->acked_path, "f");
	assert_false(c->content);
	mirror_settle(w->m, changes, NULL);
}

/* Whose bytes are nowhere known: never sent, never read. */
static void test_orphan(void **state)
{
	struct world *w = *state;
	struct mirror_file *f;
	struct stat st;
	uint64_t node;

	add_stub(w, "f", 0644);
	assert_int_equal(
		state_remove(w->state, STATE_ACK_MIRROR, "f", NULL), 0);
	assert_int_equal(
		state_remove(w->state, STATE_ACK_REMOTE, "f", NULL), 0);
	open_mirror(w);
	assert_true(mirror_is_clean(w->m, UINT64_MAX));
	node = look_up(w, "f", &st);
	assert_int_equal(mirror_open_file(w->m, &me, node, O_RDWR, &f, NULL),
		-EINPROGRESS);
	assert_int_equal(mirror_open_content(w->m, "f"), -ENODATA);
}

static void test_setattr(void **state)
{
	struct world *w = *state;
	struct stat st, want = { .st_mode = 01600, .st_size = 5 };
	uint64_t node;

	add_stub(w, "f", 0644);
	open_mirror(w);
	node = look_up(w, "f", &st);
	assert_int_equal(mirror_setattr(w->m, &me, node, NULL, &want,
				 MIRROR_SET_SIZE, &st), -EINPROGRESS);
	assert_int_equal(mirror_setattr(w->m, &me, node, NULL, &want,
				 MIRROR_SET_MTIME, &st), -EINPROGRESS);
	assert_int_equal(mirror_setattr(w->m, &me, node, NULL, &want,
				 MIRROR_SET_MODE, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01600);
	assert_int_equal(content_open(w->root, "f"), -ENODATA);
	want.st_size = 0;
	assert_int_equal(mirror_setattr(w->m, &me, node, NULL, &want,
				 MIRROR_SET_SIZE, &st), 0);
	assert_file(w, "f", "");
	assert_false(mirror_is_clean(w->m, UINT64_MAX));
	/* The user's own sticky bit is shown and is no mark. */
	assert_int_equal(mirror_getattr(w->m, node, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01600);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_on_disk), TEST(test_scan), TEST(test_fill),
		TEST(test_newer), TEST(test_stale_row),
		TEST(test_interrupted_fill), TEST(test_moved),
		TEST(test_orphan), TEST(test_setattr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
