#ifndef MERGE_LIB_DIGEST_H
#define MERGE_LIB_DIGEST_H
/*
 * SHA-256 through libcrypto, the digest a sandbox can check with sha256sum.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest {
	uint8_t bytes[32];
};

enum { DIGEST_HEX_LEN = 64 };

bool digest_equal(const struct digest *a, const struct digest *b);
/* HEX gets 64 lower-case digits and a NUL. */
void digest_to_hex(const struct digest *d, char hex[DIGEST_HEX_LEN + 1]);
/* False (and D untouched) unless HEX begins with 64 hexadecimal digits. */
bool digest_from_hex(struct digest *d, const char *hex);

/* One running digest. hasher_free(NULL) is fine. */
struct hasher;
struct hasher *hasher_new(void);
void hasher_update(struct hasher *h, const void *buf, size_t len);
/* Gives the digest and makes H ready for the next one. */
void hasher_final(struct hasher *h, struct digest *out);
void hasher_free(struct hasher *h);

void digest_bytes(const void *buf, size_t len, struct digest *out);
/* Reads FD from its current offset to the end. *SIZE (may be NULL) is the
 * count of bytes read. 0 or a negative errno. */
int digest_fd(int fd, struct digest *out, uint64_t *size);

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *digest_library(void);

#endif
