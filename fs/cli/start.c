/* From the words of a command line to what a session is started with. */
#include "fs/cli/cli.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"

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
	s->name = m->name ? g_strdup(m->name) : spec_default_name(s->spec);
	if (check_name(s->name, err) < 0)
		return -EINVAL;
	s->options = mount_options_session(m, err);
	return s->options ? 0 : -EINVAL;
}

void start_release(struct start *s)
{
	spec_free(s->spec);
	session_options_free(s->options);
	g_free(s->name);
}
