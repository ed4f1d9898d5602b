#include "fs/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "transport/remote.h"

bool cli_parse(int *argc, char ***argv, const char *usage,
	const char *summary, const GOptionEntry *options, int *code)
{
	GOptionContext *c = g_option_context_new(usage);
	g_autoptr(GError) why = NULL;
	gboolean help = FALSE;
	const GOptionEntry help_entry[] = {
		{ "help", 'h', 0, G_OPTION_ARG_NONE, &help, "show this", NULL },
		{ 0 },
	};
	bool ok;

	g_option_context_set_summary(c, summary);
	g_option_context_set_help_enabled(c, FALSE);
	g_option_context_add_main_entries(c, help_entry, NULL);
	if (options)
		g_option_context_add_main_entries(c, options, NULL);
	ok = g_option_context_parse(c, argc, argv, &why);
	if (!ok) {
		*code = cli_usage("%s: %s; see --help", (*argv)[0],
			why->message);
	} else if (help) {
		g_autofree char *name =
			g_strdup_printf("sandmount %s", (*argv)[0]);
		g_autofree char *text = NULL;

		g_set_prgname(name);
		text = g_option_context_get_help(c, TRUE, NULL);

		fputs(text, stdout);
		*code = EXIT_DONE;
		ok = false;
	}
	g_option_context_free(c);
	return ok;
}

void mount_options_release(struct mount_options *m)
{
	g_free(m->name);
	g_free(m->local);
	g_free(m->runtime_dir);
	g_free(m->fsync);
	g_free(m->on_conflict);
	g_free(m->progress);
	g_free(m->prefetch);
	g_free(m->cache_limit);
	g_free(m->template);
	g_strfreev(m->exclude);
	g_strfreev(m->exclude_from);
	g_strfreev(m->preserve);
	g_strfreev(m->preserve_absent);
	g_strfreev(m->assets);
	g_strfreev(m->assets_follow);
	g_strfreev(m->dash_o);
	g_strfreev(m->fuse);
}

/* The one table of the options of mount and prepare. */
enum { ENTRIES = 32 };

static void fill_entries(struct mount_options *m, GOptionEntry *e)
{
	const GOptionEntry table[] = {
		{ "name", 0, 0, G_OPTION_ARG_STRING, &m->name,
			"name of the session", "N" },
		{ "local", 0, 0, G_OPTION_ARG_FILENAME, &m->local,
			"local directory to send and to restore into", "DIR" },
		{ "exclude", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &m->exclude,
			"leave out what matches (repeatable)", "PAT" },
		{ "exclude-from", 0, 0, G_OPTION_ARG_FILENAME_ARRAY,
			&m->exclude_from, "patterns, one a line", "FILE" },
		{ "gitignore", 0, 0, G_OPTION_ARG_NONE, &m->gitignore,
			"leave out what git ignores", NULL },
		{ "preserve", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &m->preserve,
			"never delete this name in the sandbox", "NAME" },
		{ "preserve-absent", 0, 0, G_OPTION_ARG_FILENAME_ARRAY,
			&m->preserve_absent,
			"never delete this name locally", "NAME" },
		{ "asset", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &m->assets,
			"extra directory, sent to RUNTIME/KEY", "KEY=DIR" },
		{ "asset-follow", 0, 0, G_OPTION_ARG_FILENAME_ARRAY,
			&m->assets_follow, "the same, links followed",
			"KEY=DIR" },
		{ "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME,
			&m->runtime_dir,
			"our directory in the workspace (.sandmount)",
			"NAME" },
		{ "read-only", 0, 0, G_OPTION_ARG_NONE, &m->read_only,
			"refuse changes through the mount", NULL },
		{ "fsync", 0, 0, G_OPTION_ARG_STRING, &m->fsync,
			"what fsync(2) waits for", "local|remote" },
		{ "poll", 0, 0, G_OPTION_ARG_DOUBLE, &m->poll,
			"look for the sandbox's changes at least this often "
			"(8)", "SECONDS" },
		{ "on-conflict", 0, 0, G_OPTION_ARG_STRING, &m->on_conflict,
			"which version stays", "both|local|sandbox" },
		{ "no-restore", 0, 0, G_OPTION_ARG_NONE, &m->no_restore,
			"do not restore at unmount", NULL },
		{ "foreground", 'f', 0, G_OPTION_ARG_NONE, &m->foreground,
			"stay in the foreground", NULL },
		{ "prefetch", 0, 0, G_OPTION_ARG_STRING, &m->prefetch,
			"without --local: fetch every file now, or each when "
			"it is opened (none, the default)", "all|none" },
		{ "cache-limit", 0, 0, G_OPTION_ARG_STRING, &m->cache_limit,
			"without --local: bytes kept here of what the sandbox "
			"has, with K, M, G or T", "SIZE" },
		{ "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &m->timeout,
			"deadline of each command in the sandbox", "SECONDS" },
		{ "template", 0, 0, G_OPTION_ARG_STRING, &m->template,
			"make a new sandbox of this (sandbox id \"new\")", "T" },
		{ "trash-days", 0, 0, G_OPTION_ARG_INT, &m->trash_days,
			"keep replaced files this long (14)", "N" },
		{ "progress", 0, 0, G_OPTION_ARG_STRING, &m->progress,
			"progress on standard error", "auto|always|never" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &m->json,
			"one JSON object on standard output", NULL },
		{ "debug", 'd', 0, G_OPTION_ARG_NONE, &m->debug,
			"trace FUSE requests (with --foreground)", NULL },
		{ "option", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &m->dash_o,
			"any of these as mount(8) gives them, or libfuse's",
			"OPT[,OPT...]" },
		{ 0 },
	};

	G_STATIC_ASSERT(G_N_ELEMENTS(table) <= ENTRIES);
	memcpy(e, table, sizeof(table));
}

