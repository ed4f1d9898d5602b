#include "fs/sync/session.h"

#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/json.h"

char *session_state_dir(void)
{
	return g_build_filename(g_get_user_state_dir(), "sandmount", NULL);
}

char *session_dir(const char *name)
{
	return g_build_filename(
		g_get_user_state_dir(), "sandmount", name, NULL);
}

char *session_socket_path(const char *name)
{
	g_autofree char *file = g_strconcat(name, ".sock", NULL);

	return g_build_filename(
		g_get_user_runtime_dir(), "sandmount", file, NULL);
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **session_names(void)
{
	g_autofree char *top = session_state_dir();
	g_autoptr(GDir) dir = g_dir_open(top, 0, NULL);
	GPtrArray *names = g_ptr_array_new();
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *file =
			g_build_filename(top, name, "session.json", NULL);

		if (g_file_test(file, G_FILE_TEST_IS_REGULAR))
			g_ptr_array_add(names, g_strdup(name));
	}
	g_ptr_array_sort(names, compare_names);
	g_ptr_array_add(names, NULL);
	return (char **)g_ptr_array_free(names, FALSE);
}

/* The "mountpoint" of a session's file, or NULL. */
static char *saved_mountpoint(const char *name)
{
	g_autofree char *dir = session_dir(name);
	g_autofree char *file = g_build_filename(dir, "session.json", NULL);
	g_autofree char *text = NULL;
	gsize len;

	if (!g_file_get_contents(file, &text, &len, NULL))
		return NULL;
	struct json *j = json_parse(text, len, NULL);
	char *mountpoint =
		j ? g_strdup(json_string(json_get(j, "mountpoint"))) : NULL;

	json_free(j);
	return mountpoint;
}

char *session_resolve_name(const char *name_or_mountpoint, GError **err)
{
	g_auto(GStrv) names = session_names();
	g_autofree char *cwd = g_get_current_dir();
	g_autofree char *path = NULL;

	if (g_strv_contains((const char *const *)names, name_or_mountpoint))
		return g_strdup(name_or_mountpoint);
	/* Lexically: a dead mount cannot be looked into. */
	path = g_canonicalize_filename(name_or_mountpoint, cwd);
	for (char **n = names; *n; n++) {
		g_autofree char *mountpoint = saved_mountpoint(*n);

		if (mountpoint && !strcmp(mountpoint, path))
			return g_strdup(*n);
	}
	g_autofree char *shown = path_display(name_or_mountpoint);

	fail(err, FAIL_USAGE,
		"%s: no such session; `sandmount list` shows them", shown);
	return NULL;
}
