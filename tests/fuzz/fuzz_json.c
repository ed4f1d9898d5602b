/* JSON: what parses prints as text that parses to the same text. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

#include "transport/json.h"

static void walk(const struct json *j, int depth)
{
	int64_t n;

	FUZZ_CHECK(depth <= 64);
	json_string(j);
	json_flag(j, false);
	json_is_integer(j, &n);
	FUZZ_CHECK(isfinite(json_number(j, 0)));
	for (size_t i = 0; i < json_count(j); i++) {
		if (json_kind_of(j) == JSON_ARRAY) {
			walk(json_at(j, i), depth + 1);
		} else {
			FUZZ_CHECK(json_key_at(j, i));
			walk(json_get(j, json_key_at(j, i)), depth + 1);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = fuzz_copy(data, len);
	GError *why = NULL;
	struct json *j = json_parse(text, len, &why);

	FUZZ_CHECK((j == NULL) == (why != NULL));
	if (j) {
		g_autofree char *once = json_to_text(j, false);
		struct json *again = json_parse(once, strlen(once), NULL);

		walk(j, 0);
		FUZZ_CHECK(again);
		g_autofree char *twice = json_to_text(again, false);

		FUZZ_CHECK(!strcmp(once, twice));
		json_free(again);
	}
	g_clear_error(&why);
	json_free(j);
	return 0;
}