/* --- names from -o and the config file --------------------------------------- */

static int bad_value(GError **err, const char *name, const char *value)
{
	return fail(err, FAIL_USAGE, "option %s: %s is not a value for it",
		name, value);
}

static int set_double(double *field, const char *name, const char *value,
	GError **err)
{
	char *end;
	double d = g_ascii_strtod(value, &end);

	if (!*value || *end || !isfinite(d))
		return bad_value(err, name, value);
	if (!*field)
		*field = d;
	return 0;
}

static int set_int(int *field, const char *name, const char *value,
	GError **err)
{
	gint64 n;

	if (!g_ascii_string_to_signed(value, 10, 0, INT_MAX, &n, NULL))
		return bad_value(err, name, value);
	if (!*field)
		*field = (int)n;
	return 0;
}

/* A bare word of -o has the value "". */
static int set_flag(gboolean *field, const char *name, const char *value,
	GError **err)
{
	if (!*value || !strcmp(value, "true"))
		*field = TRUE;
	else if (strcmp(value, "false"))
		return bad_value(err, name, value);
	return 0;
}

static void append(char ***list, const char *value)
{
	guint n = *list ? g_strv_length(*list) : 0;

	*list = g_renew(char *, *list, n + 2);
	(*list)[n] = g_strdup(value);
	(*list)[n + 1] = NULL;
}

/* Sets the option NAME of the table; what is set already stays. 1: unknown. */
static int set_named(struct mount_options *m, const char *name,
	const char *value, GError **err)
{
	GOptionEntry e[ENTRIES] = { 0 };

	fill_entries(m, e);
	for (GOptionEntry *o = e; o->long_name; o++) {
		if (strcmp(o->long_name, name) || o->arg_data == &m->dash_o)
			continue;
		switch (o->arg) {
		case G_OPTION_ARG_NONE:
			return set_flag(o->arg_data, name, value, err);
		case G_OPTION_ARG_STRING:
		case G_OPTION_ARG_FILENAME:
			if (!*(char **)o->arg_data)
				*(char **)o->arg_data = g_strdup(value);
			return 0;
		case G_OPTION_ARG_STRING_ARRAY:
		case G_OPTION_ARG_FILENAME_ARRAY:
			append(o->arg_data, value);
			return 0;
		case G_OPTION_ARG_DOUBLE:
			return set_double(o->arg_data, name, value, err);
		case G_OPTION_ARG_INT:
			return set_int(o->arg_data, name, value, err);
		case G_OPTION_ARG_CALLBACK:
		case G_OPTION_ARG_INT64:
			return 1;
		}
	}
	return 1;
}

/* Words that mount(8) and fstab add and that mean nothing here. */
static bool is_ignored(const char *word)
{
	static const char *const ignored[] = { "rw", "defaults", "auto",
		"noauto", "user", "nouser", "users", "_netdev", "dev", "suid",
		"nofail", NULL };

	return g_strv_contains(ignored, word) ||
		g_str_has_prefix(word, "x-");
}

