/*
 * A struct json is a json-c object under another name; the casts are here and
 * nowhere else.
 */
#include "transport/json.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"

enum { JSON_DEPTH = 64 };

static struct json_object *obj_of(const struct json *j)
{
	return (struct json_object *)(uintptr_t)j;
}

static struct json *json_of(struct json_object *o)
{
	return (struct json *)o;
}

/* json-c has no object for null: a marked string stands for it. */
static const char null_mark[] = "\001null";

static struct json_object *new_null(void)
{
	struct json_object *o = json_object_new_string("");

	json_object_set_userdata(o, (void *)(uintptr_t)null_mark, NULL);
	return o;
}

static bool is_null(const struct json *j)
{
	return !j || json_object_get_userdata(obj_of(j)) == null_mark;
}

/*
 * json-c keeps the last of duplicate keys without a word. They are counted
 * here: every ':' outside a string is one key of some object.
 */
static size_t count_keys(const char *text, size_t len)
{
	size_t n = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && text[i] == ':')
			n++;
	}
	return n;
}

static size_t count_members(struct json_object *o)
{
	size_t n = 0;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			n += 1 + count_members(value);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += count_members(json_object_array_get_idx(o, i));
	}
	return n;
}

static bool has_odd_number(struct json_object *o)
{
	bool odd = false;

	if (json_object_is_type(o, json_type_double))
		return !isfinite(json_object_get_double(o));
	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			odd |= has_odd_number(value);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			odd |= has_odd_number(
				json_object_array_get_idx(o, i));
	}
	return odd;
}

static size_t skip_space(const char *text, size_t len, size_t i)
{
	while (i < len && strchr(" \t\r\n", text[i]) && text[i])
		i++;
	return i;
}

struct json *json_parse(const char *text, size_t len, GError **err)
{
	struct json_tokener *t;
	struct json_object *o;
	enum json_tokener_error why;
	size_t end;

	if (len > INT32_MAX) {
		fail(err, FAIL_USAGE, "JSON of %zu bytes: too large", len);
		return NULL;
	}
	if (memchr(text, '\0', len) || !g_utf8_validate(text, (gssize)len,
					       NULL)) {
		fail(err, FAIL_USAGE, "JSON: not UTF-8 text");
		return NULL;
	}
	t = json_tokener_new_ex(JSON_DEPTH);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(t, text, (int)len);
	why = json_tokener_get_error(t);
	end = json_tokener_get_parse_end(t);
	/* A number at the very end waits for what may follow it. */
	if (why == json_tokener_continue) {
		o = json_tokener_parse_ex(t, "", -1);
		why = json_tokener_get_error(t);
		end = len;
	}
	end = skip_space(text, len, end);
	json_tokener_free(t);
	if (why != json_tokener_success) {
		fail(err, FAIL_USAGE, "JSON: %s at byte %zu",
			json_tokener_error_desc(why), end);
		return NULL;
	}
	if (!o)
		o = new_null();
	if (end < len)
		fail(err, FAIL_USAGE, "JSON: something follows at byte %zu",
			end);
	else if (count_keys(text, len) != count_members(o))
		fail(err, FAIL_USAGE, "JSON: a key appears twice");
	else if (has_odd_number(o))
		fail(err, FAIL_USAGE, "JSON: a number is not finite");
	else
		return json_of(o);
	json_object_put(o);
	return NULL;
}

struct json *json_new_object(void)
{
	return json_of(json_object_new_object());
}

struct json *json_new_array(void)
{
	return json_of(json_object_new_array());
}

void json_free(struct json *j)
{
	json_object_put(obj_of(j));
}

enum json_kind json_kind_of(const struct json *j)
{
	if (is_null(j))
		return JSON_NULL;
	switch (json_object_get_type(obj_of(j))) {
	case json_type_null:
		return JSON_NULL;
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_double:
	case json_type_int:
		return JSON_NUMBER;
	case json_type_string:
		return JSON_STRING;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_object:
		return JSON_OBJECT;
	}
	return JSON_NULL;
}

