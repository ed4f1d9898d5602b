#include "transport/spec.h"

#include <math.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/json.h"
#include "transport/spec_internal.h"

static const char *const spec_keys[] = { "transport", "provider", "sandboxId",
	"remoteCwd", "timeoutMs", "apiKey", NULL };

bool spec_is_key(const char *key)
{
	return g_strv_contains(spec_keys, key) || spec_option_is_key(key);
}

void spec_free(struct spec *s)
{
	if (!s)
		return;
	if (s->api_key)
		explicit_bzero(s->api_key, strlen(s->api_key));
	g_free(s->api_key);
	g_free(s->provider);
	g_free(s->sandbox_id);
	g_free(s->remote_cwd);
	g_strfreev(s->command);
	spec_options_clear(s);
	g_free(s);
}

struct spec *spec_copy(const struct spec *s)
{
	struct spec *c = g_new0(struct spec, 1);

	c->provider = g_strdup(s->provider);
	c->sandbox_id = g_strdup(s->sandbox_id);
	c->remote_cwd = g_strdup(s->remote_cwd);
	c->timeout_ms = s->timeout_ms;
	c->command = g_strdupv(s->command);
	spec_options_copy(c, s);
	return c;
}

/* A required string, trimmed; NULL with *ERR. */
static char *take_string(const struct json *j, const char *key,
	const char *where, GError **err)
{
	const struct json *v = json_get(j, key);
	char *s;

	if (!v || !json_string(v)) {
		fail(err, FAIL_USAGE, "%s: \"%s\" %s; give it as a string",
			where, key, v ? "is not a string" : "is missing");
		return NULL;
	}
	s = g_strstrip(g_strdup(json_string(v)));
	if (*s)
		return s;
	g_free(s);
	fail(err, FAIL_USAGE, "%s: \"%s\" is empty; give its value", where,
		key);
	return NULL;
}

static int take_timeout(struct spec *s, const struct json *j,
	const char *where, GError **err)
{
	const struct json *v = json_get(j, "timeoutMs");
	double ms = json_number(v, NAN);

	if (!v || !isfinite(ms) || ms <= 0 || ms > 1e15)
		return fail(err, FAIL_USAGE,
			"%s: \"timeoutMs\" %s; give milliseconds greater than "
			"0", where, v ? "is not a number > 0" : "is missing");
	s->timeout_ms = ms < 1 ? 1 : (int64_t)ms;
	return 0;
}

static int take_key(struct spec *s, const struct json *j, const char *where,
	GError **err)
{
	const struct json *v = json_get(j, "apiKey");

	if (!v)
		return 0;
	if (!json_string(v))
		return fail(err, FAIL_USAGE,
			"%s: \"apiKey\" is not a string; leave it out or give "
			"a string", where);
	s->api_key = g_strstrip(g_strdup(json_string(v)));
	if (!*s->api_key)
		g_clear_pointer(&s->api_key, g_free);
	return 0;
}

/* No trailing '/', no doubled one. */
static char *normal_path(const char *path)
{
	GString *out = g_string_new(NULL);

	for (const char *p = path; *p; p++)
		if (*p != '/' || p[1] != '/')
			g_string_append_c(out, *p);
	if (out->len > 1 && out->str[out->len - 1] == '/')
		g_string_truncate(out, out->len - 1);
	return g_string_free(out, FALSE);
}

int spec_check_cwd(struct spec *s, const char *where, GError **err)
{
	char *normal = normal_path(s->remote_cwd);

	g_free(s->remote_cwd);
	s->remote_cwd = normal;
	if (*normal == '/')
		return 0;
	return fail(err, FAIL_USAGE,
		"%s: \"remoteCwd\" must be an absolute path in the sandbox",
		where);
}

