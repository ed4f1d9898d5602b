/* Whole transfers, copies that keep holes, names of temporary files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/io.h"

enum { MANY = 1 << 20 };

static void *send_many(void *arg)
{
	g_autofree char *block = g_strnfill(MANY, 'x');
	autofd int fd = *(int *)arg;

	return io_write_full(fd, block, MANY) == 0 ? arg : NULL;
}

/* A pipe holds 64 KiB: neither side gets all in one call. */
static void whole_transfers(void **state)
{
	g_autofree char *got = g_malloc(MANY + 1);
	pthread_t writer;
	void *sent;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(pthread_create(&writer, NULL, send_many, &p[1]), 0);
	assert_int_equal(io_read_full(p[0], got, MANY + 1), MANY);
	assert_int_equal(pthread_join(writer, &sent), 0);
	assert_non_null(sent);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(got[i], 'x');
	assert_int_equal(io_read_full(p[0], got, 1), 0);
	close(p[0]);
}

static void failed_transfers(void **state)
{
	char c = 'x';
	int p[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(p), 0);
	close(p[0]);
	assert_int_equal(io_write_full(p[1], &c, 1), -EPIPE);
	close(p[1]);
	assert_int_equal(io_read_full(-1, &c, 1), -EBADF);
}

static int file_with_holes(off_t size)
{
	char name[] = "/tmp/io-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, size / 2), 6);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void copies_keep_holes(void **state)
{
	const off_t size = (off_t)64 << 20;
	autofd int from = file_with_holes(size);
	autofd int to = file_with_holes(0);
	struct digest copied, read_back;
	struct stat a, b;
	uint64_t count = 0;

	(void)state;
	assert_int_equal(ftruncate(to, 0), 0);
	assert_int_equal(lseek(from, 17, SEEK_SET), 17);
	assert_int_equal(io_copy_file(from, to, &copied, &count), 0);
	assert_int_equal(count, size);
	assert_int_equal(fstat(from, &a), 0);
	assert_int_equal(fstat(to, &b), 0);
	assert_int_equal(b.st_size, size);
	assert_true(b.st_blocks <= a.st_blocks + 16);
	assert_int_equal(lseek(to, 0, SEEK_SET), 0);
	assert_int_equal(digest_fd(to, &read_back, NULL), 0);
	assert_true(digest_equal(&copied, &read_back));
	assert_int_equal(lseek(from, 0, SEEK_SET), 0);
	assert_int_equal(digest_fd(from, &read_back, NULL), 0);
	assert_true(digest_equal(&copied, &read_back));
}

static void copies_of_nothing(void **state)
{
	autofd int from = memfd_create("from", MFD_CLOEXEC);
	autofd int to = memfd_create("to", MFD_CLOEXEC);
	struct digest d, empty;
	uint64_t count = 1;

	(void)state;
	digest_bytes("", 0, &empty);
	assert_int_equal(io_copy_file(from, to, &d, &count), 0);
	assert_int_equal(count, 0);
	assert_true(digest_equal(&d, &empty));
	assert_int_equal(io_copy_file(from, to, NULL, NULL), 0);
	assert_int_equal(io_copy_file(-1, to, NULL, NULL), -EBADF);
}

static void descriptors_are_handed_over(void **state)
{
	int given;

	(void)state;
	{
		autofd int fd = memfd_create("fd", MFD_CLOEXEC);

		given = steal_fd(&fd);
		assert_int_equal(fd, -1);
	}
	assert_true(fcntl(given, F_GETFD) >= 0);
	{
		autofd int fd = given;

		(void)fd;
	}
	assert_int_equal(fcntl(given, F_GETFD), -1);
}

static void temporary_names(void **state)
{
	static const char *const others[] = { "", ".sandmount", "a.tmp",
		".sandmount-x.tmp.c", "x.sandmount-x.tmp", ".sandmount-x" };
	g_autoptr(GHashTable) seen =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char *name = io_temp_name();

		assert_true(io_is_temp_name(name));
		assert_null(strchr(name, '/'));
		assert_true(g_hash_table_add(seen, name));
	}
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
		assert_false(io_is_temp_name(others[i]));
}

static void random_digits(void **state)
{
	g_autofree char *a = io_random_hex(16);
	g_autofree char *b = io_random_hex(16);

	(void)state;
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_transfers),
		cmocka_unit_test(failed_transfers),
		cmocka_unit_test(copies_keep_holes),
		cmocka_unit_test(copies_of_nothing),
		cmocka_unit_test(descriptors_are_handed_over),
		cmocka_unit_test(temporary_names),
		cmocka_unit_test(random_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
