/* From a word on the command line to a spec: file, config entry, shorthand. */
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/json.h"
#include "transport/spec_internal.h"

/* The config file's object; NULL without *ERR when there is no file. */
static struct json *load_config(const char *file, GError **err)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	gsize len = 0;
	struct json *j;

	if (!file || !g_file_test(file, G_FILE_TEST_EXISTS))
		return NULL;
	if (!g_file_get_contents(file, &text, &len, &why)) {
		fail(err, FAIL_USAGE, "config file %s: %s", file,
			why->message);
		return NULL;
	}
	if (len > SPEC_FILE_LIMIT) {
		fail(err, FAIL_USAGE, "config file %s: too large", file);
		return NULL;
	}
	j = json_parse(text, len, &why);
	if (!j)
		fail(err, FAIL_USAGE, "config file %s: %s", file,
			why->message);
	return j;
}

/* argv of command NAME in the config. */
static char **find_command(const struct json *config, const char *name,
	GError **err)
{
	const struct json *arr =
		json_get(json_get(config, "commands"), name);
	char **argv;

	if (json_kind_of(arr) != JSON_ARRAY) {
		g_autofree char *shown = path_display(name);

		fail(err, FAIL_USAGE,
			"command %s: is not in the config file; add "
			"\"commands\": {\"%s\": [\"argv\", \"prefix\"]}",
			shown, shown);
		return NULL;
	}
	argv = g_new0(char *, json_count(arr) + 1);
	for (size_t i = 0; i < json_count(arr); i++) {
		if (!json_string(json_at(arr, i))) {
			fail(err, FAIL_USAGE,
				"command %s in the config file: its words must "
				"be strings", name);
			g_strfreev(argv);
			return NULL;
		}
		argv[i] = g_strdup(json_string(json_at(arr, i)));
	}
	return argv;
}

static int complete(struct spec *s, const struct json *config, GError **err)
{
	if (strcmp(s->provider, "command") || s->command)
		return 0;
	s->command = find_command(config, s->sandbox_id, err);
	return s->command ? 0 : -1;
}

static char *scalar_text(const struct json *v)
{
	switch (json_kind_of(v)) {
	case JSON_STRING:
		return g_strdup(json_string(v));
	case JSON_BOOL:
		return json_flag(v, false) ? g_strdup("") : NULL;
	case JSON_NUMBER:
		return json_to_text(v, false);
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		return NULL;
	}
	return NULL;
}

/* The values of an option: one, or several for an array. */
static GPtrArray *option_values(const struct json *v)
{
	GPtrArray *values = g_ptr_array_new_with_free_func(g_free);

	if (json_kind_of(v) != JSON_ARRAY) {
		char *text = scalar_text(v);

		if (text)
			g_ptr_array_add(values, text);
		return values;
	}
	for (size_t i = 0; i < json_count(v); i++) {
		char *text = scalar_text(json_at(v, i));

		if (text)
			g_ptr_array_add(values, text);
	}
	return values;
}

/* Splits a config entry: a spec's keys into an object, the others into
 * OPTIONS. */
static struct json *split_entry(const struct json *entry, GHashTable *options)
{
	g_autofree char *text = json_to_text(entry, false);
	struct json *copy = json_parse(text, strlen(text), NULL);
	struct json *spec = json_new_object();

	for (size_t i = 0; i < json_count(copy); i++) {
		const char *key = json_key_at(copy, i);
		const struct json *v = json_get(copy, key);

		if (spec_is_key(key)) {
			g_autofree char *one = json_to_text(v, false);

			json_put(spec, key,
				json_parse(one, strlen(one), NULL));
		} else {
			g_hash_table_insert(options, g_strdup(key),
				option_values(v));
		}
	}
	json_free(copy);
	return spec;
}

