/*
 * The keys of a spec that only some providers have. One table says what each
 * is; reading, writing, copying and freeing follow it.
 */
#include "transport/spec_internal.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "transport/json.h"

enum kind { TEXT, WORDS, MILLISECONDS, FLAG };

static const struct option {
	const char *key, *providers;	/* the latter separated by spaces */
	enum kind kind;
	size_t offset;
} options[] = {
	{ "apiKeyFile", "e2b cloudflare", TEXT,
		offsetof(struct spec, api_key_file) },
	{ "apiKeyCommand", "e2b cloudflare", WORDS,
		offsetof(struct spec, api_key_command) },
	{ "baseUrl", "e2b cloudflare", TEXT, offsetof(struct spec, base_url) },
	{ "sandboxUrl", "e2b", TEXT, offsetof(struct spec, sandbox_url) },
	{ "domain", "e2b", TEXT, offsetof(struct spec, domain) },
	{ "template", "e2b", TEXT, offsetof(struct spec, template) },
	{ "user", "e2b", TEXT, offsetof(struct spec, user) },
	{ "lifetimeMs", "e2b cloudflare", MILLISECONDS,
		offsetof(struct spec, lifetime_ms) },
	{ "resume", "e2b", FLAG, offsetof(struct spec, resume) },
};

static const struct option *find(const char *key)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
		if (!strcmp(options[i].key, key))
			return &options[i];
	return NULL;
}

bool spec_option_is_key(const char *key)
{
	return find(key) != NULL;
}

static void *field(struct spec *s, const struct option *o)
{
	return (char *)s + o->offset;
}

static const void *value(const struct spec *s, const struct option *o)
{
	return (const char *)s + o->offset;
}

static int take_text(char **to, const struct json *v)
{
	const char *text = json_string(v);

	if (!text)
		return -1;
	*to = g_strstrip(g_strdup(text));
	return **to ? 0 : -1;
}

static int take_words(char ***to, const struct json *v)
{
	size_t n = json_kind_of(v) == JSON_ARRAY ? json_count(v) : 0;

	*to = g_new0(char *, n + 1);
	for (size_t i = 0; i < n; i++) {
		const char *word = json_string(json_at(v, i));

		if (!word)
			return -1;
		(*to)[i] = g_strdup(word);
	}
	return n ? 0 : -1;
}

static int take_one(struct spec *s, const struct option *o,
	const struct json *v, const char *where, GError **err)
{
	static const char *const must_be[] = {
		[TEXT] = "a string that is not empty",
		[WORDS] = "a list of strings that is not empty",
		[MILLISECONDS] = "whole milliseconds, at least 1000",
		[FLAG] = "true or false",
	};
	int64_t n;
	int r = 0;

	switch (o->kind) {
	case TEXT:
		r = take_text(field(s, o), v);
		break;
	case WORDS:
		r = take_words(field(s, o), v);
		break;
	case MILLISECONDS:
		if (!json_is_integer(v, &n) || n < 1000 ||
			n > INT64_C(1000) * INT32_MAX)
			r = -1;
		else
			*(int64_t *)field(s, o) = n;
		break;
	case FLAG:
		if (json_kind_of(v) != JSON_BOOL)
			r = -1;
		else
			*(enum spec_flag *)field(s, o) = json_flag(v, false)
				? SPEC_YES : SPEC_NO;
		break;
	}
	if (r == 0)
		return 0;
	return fail(err, FAIL_USAGE, "%s: \"%s\" must be %s", where, o->key,
		must_be[o->kind]);
}

int spec_options_take(struct spec *s, const struct json *j, const char *where,
	GError **err)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
		const struct json *v = json_get(j, options[i].key);
		g_auto(GStrv) names = g_strsplit(options[i].providers, " ", -1);

		if (!v)
			continue;
		if (!g_strv_contains((const char *const *)names, s->provider))
			return fail(err, FAIL_USAGE,
				"%s: \"%s\" has no meaning for provider %s; "
				"leave it out", where, options[i].key,
				s->provider);
		if (take_one(s, &options[i], v, where, err) < 0)
			return -EINVAL;
	}
	return 0;
}

void spec_options_put(const struct spec *s, struct json *j)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
		const struct option *o = &options[i];
		const void *at = value(s, o);
		struct json *arr;

		switch (o->kind) {
		case TEXT:
			if (*(char *const *)at)
				json_put_string(j, o->key, *(char *const *)at);
			break;
		case WORDS:
			if (!*(char **const *)at)
				break;
			arr = json_new_array();
			for (char **w = *(char **const *)at; *w; w++)
				json_append_string(arr, *w);
			json_put(j, o->key, arr);
			break;
		case MILLISECONDS:
			if (*(const int64_t *)at)
				json_put_int(j, o->key, *(const int64_t *)at);
			break;
		case FLAG:
			if (*(const enum spec_flag *)at != SPEC_UNSET)
				json_put_bool(j, o->key,
					*(const enum spec_flag *)at ==
						SPEC_YES);
			break;
		}
	}
}

void spec_options_copy(struct spec *to, const struct spec *from)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
		const struct option *o = &options[i];
		const void *at = value(from, o);

		switch (o->kind) {
		case TEXT:
			*(char **)field(to, o) = g_strdup(*(char *const *)at);
			break;
		case WORDS:
			*(char ***)field(to, o) = g_strdupv(*(char **const *)at);
			break;
		case MILLISECONDS:
			*(int64_t *)field(to, o) = *(const int64_t *)at;
			break;
		case FLAG:
			*(enum spec_flag *)field(to, o) =
				*(const enum spec_flag *)at;
			break;
		}
	}
}

void spec_options_clear(struct spec *s)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
		const struct option *o = &options[i];

		switch (o->kind) {
		case TEXT:
			g_clear_pointer((char **)field(s, o), g_free);
			break;
		case WORDS:
			g_clear_pointer((char ***)field(s, o), g_strfreev);
			break;
		case MILLISECONDS:
		case FLAG:
			break;
		}
	}
}