size_t json_count(const struct json *j)
{
	switch (json_kind_of(j)) {
	case JSON_ARRAY:
		return json_object_array_length(obj_of(j));
	case JSON_OBJECT:
		return (size_t)json_object_object_length(obj_of(j));
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
	case JSON_STRING:
		return 0;
	}
	return 0;
}

const struct json *json_get(const struct json *obj, const char *key)
{
	struct json_object *value = NULL;

	if (json_kind_of(obj) != JSON_OBJECT)
		return NULL;
	json_object_object_get_ex(obj_of(obj), key, &value);
	return json_of(value);
}

const struct json *json_at(const struct json *arr, size_t i)
{
	if (json_kind_of(arr) != JSON_ARRAY || i >= json_count(arr))
		return NULL;
	return json_of(json_object_array_get_idx(obj_of(arr), i));
}

const char *json_key_at(const struct json *obj, size_t i)
{
	if (json_kind_of(obj) != JSON_OBJECT)
		return NULL;
	json_object_object_foreach(obj_of(obj), key, value)
	{
		(void)value;
		if (i-- == 0)
			return key;
	}
	return NULL;
}

const char *json_string(const struct json *j)
{
	const char *s;

	if (json_kind_of(j) != JSON_STRING)
		return NULL;
	s = json_object_get_string(obj_of(j));
	return strlen(s) == (size_t)json_object_get_string_len(obj_of(j))
		? s : NULL;
}

bool json_flag(const struct json *j, bool fallback)
{
	return json_kind_of(j) == JSON_BOOL ? json_object_get_boolean(obj_of(j))
					 : fallback;
}

double json_number(const struct json *j, double fallback)
{
	return json_kind_of(j) == JSON_NUMBER ? json_object_get_double(obj_of(j))
					   : fallback;
}

bool json_is_integer(const struct json *j, int64_t *out)
{
	if (is_null(j) || !json_object_is_type(obj_of(j), json_type_int))
		return false;
	*out = json_object_get_int64(obj_of(j));
	return true;
}

void json_put(struct json *obj, const char *key, struct json *value)
{
	json_object_object_add(
		obj_of(obj), key, value ? obj_of(value) : NULL);
}

void json_append(struct json *arr, struct json *value)
{
	json_object_array_add(obj_of(arr), value ? obj_of(value) : NULL);
}

/* Text that is not UTF-8 is shown escaped rather than passed on broken. */
static struct json_object *new_string(const char *s)
{
	g_autofree char *shown = NULL;

	if (!s)
		return NULL;
	if (!g_utf8_validate(s, -1, NULL))
		s = shown = path_display(s);
	return json_object_new_string(s);
}

void json_put_string(struct json *obj, const char *key, const char *s)
{
	json_object_object_add(obj_of(obj), key, new_string(s));
}

void json_put_int(struct json *obj, const char *key, int64_t n)
{
	json_object_object_add(obj_of(obj), key, json_object_new_int64(n));
}

void json_put_bool(struct json *obj, const char *key, bool b)
{
	json_object_object_add(obj_of(obj), key, json_object_new_boolean(b));
}

void json_put_path(struct json *obj, const char *key, const char *path)
{
	if (!path || g_utf8_validate(path, -1, NULL)) {
		json_put_string(obj, key, path);
		return;
	}
	g_autofree char *key64 = g_strconcat(key, "_base64", NULL);
	g_autofree char *text =
		g_base64_encode((const guchar *)path, strlen(path));

	json_put_string(obj, key64, text);
}

void json_append_string(struct json *arr, const char *s)
{
	json_object_array_add(obj_of(arr), new_string(s));
}

char *json_to_text(const struct json *j, bool pretty)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE |
		(pretty ? JSON_C_TO_STRING_PRETTY : 0);

	return g_strdup(is_null(j) ? "null"
				   : json_object_to_json_string_ext(
					     obj_of(j), flags));
}

char *json_library(void)
{
	return g_strdup_printf("json-c %s", json_c_version());
}
