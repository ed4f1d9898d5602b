/* The rules of a sandbox spec; each error names its key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/json.h"
#include "transport/spec.h"

#define GOOD "\"transport\":\"sandbox\",\"provider\":\"e2b\"," \
	"\"sandboxId\":\"i1\",\"remoteCwd\":\"/w\",\"timeoutMs\":1000"

static void refused(void **state)
{
	static const struct {
		const char *text, *named;
	} rows[] = {
		{ "[]", "object" },
		{ "{", "" },
		{ "{}", "transport" },
		{ "{\"transport\":\"ssh\",\"provider\":\"e2b\",\"sandboxId\":"
		  "\"i\",\"remoteCwd\":\"/w\",\"timeoutMs\":1}", "transport" },
		{ "{\"transport\":\"sandbox\",\"sandboxId\":\"i\",\"remoteCwd\""
		  ":\"/w\",\"timeoutMs\":1}", "provider" },
		{ "{\"transport\":\"sandbox\",\"provider\":\" \\t\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"/w\",\"timeoutMs\":1}",
			"provider" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"\",\"remoteCwd\":\"/w\",\"timeoutMs\":1}",
			"sandboxId" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":7,\"remoteCwd\":\"/w\",\"timeoutMs\":1}",
			"sandboxId" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\" \",\"timeoutMs\":1}",
			"remoteCwd" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"w\",\"timeoutMs\":1}",
			"remoteCwd" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"/w\"}", "timeoutMs" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"/w\",\"timeoutMs\":0}",
			"timeoutMs" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"/w\",\"timeoutMs\":-1}",
			"timeoutMs" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"/w\",\"timeoutMs\":"
		  "\"1\"}", "timeoutMs" },
		{ "{\"transport\":\"sandbox\",\"provider\":\"e2b\","
		  "\"sandboxId\":\"i\",\"remoteCwd\":\"/w\",\"timeoutMs\":null}",
			"timeoutMs" },
		{ "{" GOOD ",\"apiKey\":5}", "apiKey" },
		{ "{" GOOD ",\"apikey\":\"x\"}", "apikey" },
		{ "{" GOOD ",\"timeoutMs\":2}", "" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		GError *err = NULL;
		struct spec *s = spec_parse(rows[i].text,
			strlen(rows[i].text), "here", &err);

		if (s || !strstr(err->message, rows[i].named))
			fail_msg("%s: %s", rows[i].text,
				s ? "parsed" : err->message);
		assert_true(g_str_has_prefix(err->message, "here"));
		g_clear_error(&err);
	}
}

static struct spec *parse(const char *text)
{
	GError *err = NULL;
	struct spec *s = spec_parse(text, strlen(text), "here", &err);

	if (!s)
		fail_msg("%s", err->message);
	return s;
}

static void normalised(void **state)
{
	static const struct {
		const char *key;	/* as JSON */
		const char *want;
	} keys[] = {
		{ "\" k1 \\n\"", "k1" }, { "\"\"", NULL }, { "\"  \"", NULL },
	};
	struct spec *s = parse("{\"transport\":\" sandbox \",\"provider\":"
		"\"\\te2b\",\"sandboxId\":\" i1 \",\"remoteCwd\":\" //w///x/ \","
		"\"timeoutMs\":0.25}");

	(void)state;
	assert_string_equal(s->provider, "e2b");
	assert_string_equal(s->sandbox_id, "i1");
	assert_string_equal(s->remote_cwd, "/w/x");
	/* Not rounded to "none". */
	assert_int_equal(s->timeout_ms, 1);
	assert_null(s->api_key);
	spec_free(s);
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autofree char *text = g_strdup_printf(
			"{" GOOD ",\"apiKey\":%s}", keys[i].key);

		s = parse(text);
		if (keys[i].want)
			assert_string_equal(s->api_key, keys[i].want);
		else
			assert_null(s->api_key);
		spec_free(s);
	}
}

/* The key is nowhere but in memory. */
static void key_stays(void **state)
{
	struct spec *s = parse("{" GOOD ",\"apiKey\":\"secret\"}");
	struct spec *copy = spec_copy(s);
	g_autofree char *text = spec_to_json(s);
	g_autofree char *identity = spec_identity_json(s);

	(void)state;
	assert_null(strstr(text, "secret"));
	assert_null(copy->api_key);
	assert_string_equal(identity, "{\"transport\":\"sandbox\",\"provider\":"
		"\"e2b\",\"sandboxId\":\"i1\",\"remoteCwd\":\"/w\"}");
	assert_true(spec_same_sandbox(s, copy));
	spec_free(copy);
	spec_free(s);
}

static void same_sandbox(void **state)
{
	static const struct {
		const char *provider, *id, *cwd, *timeout;
		bool same;
	} rows[] = {
		{ "e2b", "i1", "/w/", "7", true },
		{ "e2b", "i1", "//w", "1000", true },
		{ "e2b", "i2", "/w", "1000", false },
		{ "e2b", "i1", "/v", "1000", false },
		{ "docker", "i1", "/w", "1000", false },
		{ "e2b", "I1", "/w", "1000", false },
	};
	struct spec *a = parse("{" GOOD "}");

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = g_strdup_printf(
			"{\"transport\":\"sandbox\",\"provider\":\"%s\","
			"\"sandboxId\":\"%s\",\"remoteCwd\":\"%s\","
			"\"timeoutMs\":%s}", rows[i].provider, rows[i].id,
			rows[i].cwd, rows[i].timeout);
		struct spec *b = parse(text);

		assert_int_equal(spec_same_sandbox(a, b), rows[i].same);
		assert_int_equal(spec_same_sandbox(b, a), rows[i].same);
		spec_free(b);
	}
	spec_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(normalised),
		cmocka_unit_test(key_stays),
		cmocka_unit_test(same_sandbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