static int take_dash_o(struct mount_options *m, const char *list, GError **err)
{
	g_auto(GStrv) words = g_strsplit(list, ",", -1);

	for (char **w = words; *w; w++) {
		g_auto(GStrv) pair = g_strsplit(*w, "=", 2);
		int r;

		if (!**w || is_ignored(*w))
			continue;
		if (!strcmp(*w, "ro")) {
			m->read_only = TRUE;
			continue;
		}
		if (!strcmp(*w, "allow_other")) {
			m->allow_other = TRUE;
			continue;
		}
		r = set_named(m, pair[0], pair[1] ? pair[1] : "", err);
		if (r < 0)
			return r;
		if (r == 1)
			append(&m->fuse, *w);
	}
	return 0;
}

static int take_all_dash_o(struct mount_options *m, GError **err)
{
	for (char **o = m->dash_o; o && *o; o++)
		if (take_dash_o(m, *o, err) < 0)
			return -EINVAL;
	return 0;
}

bool mount_options_parse(struct mount_options *m, int *argc, char ***argv,
	bool mount, int *code)
{
	GOptionEntry entries[ENTRIES] = { 0 };
	g_autoptr(GError) why = NULL;
	g_autofree char *providers =
		g_strjoinv(" ", (char **)remote_providers());
	g_autofree char *summary = g_strdup_printf(
		"SANDBOX is a spec file, a name in the config file, or\n"
		"PROVIDER:ID:/REMOTE/CWD, for example local:/path.\n"
		"Providers: %s", providers);
	int most = mount ? 3 : 2;

	fill_entries(m, entries);
	if (!cli_parse(argc, argv,
		    mount ? "SANDBOX [MOUNTPOINT]" : "SANDBOX", summary,
		    entries, code))
		return false;
	if (*argc < 2 || *argc > most) {
		*code = cli_usage("%s: give a SANDBOX%s; see --help",
			(*argv)[0], mount ? " and at most a MOUNTPOINT" : "");
		return false;
	}
	if (take_all_dash_o(m, &why) < 0) {
		*code = cli_fail(why);
		return false;
	}
	return true;
}

