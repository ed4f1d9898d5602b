/* What a scan sees, and what it reads again. */
#include "merge/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "merge/exclude.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/scan_hash.h"

#include <cmocka.h> /* its macro fail() last */

struct place {
	char *dir;
	int fd;
};

static void put(const struct place *p, const char *path, const char *text)
{
	g_autofree char *dir = g_path_get_dirname(path);
	autofd int fd = -1;

	assert_int_equal(beneath_mkdir_all(p->fd, strcmp(dir, ".") ? dir : "d",
		0755), 0);
	fd = beneath_open(p->fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
}

static void place_init(struct place *p)
{
	p->dir = g_dir_make_tmp("scan-XXXXXX", NULL);
	assert_non_null(p->dir);
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
}

static void place_release(struct place *p)
{
	g_autofree char *name = g_path_get_basename(p->dir);
	g_autofree char *above = g_path_get_dirname(p->dir);
	autofd int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(p->fd);
	assert_int_equal(beneath_remove_all(fd, name), 0);
	g_free(p->dir);
}

static struct manifest *scan(const struct place *p,
	const struct scan_options *o, struct scan_stats *stats)
{
	struct manifest *m = NULL;
	g_autoptr(GError) err = NULL;

	if (scan_tree(p->fd, o, &m, stats, &err) < 0)
		fail_msg("%s", err->message);
	return m;
}

static void make_sample(const struct place *p)
{
	put(p, "d/e/f", "hello");
	put(p, "d/\xff\n", "odd");
	put(p, "empty", "");
	put(p, "x.o", "object");
	put(p, ".sandmount-abcdefghijkl.tmp", "leftover");
	assert_int_equal(beneath_symlink(p->fd, "link", "nowhere/\xfe"), 0);
	assert_int_equal(beneath_symlink(p->fd, "dirlink", "d"), 0);
	assert_int_equal(mkfifoat(p->fd, "fifo", 0600), 0);
	assert_int_equal(beneath_chmod(p->fd, "empty", 0755), 0);
}

static const struct {
	const char *path;
	enum entry_type type;
	int64_t size;
	const char *target;
} sample[] = {
	{ "d", ENTRY_DIR, 0, NULL },
	{ "d/e", ENTRY_DIR, 0, NULL },
	{ "d/e/f", ENTRY_FILE, 5, NULL },
	{ "d/\xff\n", ENTRY_FILE, 3, NULL },
	{ "dirlink", ENTRY_LINK, 0, "d" },
	{ "empty", ENTRY_FILE, 0, NULL },
	{ "fifo", ENTRY_SPECIAL, 0, NULL },
	{ "link", ENTRY_LINK, 0, "nowhere/\xfe" },
};

static void check_sample(const struct manifest *m, bool hashed)
{
	assert_int_equal(manifest_count(m), G_N_ELEMENTS(sample));
	for (size_t i = 0; i < G_N_ELEMENTS(sample); i++) {
		const struct entry *e = manifest_at(m, i);

		assert_string_equal(e->path, sample[i].path);
		assert_int_equal(e->type, sample[i].type);
		assert_int_equal(e->size, sample[i].size);
		assert_int_equal(g_strcmp0(e->target, sample[i].target), 0);
		assert_int_equal(e->flags & ENTRY_UNREADABLE, 0);
		if (e->type == ENTRY_FILE)
			assert_int_equal(
				!!(e->flags & ENTRY_HASHED), hashed);
	}
	assert_int_equal(manifest_find(m, "empty")->mode, 0755);
}

/* The same with any number of threads; FIFOs are not opened, links not
 * followed, our own leftovers and what is excluded not seen. */
static void sees_everything_once(void **state)
{
	g_autoptr(exclude_auto) x = exclude_new();
	struct place p;

	(void)state;
	assert_int_equal(exclude_add(x, "*.o", NULL), 0);
	place_init(&p);
	make_sample(&p);
	for (unsigned threads = 1; threads <= 8; threads++)
		for (int hash = 0; hash < 2; hash++) {
			const struct scan_options o = {
				.exclude = x, .threads = threads,
				.hash = hash ? SCAN_HASH_CHANGED
					     : SCAN_HASH_NONE,
			};
			struct scan_stats stats;
			g_autoptr(manifest_auto) m = scan(&p, &o, &stats);

			check_sample(m, hash);
			assert_int_equal(stats.entries, G_N_ELEMENTS(sample));
			assert_int_equal(stats.excluded, 1);
			assert_int_equal(stats.special, 1);
			assert_int_equal(stats.unreadable, 0);
			assert_int_equal(stats.hashed_files, hash ? 3 : 0);
			assert_int_equal(stats.hashed_bytes, hash ? 8 : 0);
		}
	place_release(&p);
}

static void keeps_temporaries_when_asked(void **state)
{
	const struct scan_options o = { .keep_temps = true };
	g_autoptr(manifest_auto) m = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	make_sample(&p);
	m = scan(&p, &o, NULL);
	assert_non_null(manifest_find(m, ".sandmount-abcdefghijkl.tmp"));
	place_release(&p);
}

/* A clock far after the files: nothing is racy. */
static int64_t later(void)
{
	return io_wall_ns() + INT64_C(3600) * 1000000000;
}

static void reads_only_what_changed(void **state)
{
	struct scan_options o = {
		.hash = SCAN_HASH_CHANGED, .now_ns = later(),
	};
	g_autoptr(manifest_auto) first = NULL;
	g_autoptr(manifest_auto) second = NULL;
	g_autoptr(manifest_auto) third = NULL;
	struct scan_stats stats;
	struct place p;

	(void)state;
	place_init(&p);
	put(&p, "a", "one");
	put(&p, "b", "two");
	put(&p, "c", "three");
	first = scan(&p, &o, &stats);
	assert_int_equal(stats.hashed_files, 3);
	o.cache = first;
	second = scan(&p, &o, &stats);
	assert_int_equal(stats.hashed_files, 0);
	assert_true(manifest_find(second, "b")->flags & ENTRY_HASHED);
	/* Same size and mtime: the identity tells all the same. */
	assert_int_equal(beneath_unlink(p.fd, "b", 0), 0);
	put(&p, "b", "TWO");
	assert_int_equal(beneath_set_mtime(p.fd, "b",
		manifest_find(first, "b")->mtime_ns), 0);
	third = scan(&p, &o, &stats);
	assert_int_equal(stats.hashed_files, 1);
	assert_false(entry_same_content(
		manifest_find(third, "b"), manifest_find(first, "b")));
	place_release(&p);
}

/* Changed so shortly before the scan that a second change could hide: the
 * cache is not believed. */
static void does_not_believe_racy_entries(void **state)
{
	struct scan_options o = { .hash = SCAN_HASH_CHANGED };
	g_autoptr(manifest_auto) first = NULL;
	g_autoptr(manifest_auto) second = NULL;
	struct scan_stats stats;
	struct stat st;
	struct place p;

	(void)state;
	place_init(&p);
	put(&p, "a", "one");
	assert_int_equal(beneath_stat(p.fd, "a", &st), 0);
	o.now_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 +
		st.st_ctim.tv_nsec;
	first = scan(&p, &o, NULL);
	assert_true(manifest_find(first, "a")->flags & ENTRY_RACY);
	assert_true(manifest_find(first, "a")->flags & ENTRY_HASHED);
	o.cache = first;
	o.now_ns = later();
	second = scan(&p, &o, &stats);
	assert_int_equal(stats.hashed_files, 1);
	assert_false(manifest_find(second, "a")->flags & ENTRY_RACY);
	place_release(&p);
}

/* --- a file that changes while it is hashed -------------------------------- */

struct meddler {
	const struct place *p;
	unsigned until; /* tries that are disturbed */
	void (*meddle)(const struct place *p, unsigned tries);
};

static void before_check(void *ctx, unsigned tries)
{
	const struct meddler *m = ctx;

	if (tries < m->until)
		m->meddle(m->p, tries);
}

static void grow(const struct place *p, unsigned tries)
{
	static const char *const texts[] = { "12345", "123456", "1234567" };

	put(p, "f", texts[tries]);
}

static int hash_meddled(const struct place *p, unsigned until,
	void (*meddle)(const struct place *, unsigned), struct entry *e)
{
	struct meddler m = { .p = p, .until = until, .meddle = meddle };
	const struct hash_options o = {
		.root_fd = p->fd, .before_check = before_check, .ctx = &m,
		.start_ns = later(),
	};
	uint64_t bytes = 0;

	*e = (struct entry){ .path = "f", .type = ENTRY_FILE, .size = 1 };
	return hash_entry(&o, e, &bytes);
}

static void hashes_again_what_changed(void **state)
{
	struct digest want;
	struct entry e;
	struct place p;

	(void)state;
	place_init(&p);
	for (unsigned until = 0; until <= 3; until++) {
		put(&p, "f", "1");
		int r = hash_meddled(&p, until, grow, &e);

		if (until == 3) {
			/* It never held still: its last state, no digest. */
			assert_int_equal(r, -EAGAIN);
			assert_true(e.flags & ENTRY_RACY);
			assert_false(e.flags & ENTRY_HASHED);
			break;
		}
		assert_int_equal(r, 0);
		autofd int fd = beneath_open(p.fd, "f", O_RDONLY, 0);

		assert_int_equal(digest_fd(fd, &want, NULL), 0);
		assert_true(digest_equal(&want, &e.digest));
		assert_int_equal(e.size, until ? 4 + until : 1);
	}
	place_release(&p);
}

static void tells_what_is_no_file(void **state)
{
	struct entry e;
	struct place p;

	(void)state;
	place_init(&p);
	assert_int_equal(hash_meddled(&p, 0, grow, &e), -ENOENT);
	assert_int_equal(mkfifoat(p.fd, "f", 0600), 0);
	assert_int_equal(hash_meddled(&p, 0, grow, &e), -ENOTSUP);
	assert_int_equal(beneath_unlink(p.fd, "f", 0), 0);
	assert_int_equal(beneath_symlink(p.fd, "f", "/etc/hostname"), 0);
	assert_int_equal(hash_meddled(&p, 0, grow, &e), -ENOTSUP);
	assert_int_equal(beneath_unlink(p.fd, "f", 0), 0);
	assert_int_equal(beneath_mkdir(p.fd, "f", 0700), 0);
	assert_int_equal(hash_meddled(&p, 0, grow, &e), -ENOTSUP);
	assert_int_equal(e.size, 1);
	place_release(&p);
}

/* --- what cannot be read ------------------------------------------------------ */

static int scan_unreadable(const struct place *p)
{
	const struct scan_options o = {
		.hash = SCAN_HASH_CHANGED, .threads = 2,
	};
	struct manifest *m = NULL;
	struct scan_stats stats;
	const struct entry *e;

	if (scan_tree(p->fd, &o, &m, &stats, NULL) < 0)
		return 1;
	e = manifest_find(m, "secret");
	if (!e || !(e->flags & ENTRY_UNREADABLE) || e->flags & ENTRY_HASHED)
		return 2;
	e = manifest_find(m, "closed");
	if (!e || e->type != ENTRY_DIR || !(e->flags & ENTRY_UNREADABLE))
		return 3;
	if (manifest_find(m, "closed/f"))
		return 4;
	e = manifest_find(m, "open");
	if (!e || !(e->flags & ENTRY_HASHED))
		return 5;
	return stats.unreadable == 2 ? 0 : 6;
}

/* Never "absent". As another user where we are root, who may read all. */
static void flags_what_cannot_be_read(void **state)
{
	struct place p;
	int status;
	pid_t pid;

	(void)state;
	place_init(&p);
	put(&p, "open", "o");
	put(&p, "secret", "s");
	put(&p, "closed/f", "c");
	assert_int_equal(fchmod(p.fd, 0755), 0);
	assert_int_equal(beneath_chmod(p.fd, "secret", 0), 0);
	assert_int_equal(beneath_chmod(p.fd, "closed", 0), 0);
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) != 0 ||
			setgid(65534) != 0 || setuid(65534) != 0))
			_exit(77);
		_exit(scan_unreadable(&p));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	beneath_chmod(p.fd, "closed", 0700);
	place_release(&p);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void stops_when_asked(void **state)
{
	const volatile int cancel = 1;
	const struct scan_options o = { .cancel = &cancel };
	g_autoptr(GError) err = NULL;
	struct manifest *m = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	make_sample(&p);
	assert_true(scan_tree(p.fd, &o, &m, NULL, &err) < 0);
	assert_int_equal(err->code, FAIL_CANCELLED);
	assert_null(m);
	place_release(&p);
}

static void says_when_the_root_is_none(void **state)
{
	const struct scan_options o = { 0 };
	g_autoptr(GError) err = NULL;
	struct manifest *m = NULL;
	autofd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(scan_tree(fd, &o, &m, NULL, &err) < 0);
	assert_int_equal(err->code, FAIL_LOCAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sees_everything_once),
		cmocka_unit_test(keeps_temporaries_when_asked),
		cmocka_unit_test(reads_only_what_changed),
		cmocka_unit_test(does_not_believe_racy_entries),
		cmocka_unit_test(hashes_again_what_changed),
		cmocka_unit_test(tells_what_is_no_file),
		cmocka_unit_test(flags_what_cannot_be_read),
		cmocka_unit_test(stops_when_asked),
		cmocka_unit_test(says_when_the_root_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
