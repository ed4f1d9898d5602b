#include "merge/lib/digest.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <openssl/evp.h>

enum { BUFFER = 128 * 1024 };

struct hasher {
	EVP_MD_CTX *ctx;
};

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void digest_to_hex(const struct digest *d, char hex[DIGEST_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(d->bytes); i++) {
		hex[2 * i] = digits[d->bytes[i] >> 4];
		hex[2 * i + 1] = digits[d->bytes[i] & 15];
	}
	hex[DIGEST_HEX_LEN] = '\0';
}

bool digest_from_hex(struct digest *d, const char *hex)
{
	struct digest out;

	for (size_t i = 0; i < sizeof(out.bytes); i++) {
		int high = g_ascii_xdigit_value(hex[2 * i]);
		int low = high < 0 ? -1 : g_ascii_xdigit_value(hex[2 * i + 1]);

		if (low < 0)
			return false;
		out.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*d = out;
	return true;
}

/* libcrypto fails here only without memory or without SHA-256 at all. */
static void must(int ok)
{
	if (ok != 1)
		g_error("libcrypto cannot compute SHA-256");
}

struct hasher *hasher_new(void)
{
	struct hasher *h = g_new0(struct hasher, 1);

	h->ctx = EVP_MD_CTX_new();
	must(h->ctx != NULL);
	must(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
	return h;
}

void hasher_update(struct hasher *h, const void *buf, size_t len)
{
	must(EVP_DigestUpdate(h->ctx, buf, len));
}

void hasher_final(struct hasher *h, struct digest *out)
{
	must(EVP_DigestFinal_ex(h->ctx, out->bytes, NULL));
	must(EVP_DigestInit_ex(h->ctx, NULL, NULL));
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	g_free(h);
}

void digest_bytes(const void *buf, size_t len, struct digest *out)
{
	struct hasher *h = hasher_new();

	hasher_update(h, buf, len);
	hasher_final(h, out);
	hasher_free(h);
}

int digest_fd(int fd, struct digest *out, uint64_t *size)
{
	g_autofree char *buf = g_malloc(BUFFER);
	struct hasher *h = hasher_new();
	uint64_t total = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, buf, BUFFER);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		hasher_update(h, buf, (size_t)n);
		total += (uint64_t)n;
	}
	int r = n < 0 ? -errno : 0;

	if (r == 0) {
		hasher_final(h, out);
		if (size)
			*size = total;
	}
	hasher_free(h);
	return r;
}

char *digest_library(void)
{
	return g_strdup_printf("OpenSSL %s",
		OpenSSL_version(OPENSSL_VERSION_STRING));
}