static int fill(struct spec *s, const struct json *j, const char *where,
	GError **err)
{
	g_autofree char *transport = take_string(j, "transport", where, err);

	if (!transport)
		return -1;
	if (strcmp(transport, "sandbox"))
		return fail(err, FAIL_USAGE,
			"%s: \"transport\" must be \"sandbox\"", where);
	s->provider = take_string(j, "provider", where, err);
	if (!s->provider)
		return -1;
	s->sandbox_id = take_string(j, "sandboxId", where, err);
	if (!s->sandbox_id)
		return -1;
	s->remote_cwd = take_string(j, "remoteCwd", where, err);
	if (!s->remote_cwd || take_timeout(s, j, where, err) < 0 ||
		take_key(s, j, where, err) < 0 ||
		spec_options_take(s, j, where, err) < 0)
		return -1;
	return spec_check_cwd(s, where, err);
}

struct spec *spec_from_json(const struct json *j, const char *where,
	GError **err)
{
	struct spec *s;

	if (json_kind_of(j) != JSON_OBJECT) {
		fail(err, FAIL_USAGE,
			"%s: is not a JSON object; see sandmount(1) for the "
			"keys of a spec", where);
		return NULL;
	}
	for (size_t i = 0; i < json_count(j); i++)
		if (!spec_is_key(json_key_at(j, i))) {
			g_autofree char *key = path_display(json_key_at(j, i));

			fail(err, FAIL_USAGE,
				"%s: unknown key \"%s\"; a spec has transport, "
				"provider, sandboxId, remoteCwd, timeoutMs, "
				"apiKey and those of its provider "
				"(sandmount(1))", where, key);
			return NULL;
		}
	s = g_new0(struct spec, 1);
	if (fill(s, j, where, err) == 0)
		return s;
	spec_free(s);
	return NULL;
}

struct spec *spec_parse(const char *text, size_t len, const char *where,
	GError **err)
{
	g_autoptr(GError) why = NULL;
	struct json *j;
	struct spec *s;

	if (len > SPEC_FILE_LIMIT) {
		fail(err, FAIL_USAGE, "%s: larger than %d bytes", where,
			SPEC_FILE_LIMIT);
		return NULL;
	}
	j = json_parse(text, len, &why);
	if (!j) {
		fail(err, FAIL_USAGE, "%s: %s", where, why->message);
		return NULL;
	}
	s = spec_from_json(j, where, err);
	json_free(j);
	return s;
}

static struct json *identity(const struct spec *s)
{
	struct json *j = json_new_object();

	json_put_string(j, "transport", "sandbox");
	json_put_string(j, "provider", s->provider);
	json_put_string(j, "sandboxId", s->sandbox_id);
	json_put_string(j, "remoteCwd", s->remote_cwd);
	return j;
}

char *spec_identity_json(const struct spec *s)
{
	struct json *j = identity(s);
	char *text = json_to_text(j, false);

	json_free(j);
	return text;
}

char *spec_to_json(const struct spec *s)
{
	struct json *j = identity(s);
	char *text;

	json_put_int(j, "timeoutMs", s->timeout_ms);
	spec_options_put(s, j);
	json_put(j, "identity", identity(s));
	text = json_to_text(j, true);
	json_free(j);
	return text;
}

bool spec_same_sandbox(const struct spec *a, const struct spec *b)
{
	return !strcmp(a->provider, b->provider) &&
		!strcmp(a->sandbox_id, b->sandbox_id) &&
		!strcmp(a->remote_cwd, b->remote_cwd);
}

char *spec_default_name(const struct spec *s)
{
	bool by_place = !strcmp(s->provider, "local") ||
		!strcmp(s->sandbox_id, "new");
	const char *from = by_place ? s->remote_cwd : s->sandbox_id;
	g_autofree char *name = g_strndup(path_name(from), 64);
	const char *start = name;

	for (char *p = name; *p; p++)
		if (!g_ascii_isalnum(*p) && !strchr("._-", *p))
			*p = '-';
	/* A name may not look like an option or be hidden. */
	start += strspn(start, ".-");
	return g_strdup(*start ? start : "sandbox");
}
