/* SHA-256 against the vectors of FIPS 180-4, and its text form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/digest.h"
#include "merge/lib/io.h"

static const char ABC[] =
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void check_hex(const struct digest *d, const char *want)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(d, hex);
	assert_string_equal(hex, want);
}

static void known_vectors(void **state)
{
	static const struct {
		const char *text, *hex;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb924"
		      "27ae41e4649b934ca495991b7852b855" },
		{ "abc", ABC },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039"
			"a33ce45964ff2167f6ecedd419db06c1" },
	};
	struct digest d;

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		digest_bytes(rows[i].text, strlen(rows[i].text), &d);
		check_hex(&d, rows[i].hex);
	}
}

/* In pieces, and one hasher for several digests. */
static void in_pieces(void **state)
{
	g_autofree char *block = g_strnfill(1000, 'a');
	struct hasher *h = hasher_new();
	struct digest d;

	(void)state;
	for (int i = 0; i < 1000; i++)
		hasher_update(h, block, 1000);
	hasher_final(h, &d);
	check_hex(&d, "cdc76e5c9914fb9281a1c7e284d73e67"
		      "f1809a48a497200e046d39ccc7112cd0");
	hasher_update(h, "a", 1);
	hasher_update(h, "bc", 2);
	hasher_final(h, &d);
	check_hex(&d, ABC);
	hasher_free(h);
	hasher_free(NULL);
}

static void of_a_descriptor(void **state)
{
	autofd int fd = memfd_create("digest", MFD_CLOEXEC);
	struct digest d;
	uint64_t size = 0;

	(void)state;
	assert_int_equal(io_write_full(fd, "....abc", 7), 0);
	assert_int_equal(lseek(fd, 4, SEEK_SET), 4);
	assert_int_equal(digest_fd(fd, &d, &size), 0);
	assert_int_equal(size, 3);
	check_hex(&d, ABC);
	assert_int_equal(digest_fd(-1, &d, NULL), -EBADF);
}

static void hexadecimal(void **state)
{
	g_autofree char *upper = g_ascii_strup(ABC, -1);
	g_autofree char *longer = g_strconcat(ABC, " and more", NULL);
	struct digest d, e;

	(void)state;
	assert_true(digest_from_hex(&d, ABC));
	check_hex(&d, ABC);
	assert_true(digest_from_hex(&e, upper));
	assert_true(digest_equal(&d, &e));
	assert_true(digest_from_hex(&e, longer));
	e.bytes[31] ^= 1;
	assert_false(digest_equal(&d, &e));
	for (size_t len = 0; len < DIGEST_HEX_LEN; len++) {
		g_autofree char *cut = g_strndup(ABC, len);

		assert_false(digest_from_hex(&e, cut));
		g_autofree char *bad = g_strdup(ABC);

		bad[len] = 'g';
		assert_false(digest_from_hex(&e, bad));
	}
	e.bytes[31] ^= 1;
	assert_true(digest_equal(&d, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(of_a_descriptor),
		cmocka_unit_test(hexadecimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
