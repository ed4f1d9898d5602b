/* Sandbox specs: one that is taken keeps its rules and prints without the
 * key. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "transport/json.h"
#include "transport/spec.h"

static void check_spec(const struct spec *s)
{
	g_autofree char *text = spec_to_json(s);
	g_autofree char *name = spec_default_name(s);
	g_autofree char *identity = spec_identity_json(s);
	struct json *j = json_parse(text, strlen(text), NULL);
	struct spec *copy = spec_copy(s);

	FUZZ_CHECK(*s->provider && *s->sandbox_id && *s->remote_cwd == '/');
	FUZZ_CHECK(s->timeout_ms > 0 && *identity == '{');
	FUZZ_CHECK(j && !json_get(j, "apiKey"));
	FUZZ_CHECK(*name && strlen(name) <= 64 && !strchr(name, '/') &&
		*name != '.' && *name != '-');
	FUZZ_CHECK(spec_same_sandbox(s, copy) && !copy->api_key);
	spec_free(copy);
	json_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = fuzz_copy(data, len);
	GError *why = NULL;
	struct spec *s = spec_parse(text, len, "fuzz", &why);

	FUZZ_CHECK((s == NULL) == (why != NULL));
	if (s)
		check_spec(s);
	spec_free(s);
	g_clear_error(&why);
	return 0;
}
