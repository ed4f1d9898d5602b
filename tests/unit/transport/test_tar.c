/* Archives: what we write comes back; what others may send, byte by byte. */
#include "transport/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/manifest.h"

#include <cmocka.h> /* its macro fail() last */

/* --- archives made by hand ------------------------------------------------ */

enum { BLOCK = 512 };

static void pad(GString *s)
{
	while (s->len % BLOCK)
		g_string_append_c(s, '\0');
}

/* A ustar header; SIZE in octal, or base 256 when it does not fit. */
static void header(GString *s, char type, const char *name,
	const char *link, uint64_t size)
{
	char h[BLOCK] = { 0 };
	unsigned sum = 0;

	memcpy(h, name, MIN(strlen(name), 100));
	memcpy(h + 100, "0004755", 8);
	memcpy(h + 108, "0001750", 8);
	memcpy(h + 116, "0001750", 8);
	if (size < UINT64_C(1) << 33) {
		g_snprintf(h + 124, 12, "%011" PRIo64, size);
	} else {
		h[124] = (char)0x80;
		for (int i = 0; i < 8; i++)
			h[128 + i] = (char)(size >> (56 - 8 * i));
	}
	memcpy(h + 136, "00000001750", 12);
	h[156] = type;
	memcpy(h + 157, link, MIN(strlen(link), 100));
	memcpy(h + 257, "ustar\00000", 8);
	memcpy(h + 265, "somebody", 8);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	g_snprintf(h + 148, 8, "%06o", sum);
	g_string_append_len(s, h, BLOCK);
}

static void member(GString *s, const char *name, const char *bytes, size_t len)
{
	header(s, '0', name, "", len);
	g_string_append_len(s, bytes, (gssize)len);
	pad(s);
}

/* "LEN KEY=VALUE\n" records, LEN counting itself; as a member of TYPE. */
static void pax(GString *s, char type, const char *key, const char *value)
{
	size_t body = strlen(key) + strlen(value) + 3;
	size_t len = body + 1;
	g_autofree char *record = NULL;

	while (len != body + strlen(record = g_strdup_printf("%zu", len))) {
		len = body + strlen(record);
		g_clear_pointer(&record, g_free);
	}
	g_clear_pointer(&record, g_free);
	record = g_strdup_printf("%zu %s=%s\n", len, key, value);
	header(s, type, "PaxHeaders/x", "", len);
	g_string_append(s, record);
	pad(s);
}

static void end(GString *s)
{
	for (int i = 0; i < 2 * BLOCK; i++)
		g_string_append_c(s, '\0');
}

/* --- sources and sinks ------------------------------------------------------ */

struct memory {
	const char *at;
	size_t left, step; /* at most STEP bytes a read; 0: all */
};

static ssize_t read_memory(void *ctx, void *buf, size_t len)
{
	struct memory *m = ctx;
	size_t n = MIN(len, m->left);

	if (m->step)
		n = MIN(n, m->step);
	memcpy(buf, m->at, n);
	m->at += n;
	m->left -= n;
	return (ssize_t)n;
}

