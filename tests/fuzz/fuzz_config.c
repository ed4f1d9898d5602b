/* The config file and the word on the command line. The input's first line is
 * the word, the rest the file. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <unistd.h>

#include "transport/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *newline = memchr(data, '\n', len);
	size_t head = newline ? (size_t)(newline - data) : len;
	g_autofree char *word = g_strndup(data ? (const char *)data : "", head);
	g_autofree char *file = fuzz_scratch_file("config.json", data + head,
		len - head);
	GHashTable *options = NULL;
	GError *why = NULL;
	struct spec *s = spec_resolve(word, file, &options, &why);

	FUZZ_CHECK((s == NULL) == (why != NULL));
	if (s) {
		FUZZ_CHECK(options && *s->remote_cwd == '/' && *s->sandbox_id);
		FUZZ_CHECK(strcmp(s->provider, "command") || s->command);
		g_hash_table_unref(options);
	}
	spec_free(s);
	g_clear_error(&why);
	return 0;
}
