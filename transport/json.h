#ifndef TRANSPORT_JSON_H
#define TRANSPORT_JSON_H
/*
 * JSON for the whole program; the only file that knows json-c.
 *
 * A json value is a reference-counted tree; json_free drops the caller's
 * reference. Getters return borrowed values. Text that is not UTF-8 must not
 * be put in: use json_put_path(), which adds KEY, or KEY_base64 if PATH is not
 * UTF-8 (CLI.md).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

struct json;
enum json_kind {
	JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
};

/* Strict parse of exactly one value of LEN bytes, nested at most 64 deep;
 * duplicate keys, trailing bytes and NaN are errors naming the offset. */
struct json *json_parse(const char *text, size_t len, GError **err);
struct json *json_new_object(void);
struct json *json_new_array(void);
void json_free(struct json *j);	/* NULL is fine */

enum json_kind json_kind_of(const struct json *j);
size_t json_count(const struct json *j);
const struct json *json_get(const struct json *obj, const char *key);
const struct json *json_at(const struct json *arr, size_t i);
const char *json_key_at(const struct json *obj, size_t i);
/* The value's string, or NULL when it is not one (or holds a NUL). */
const char *json_string(const struct json *j);
bool json_flag(const struct json *j, bool fallback);
double json_number(const struct json *j, double fallback);
bool json_is_integer(const struct json *j, int64_t *out);

void json_put(struct json *obj, const char *key, struct json *value); /* takes */
void json_append(struct json *arr, struct json *value);		      /* takes */
void json_put_string(struct json *obj, const char *key, const char *s); /* NULL:
							 * null */
void json_put_int(struct json *obj, const char *key, int64_t n);
void json_put_bool(struct json *obj, const char *key, bool b);
void json_put_path(struct json *obj, const char *key, const char *path);
void json_append_string(struct json *arr, const char *s);
/* One line or indented text; g_free it. */
char *json_to_text(const struct json *j, bool pretty);

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *json_library(void);

#endif