static int write_memory(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

struct place {
	char *dir;
	int fd;
};

static void place_init(struct place *p)
{
	p->dir = g_dir_make_tmp("tar-XXXXXX", NULL);
	assert_non_null(p->dir);
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

static int extract(struct place *p, const GString *s, size_t step,
	struct manifest **got, GError **err)
{
	struct memory m = { .at = s->str, .left = s->len, .step = step };
	struct source in = { .read = read_memory, .ctx = &m };
	int r = tar_extract(&in, NULL, p->fd, got, err);

	/* Nothing is left for the sender to block on. */
	if (r == 0)
		assert_int_equal(m.left, 0);
	return r;
}

/* --- ours, there and back ----------------------------------------------------- */

static char *long_path(size_t len)
{
	GString *s = g_string_new(NULL);

	while (s->len < len)
		g_string_append(s, s->len % 50 == 49 ? "/" : "n");
	return g_string_free(s, FALSE);
}

static void comes_back(void **state)
{
	g_autofree char *path = long_path(701), *target = long_path(901);
	const struct entry entries[] = {
		{ .path = "d", .type = ENTRY_DIR, .mode = 0711 },
		{ .path = "d/\xff\n\t odd", .type = ENTRY_FILE, .mode = 0640,
			.size = 5, .mtime_ns = INT64_C(1234567890123456789) },
		{ .path = "empty", .type = ENTRY_FILE, .mode = 0755,
			.mtime_ns = -5000000000 },
		{ .path = "link", .type = ENTRY_LINK, .target = "\xfe/../x" },
		{ .path = "long link", .type = ENTRY_LINK, .target = target },
		{ .path = path, .type = ENTRY_FILE, .mode = 0600, .size = 5 },
	};

	(void)state;
	for (int subsecond = 0; subsecond < 2; subsecond++) {
		g_autoptr(GString) s = g_string_new(NULL);
		struct sink out = { .write = write_memory, .ctx = s };
		struct tar_writer *w = tar_writer_new(&out, subsecond);
		g_autoptr(manifest_auto) got = NULL;
		g_autoptr(GError) err = NULL;
		struct place p;

		for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
			assert_int_equal(
				tar_write_header(w, &entries[i]), 0);
			if (entries[i].size)
				assert_int_equal(
					tar_write_data(w, "12345", 5), 0);
		}
		assert_int_equal(tar_writer_finish(w), 0);
		tar_writer_free(w);
		place_init(&p);
		/* In crumbs: no boundary of a read matters. */
		if (extract(&p, s, 7, &got, &err) < 0)
			fail_msg("%s", err->message);
		assert_int_equal(manifest_count(got), G_N_ELEMENTS(entries));
		for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
			const struct entry *want = &entries[i];
			const struct entry *e =
				manifest_find(got, want->path);
			int64_t mtime = want->mtime_ns;

			assert_non_null(e);
			assert_int_equal(e->type, want->type);
			assert_int_equal(e->size, want->size);
			assert_int_equal(
				g_strcmp0(e->target, want->target), 0);
			if (e->type == ENTRY_LINK)
				continue;
			assert_int_equal(e->mode, want->mode);
			/* The plain format has whole seconds, from 1970 on. */
			if (!subsecond)
				mtime = MAX(mtime - mtime % 1000000000, 0);
			assert_int_equal(e->mtime_ns, mtime);
		}
		place_release(&p);
	}
}

static int note_size(void *ctx, const struct entry *e, const char *link_to)
{
	assert_null(link_to);
	*(int64_t *)ctx = e->size;
	return 0;
}

static int ignore_data(void *ctx, const void *buf, size_t len, int64_t offset)
{
	(void)ctx;
	(void)buf;
	(void)len;
	(void)offset;
	return 0;
}

static int ignore_end(void *ctx)
{
	(void)ctx;
	return 0;
}

/* Sizes are written as they are, however large; the bytes need not exist. */
static void writes_sizes_over_8_gib(void **state)
{
	const struct entry e = { .path = "big", .type = ENTRY_FILE,
		.mode = 0644, .size = INT64_C(20) << 30 };
	static const char some[BLOCK * 8];

	(void)state;
	for (int subsecond = 0; subsecond < 2; subsecond++) {
		g_autoptr(GString) s = g_string_new(NULL);
		struct sink out = { .write = write_memory, .ctx = s };
		struct tar_writer *w = tar_writer_new(&out, subsecond);
		g_autoptr(GError) err = NULL;
		struct memory m;
		struct source in = { .read = read_memory, .ctx = &m };
		int64_t size = 0;
		const struct tar_handler h = {
			.entry = note_size, .data = ignore_data,
			.end = ignore_end, .ctx = &size,
		};

		assert_int_equal(tar_write_header(w, &e), 0);
		/* More than the writer keeps back. */
		for (int i = 0; i < 100; i++)
			assert_int_equal(tar_write_data(w, some, BLOCK * 8), 0);
		tar_writer_free(w);
		m = (struct memory){ .at = s->str, .left = s->len };
		/* Cut off far before its end: said so, not taken as short. */
		assert_true(tar_read(&in, NULL, &h, &err) < 0);
		assert_int_equal(err->code, FAIL_PROTOCOL);
		assert_int_equal(size, e.size);
	}
}

static void refuses_more_bytes_than_said(void **state)
{
	const struct entry e = { .path = "f", .type = ENTRY_FILE, .size = 3 };
	g_autoptr(GString) s = g_string_new(NULL);
	struct sink out = { .write = write_memory, .ctx = s };
	struct tar_writer *w = tar_writer_new(&out, false);

	(void)state;
	assert_int_equal(tar_write_header(w, &e), 0);
	assert_int_equal(tar_write_data(w, "1234", 4), -EFBIG);
	tar_writer_free(w);
}

/* --- theirs --------------------------------------------------------------------- */