int mount_options_add(struct mount_options *m, GHashTable *config,
	GError **err)
{
	GHashTableIter it;
	gpointer name, values;

	if (!config)
		return 0;
	g_hash_table_iter_init(&it, config);
	while (g_hash_table_iter_next(&it, &name, &values)) {
		const GPtrArray *list = values;

		for (guint i = 0; i < list->len; i++) {
			int r = set_named(m, name, g_ptr_array_index(list, i),
				err);

			if (r == 1)
				return fail(err, FAIL_USAGE,
					"config file: \"%s\" is no option of "
					"a sandbox", (char *)name);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* --- checks ---------------------------------------------------------------------- */

static char *absolute(const char *path)
{
	g_autofree char *cwd = g_get_current_dir();

	return g_canonicalize_filename(path, cwd);
}

static bool is_one_of(const char *value, const char *words)
{
	g_auto(GStrv) list = g_strsplit(words, "|", -1);

	return !value || g_strv_contains((const char *const *)list, value);
}

/* "KEY=DIR" with DIR absolute. */
static int take_assets(char **in, char ***out, GError **err)
{
	for (; in && *in; in++) {
		g_auto(GStrv) pair = g_strsplit(*in, "=", 2);
		g_autofree char *dir = NULL;
		g_autofree char *whole = NULL;

		if (!pair[0] || !*pair[0] || !pair[1] || !*pair[1] ||
			strchr(pair[0], '/') || *pair[0] == '.')
			return fail(err, FAIL_USAGE,
				"asset %s: write KEY=DIR, KEY a plain name",
				*in);
		dir = absolute(pair[1]);
		whole = g_strconcat(pair[0], "=", dir, NULL);
		append(out, whole);
	}
	return 0;
}

static int read_patterns(const char *file, char ***out, GError **err)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;

	if (!g_file_get_contents(file, &text, NULL, &why))
		return fail(err, FAIL_USAGE, "exclude file %s: %s", file,
			why->message);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **l = lines; *l; l++)
		if (**l && **l != '#')
			append(out, *l);
	return 0;
}

static void take_list(char ***to, char **from)
{
	for (; from && *from; from++)
		append(to, *from);
}

static int check_words(const struct mount_options *m, GError **err)
{
	if (!is_one_of(m->fsync, "local|remote"))
		return bad_value(err, "--fsync", m->fsync);
	if (!is_one_of(m->on_conflict, "both|local|sandbox"))
		return bad_value(err, "--on-conflict", m->on_conflict);
	if (!is_one_of(m->progress, "auto|always|never"))
		return bad_value(err, "--progress", m->progress);
	if (!is_one_of(m->prefetch, "all|none"))
		return bad_value(err, "--prefetch", m->prefetch);
	if (m->timeout < 0 || m->poll < 0)
		return fail(err, FAIL_USAGE,
			"--timeout and --poll: give seconds greater than 0");
	if (m->trash_days < 0)
		return fail(err, FAIL_USAGE,
			"--trash-days: give a number of days greater than 0");
	if (m->runtime_dir && (strchr(m->runtime_dir, '/') ||
				      !*m->runtime_dir ||
				      !strcmp(m->runtime_dir, "..") ||
				      !strcmp(m->runtime_dir, ".")))
		return bad_value(err, "--runtime-dir", m->runtime_dir);
	return 0;
}

/* "500M": a number of bytes, or of units of 1024. */
static int take_size(const char *text, int64_t *out)
{
	static const char units[] = "KMGT";
	char *end;
	guint64 n = g_ascii_strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (!g_ascii_isdigit(*text) || (*end && (!unit || end[1])))
		return -EINVAL;
	for (; unit && unit >= units && n <= INT64_MAX / 1024; unit--)
		n *= 1024;
	if (n == 0 || n > INT64_MAX || (unit && unit >= units))
		return -EINVAL;
	*out = (int64_t)n;
	return 0;
}

static int take_cache_limit(const struct mount_options *m,
	struct session_options *o, GError **err)
{
	if (!m->cache_limit)
		return 0;
	if (take_size(m->cache_limit, &o->cache_limit) < 0)
		return fail(err, FAIL_USAGE,
			"--cache-limit: %s is no size; give one like 500M or "
			"2G", m->cache_limit);
	if (m->local || g_strcmp0(m->prefetch, "all") == 0)
		return fail(err, FAIL_USAGE,
			"--cache-limit: is not for a session with --local or "
			"--prefetch all, which keeps every byte here; leave it "
			"out");
	return 0;
}

static int fill_session(const struct mount_options *m,
	struct session_options *o, GError **err)
{
	if (check_words(m, err) < 0 || take_cache_limit(m, o, err) < 0 ||
		take_assets(m->assets, &o->assets, err) < 0 ||
		take_assets(m->assets_follow, &o->assets_follow, err) < 0)
		return -EINVAL;
	take_list(&o->exclude, m->exclude);
	for (char **f = m->exclude_from; f && *f; f++)
		if (read_patterns(*f, &o->exclude, err) < 0)
			return -EINVAL;
	take_list(&o->preserve, m->preserve);
	take_list(&o->preserve_absent, m->preserve_absent);
	if (m->local)
		o->local = absolute(m->local);
	if (m->runtime_dir) {
		g_free(o->runtime_dir);
		o->runtime_dir = g_strdup(m->runtime_dir);
	}
	if (m->on_conflict) {
		g_free(o->on_conflict);
		o->on_conflict = g_strdup(m->on_conflict);
	}
	o->gitignore = m->gitignore;
	o->read_only = m->read_only;
	o->no_restore = m->no_restore;
	o->fsync_remote = g_strcmp0(m->fsync, "remote") == 0;
	o->prefetch_all = g_strcmp0(m->prefetch, "all") == 0;
	o->poll_seconds = m->poll;
	o->timeout_ms = (int64_t)(m->timeout * 1000);
	if (m->trash_days > 0)
		o->trash_days = m->trash_days;
	return 0;
}

struct session_options *mount_options_session(const struct mount_options *m,
	GError **err)
{
	struct session_options *o = session_options_new();

	if (fill_session(m, o, err) == 0)
		return o;
	session_options_free(o);
	return NULL;
}

char *cli_config_file(void)
{
	return g_build_filename(
		g_get_user_config_dir(), "sandmount", "config.json", NULL);
}