static struct spec *from_config(const struct json *entry, const char *name,
	const struct json *config, GHashTable *options, GError **err)
{
	g_autofree char *where = g_strdup_printf("sandbox %s of the config "
						 "file", name);
	struct json *j = split_entry(entry, options);
	struct spec *s;

	if (!json_get(j, "transport"))
		json_put_string(j, "transport", "sandbox");
	if (!json_get(j, "timeoutMs"))
		json_put_int(j, "timeoutMs", SPEC_DEFAULT_TIMEOUT_MS);
	s = spec_from_json(j, where, err);
	json_free(j);
	if (s && complete(s, config, err) < 0) {
		spec_free(s);
		return NULL;
	}
	return s;
}

static struct spec *from_file(const char *file, const struct json *config,
	GError **err)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	gsize len = 0;
	struct spec *s;

	if (!g_file_get_contents(file, &text, &len, &why)) {
		fail(err, FAIL_USAGE, "spec %s: %s", file, why->message);
		return NULL;
	}
	s = spec_parse(text, len, file, err);
	if (s && complete(s, config, err) < 0) {
		spec_free(s);
		return NULL;
	}
	return s;
}

static char *absolute(const char *path)
{
	g_autofree char *cwd = g_get_current_dir();

	return g_canonicalize_filename(path, cwd);
}

/* PROVIDER:ID[:REMOTE_CWD] */
static struct spec *from_shorthand(const char *word, const struct json *config,
	GError **err)
{
	const char *colon = strchr(word, ':');
	const char *rest = colon ? colon + 1 : "";
	const char *cwd = strstr(rest, ":/");
	struct spec *s = g_new0(struct spec, 1);

	s->provider = g_strndup(word, (gsize)(colon - word));
	s->timeout_ms = SPEC_DEFAULT_TIMEOUT_MS;
	if (!strcmp(s->provider, "local")) {
		s->remote_cwd = *rest ? absolute(rest) : g_strdup("");
		s->sandbox_id = g_strdup(s->remote_cwd);
	} else {
		s->sandbox_id = cwd ? g_strndup(rest, (gsize)(cwd - rest))
				    : g_strdup(rest);
		s->remote_cwd = g_strdup(cwd ? cwd + 1 : "");
	}
	if (!*s->provider || !*s->sandbox_id || !*s->remote_cwd) {
		g_autofree char *shown = path_display(word);

		fail(err, FAIL_USAGE,
			"%s: not a whole sandbox; write PROVIDER:ID:/REMOTE/"
			"CWD or local:/PATH", shown);
	} else if (spec_check_cwd(s, word, err) == 0 &&
		complete(s, config, err) == 0) {
		return s;
	}
	spec_free(s);
	return NULL;
}

static void free_values(gpointer values)
{
	g_ptr_array_unref(values);
}

static struct spec *resolve(const char *sandbox, const struct json *config,
	GHashTable *options, GError **err)
{
	const struct json *entry =
		json_get(json_get(config, "sandboxes"), sandbox);
	g_autofree char *shown = NULL;

	if (g_file_test(sandbox, G_FILE_TEST_IS_REGULAR))
		return from_file(sandbox, config, err);
	if (json_kind_of(entry) == JSON_OBJECT)
		return from_config(entry, sandbox, config, options, err);
	if (strchr(sandbox, ':'))
		return from_shorthand(sandbox, config, err);
	shown = path_display(sandbox);
	fail(err, FAIL_USAGE,
		"%s: is neither a spec file, nor a sandbox of the config file, "
		"nor PROVIDER:ID:/PATH", shown);
	return NULL;
}

struct spec *spec_resolve(const char *sandbox, const char *config_file,
	GHashTable **options, GError **err)
{
	g_autoptr(GError) why = NULL;
	struct json *config = load_config(config_file, &why);
	GHashTable *table = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, free_values);
	struct spec *s = NULL;

	if (why)
		g_propagate_error(err, g_steal_pointer(&why));
	else
		s = resolve(sandbox, config, table, err);
	json_free(config);
	if (s && options)
		*options = table;
	else
		g_hash_table_unref(table);
	return s;
}