static const char apple[] = "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X";

static void plain(GString *s)
{
	member(s, "./a/f", "hello", 5);
}

static void with_xattrs(GString *s)
{
	pax(s, 'x', "LIBARCHIVE.xattr.user.x", "dmFsdWU");
	member(s, "f", "1", 1);
	pax(s, 'x', "SCHILY.xattr.user.y", "value");
	member(s, "g", "2", 1);
	pax(s, 'g', "comment", "of the whole archive");
	member(s, "h", "3", 1);
}

static void apple_double(GString *s)
{
	member(s, "._f", apple, sizeof(apple));
	member(s, "f", "1", 1);
	member(s, "d/._g", apple, sizeof(apple));
	/* A person's own file may have such a name. */
	member(s, "._mine", "not metadata", 12);
}

static void special_files(GString *s)
{
	header(s, '6', "fifo", "", 0);
	header(s, '3', "chr", "", 0);
	header(s, '4', "blk", "", 0);
	member(s, "f", "1", 1);
}

static void hard_link(GString *s)
{
	member(s, "f", "hello", 5);
	header(s, '1', "g", "f", 0);
	header(s, '1', "d/h", "./f", 0);
}

static void twice(GString *s)
{
	member(s, "f", "first", 5);
	member(s, "f", "second", 6);
}

static void concatenated(GString *s)
{
	member(s, "f", "1", 1);
	end(s);
	member(s, "g", "2", 1);
}

static void through_a_link(GString *s)
{
	header(s, '2', "up", "..", 0);
	member(s, "up/escaped", "x", 1);
}

static void over_a_link(GString *s)
{
	header(s, '2', "f", "/etc/hostname", 0);
	member(s, "f", "own", 3);
}

static void dot_dot(GString *s)
{
	member(s, "../escaped", "x", 1);
}

static void dot_dot_inside(GString *s)
{
	member(s, "a/../../escaped", "x", 1);
}

static void absolute(GString *s)
{
	member(s, "/tmp/escaped", "x", 1);
}

static void pax_dot_dot(GString *s)
{
	pax(s, 'x', "path", "ok/../../escaped");
	member(s, "ok", "x", 1);
}

static void link_to_nothing(GString *s)
{
	header(s, '1', "g", "/etc/passwd", 0);
}

static void hard_link_to_a_link(GString *s)
{
	header(s, '2', "f", "/etc/passwd", 0);
	header(s, '1', "g", "f", 0);
}

static void empty_target(GString *s)
{
	header(s, '2', "f", "", 0);
}

static void negative_size(GString *s)
{
	header(s, '0', "f", "", UINT64_MAX - 5);
}

static void short_member(GString *s)
{
	header(s, '0', "f", "", 100000);
	g_string_append(s, "only this");
	pad(s);
}

static void garbage(GString *s)
{
	for (int i = 0; i < 300; i++)
		g_string_append(s, "tar: cannot open\n");
	pad(s);
}

/* FILES: paths in the order of a manifest, separated by '|'; NULL: refused. */
static const struct {
	const char *name;
	void (*make)(GString *s);
	const char *files;
} theirs[] = {
	{ "plain", plain, "a/f" },
	{ "xattrs", with_xattrs, "f|g|h" },
	{ "AppleDouble", apple_double, "._mine|f" },
	{ "special", special_files, "blk|chr|f|fifo" },
	{ "hard link", hard_link, "d/h|f|g" },
	{ "twice", twice, "f" },
	{ "concatenated", concatenated, "f|g" },
	{ "over a link", over_a_link, "f" },
	{ "through a link", through_a_link, NULL },
	{ "..", dot_dot, NULL },
	{ "a/../..", dot_dot_inside, NULL },
	{ "absolute", absolute, NULL },
	{ "pax ..", pax_dot_dot, NULL },
	{ "link to nothing", link_to_nothing, NULL },
	{ "hard link to a link", hard_link_to_a_link, NULL },
	{ "empty target", empty_target, NULL },
	{ "negative size", negative_size, NULL },
	{ "short member", short_member, NULL },
	{ "garbage", garbage, NULL },
};

static char *names_of(const struct manifest *m)
{
	GString *s = g_string_new(NULL);

	for (size_t i = 0; i < manifest_count(m); i++)
		g_string_append_printf(s, "%s%s", i ? "|" : "",
			manifest_at(m, i)->path);
	return g_string_free(s, FALSE);
}

