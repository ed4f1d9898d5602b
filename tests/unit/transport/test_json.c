/* JSON: what is one value, and what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/json.h"

static char *nested(unsigned depth)
{
	GString *s = g_string_new(NULL);

	for (unsigned i = 0; i < depth; i++)
		g_string_append_c(s, '[');
	for (unsigned i = 0; i < depth; i++)
		g_string_append_c(s, ']');
	return g_string_free(s, FALSE);
}

static void parses(const char *text, size_t len, bool good)
{
	GError *err = NULL;
	struct json *j = json_parse(text, len, &err);

	if ((j != NULL) != good)
		fail_msg("%s: %s", text, err ? err->message : "parsed");
	assert_true((err == NULL) == good);
	g_clear_error(&err);
	json_free(j);
}

static void one_value(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "{}", true }, { "[]", true }, { "null", true },
		{ "true", true }, { "\"x\"", true }, { "1.5e3", true },
		{ " {\"a\": [1, {\"b\": null}]} \n", true },
		{ "", false }, { " ", false }, { "{", false }, { "[1,]", false },
		{ "{} {}", false }, { "1 2", false }, { "nul", false },
		{ "{\"a\":1}x", false }, { "{a:1}", false },
		{ "{\"a\":1,}", false }, { "'a'", false },
		{ "{\"a\":1,\"a\":2}", false },
		{ "{\"a\":{\"b\":1,\"b\":1}}", false },
		{ "[{\"a\":1},{\"a\":1}]", true },
		/* A colon, a quote, in a string is no key. */
		{ "{\"a:b\": \"c:\\\":d\"}", true },
		{ "NaN", false }, { "Infinity", false }, { "1e999", false },
		{ "/* x */ 1", false },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		parses(rows[i].text, strlen(rows[i].text), rows[i].good);
	parses("{}\0", 3, false);
	parses("[1\0]", 4, false);
	for (unsigned depth = 60; depth < 70; depth++) {
		g_autofree char *text = nested(depth);

		parses(text, strlen(text), depth <= 64);
	}
}

static void values(void **state)
{
	static const char text[] = "{\"s\":\"x\",\"n\":-2.5,\"i\":9007199254740"
		"993,\"t\":true,\"z\":null,\"l\":[1,\"2\"],\"u\":\"a\\u0000b\"}";
	struct json *j = json_parse(text, strlen(text), NULL);
	int64_t n = 7;

	(void)state;
	assert_non_null(j);
	assert_int_equal(json_kind_of(j), JSON_OBJECT);
	assert_int_equal(json_count(j), 7);
	assert_string_equal(json_string(json_get(j, "s")), "x");
	assert_null(json_string(json_get(j, "n")));
	/* A string with a NUL in it is none that C can hold. */
	assert_null(json_string(json_get(j, "u")));
	assert_true(json_number(json_get(j, "n"), 0) == -2.5);
	assert_true(json_number(json_get(j, "s"), 4) == 4);
	assert_true(json_is_integer(json_get(j, "i"), &n));
	assert_int_equal(n, INT64_C(9007199254740993));
	assert_false(json_is_integer(json_get(j, "n"), &n));
	assert_true(json_flag(json_get(j, "t"), false));
	assert_true(json_flag(json_get(j, "none"), true));
	assert_int_equal(json_kind_of(json_get(j, "z")), JSON_NULL);
	assert_null(json_get(j, "none"));
	assert_int_equal(json_count(json_get(j, "l")), 2);
	assert_string_equal(json_string(json_at(json_get(j, "l"), 1)), "2");
	json_free(j);
}

static void written(void **state)
{
	struct json *j = json_new_object(), *a = json_new_array();
	g_autofree char *text = NULL;

	(void)state;
	json_append_string(a, "x\"y");
	json_append(a, json_new_object());
	json_put(j, "list", a);
	json_put_string(j, "none", NULL);
	json_put_int(j, "n", INT64_MIN);
	json_put_bool(j, "b", true);
	json_put_path(j, "p", "a/b");
	json_put_path(j, "q", "\xff");
	text = json_to_text(j, false);
	assert_string_equal(text, "{\"list\":[\"x\\\"y\",{}],\"none\":null,"
		"\"n\":-9223372036854775808,\"b\":true,\"p\":\"a/b\","
		"\"q_base64\":\"/w==\"}");
	json_free(j);
	json_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_value),
		cmocka_unit_test(values),
		cmocka_unit_test(written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
