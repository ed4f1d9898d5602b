/* From the words of a command line to what a session is started with. */
#include "fs/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/sync/session.h"
#include "merge/lib/fail.h"
#include "transport/json.h"
#include "transport/remote.h"

static int check_name(const char *name, GError **err)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (*name && !name[n] && n <= 64 && *name != '.' && *name != '-')
		return 0;
	return fail(err, FAIL_USAGE,
		"--name: use letters, digits, '.', '_' and '-', at most 64, "
		"not beginning with '.' or '-'");
}

static bool is_text(const struct json *j, const char *key, const char *want)
{
	return g_strcmp0(json_string(json_get(j, key)), want) == 0;
}

/* The sandbox that session NAME made earlier for the same place, or NULL. */
static char *made_before(const char *name, const struct spec *spec)
{
	struct json *j = session_saved_status(name, NULL);
	char *id = NULL;

	if (is_text(j, "provider", spec->provider) &&
		is_text(j, "remote_cwd", spec->remote_cwd))
		id = g_strdup(json_string(json_get(j, "sandbox_id")));
	json_free(j);
	return id;
}

/* Sandbox id "new": the session's own from before, else one of the template. */
static int make_sandbox(struct start *s, GError **err)
{
	struct spec *spec = s->spec;
	struct call call = { 0 };
	char *id = made_before(s->name, spec);

	if (!id) {
		if (remote_create(spec, &call, &id, err) < 0)
			return -EIO;
		fprintf(stderr, "sandmount: made sandbox %s:%s\n",
			spec->provider, id);
	}
	g_free(spec->sandbox_id);
	spec->sandbox_id = id;
	return 0;
}

int start_resolve(struct start *s, struct mount_options *m,
	const char *sandbox, GError **err)
{
	g_autofree char *config = cli_config_file();
	GHashTable *options = NULL;
	int r;

	s->spec = spec_resolve(sandbox, config, &options, err);
	if (!s->spec)
		return -EINVAL;
	r = mount_options_add(m, options, err);
	g_hash_table_unref(options);
	if (r < 0)
		return r;
	if (m->timeout > 0)
		s->spec->timeout_ms = (int64_t)(m->timeout * 1000);
	if (m->template) {
		g_free(s->spec->template);
		s->spec->template = g_strdup(m->template);
	}
	s->name = m->name ? g_strdup(m->name) : spec_default_name(s->spec);
	if (check_name(s->name, err) < 0)
		return -EINVAL;
	s->options = mount_options_session(m, err);
	if (!s->options)
		return -EINVAL;
	if (!strcmp(s->spec->sandbox_id, "new") &&
		remote_can_create(s->spec->provider))
		return make_sandbox(s, err);
	if (!s->spec->template)
		return 0;
	return fail(err, FAIL_USAGE,
		"--template makes a new sandbox: write %s:new:%s",
		s->spec->provider, s->spec->remote_cwd);
}

void start_release(struct start *s)
{
	spec_free(s->spec);
	session_options_free(s->options);
	g_free(s->name);
}