/* What is on the disk is what was said to have arrived, and private. */
static void check_disk(const struct place *p, const struct manifest *m)
{
	for (size_t i = 0; i < manifest_count(m); i++) {
		const struct entry *e = manifest_at(m, i);
		struct digest d;
		struct stat st;
		int r = beneath_stat(p->fd, e->path, &st);

		if (e->type == ENTRY_SPECIAL) {
			assert_int_equal(r, -ENOENT);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(e->mode & ~0777, 0);
		if (e->type != ENTRY_FILE)
			continue;
		assert_true(S_ISREG(st.st_mode));
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(st.st_size, e->size);
		autofd int fd = beneath_open(p->fd, e->path, O_RDONLY, 0);

		assert_int_equal(digest_fd(fd, &d, NULL), 0);
		assert_true(digest_equal(&d, &e->digest));
	}
}

static void takes_what_others_send(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(theirs); i++) {
		g_autoptr(GString) s = g_string_new(NULL);
		g_autoptr(manifest_auto) got = NULL;
		g_autoptr(GError) err = NULL;
		g_autofree char *names = NULL;
		struct stat st;
		struct place p;
		int r;

		theirs[i].make(s);
		end(s);
		place_init(&p);
		r = extract(&p, s, 0, &got, &err);
		if ((r == 0) != (theirs[i].files != NULL))
			fail_msg("%s: %s", theirs[i].name,
				err ? err->message : "was taken");
		if (r == 0) {
			names = names_of(got);
			if (strcmp(names, theirs[i].files))
				fail_msg("%s: %s", theirs[i].name, names);
			check_disk(&p, got);
		}
		/* Nothing ever beside the directory. */
		assert_true(fstatat(p.fd, "../escaped", &st, 0) < 0);
		place_release(&p);
	}
}

/* A good archive cut anywhere, by blocks and within them, is never taken; nor
 * is one without its end marker. */
static void notices_every_cut(void **state)
{
	g_autoptr(GString) s = g_string_new(NULL);
	size_t whole;

	(void)state;
	pax(s, 'x', "mtime", "12.5");
	member(s, "f", "hello", 5);
	header(s, '5', "d", "", 0);
	member(s, "d/g", "again", 5);
	whole = s->len;
	end(s);
	for (size_t len = 0; len < whole + 2 * BLOCK; len += 128) {
		g_autoptr(GString) cut =
			g_string_new_len(s->str, (gssize)len);
		g_autoptr(manifest_auto) got = NULL;
		g_autoptr(GError) err = NULL;
		struct place p;

		place_init(&p);
		if (extract(&p, cut, 0, &got, &err) == 0)
			fail_msg("cut at %zu was taken", len);
		place_release(&p);
	}
}

static void keeps_to_limits(void **state)
{
	static const struct {
		struct tar_limits limits;
		bool taken;
	} rows[] = {
		{ { 0 }, true },
		{ { .entries = 2, .bytes = 10 }, true },
		{ { .entries = 1 }, false },
		{ { .bytes = 9 }, false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GString) s = g_string_new(NULL);
		g_autoptr(manifest_auto) got = NULL;
		struct memory m;
		struct source in = { .read = read_memory, .ctx = &m };
		struct place p;

		member(s, "f", "12345", 5);
		member(s, "g", "12345", 5);
		end(s);
		m = (struct memory){ .at = s->str, .left = s->len };
		place_init(&p);
		assert_int_equal(tar_extract(&in, &rows[i].limits, p.fd, &got,
					 NULL) == 0, rows[i].taken);
		place_release(&p);
	}
}

static ssize_t break_down(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	(void)buf;
	(void)len;
	return -ECONNRESET;
}

static void says_when_reading_fails(void **state)
{
	struct source in = { .read = break_down };
	g_autoptr(manifest_auto) got = NULL;
	g_autoptr(GError) err = NULL;
	struct place p;

	(void)state;
	place_init(&p);
	assert_true(tar_extract(&in, NULL, p.fd, &got, &err) < 0);
	assert_int_equal(err->code, FAIL_UNKNOWN);
	assert_non_null(strstr(err->message, g_strerror(ECONNRESET)));
	place_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(writes_sizes_over_8_gib),
		cmocka_unit_test(refuses_more_bytes_than_said),
		cmocka_unit_test(takes_what_others_send),
		cmocka_unit_test(notices_every_cut),
		cmocka_unit_test(keeps_to_limits),
		cmocka_unit_test(says_when_reading_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
