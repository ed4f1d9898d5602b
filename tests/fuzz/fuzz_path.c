/* Paths: one that passes the check cannot leave the workspace, and what a
 * person sees of any bytes holds no control character. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <glib.h>

#include "merge/lib/path.h"

static void check_shown(const char *text)
{
	g_autofree char *shown = path_display(text);

	FUZZ_CHECK(g_utf8_validate(shown, -1, NULL));
	for (const char *p = shown; *p; p = g_utf8_next_char(p))
		FUZZ_CHECK(!g_unichar_iscntrl(g_utf8_get_char(p)) &&
			g_unichar_type(g_utf8_get_char(p)) !=
				G_UNICODE_FORMAT);
}

static void check_good(const char *path)
{
	g_autofree char *parent = path_parent(path);
	g_autofree char *again = path_join(parent, path_name(path));
	g_auto(GStrv) parts = g_strsplit(path, "/", -1);

	for (char **p = parts; *p; p++)
		FUZZ_CHECK(**p && strcmp(*p, ".") && strcmp(*p, "..") &&
			strlen(*p) <= NAME_LIMIT);
	FUZZ_CHECK(!strcmp(again, path) && path_is_within(path, parent));
	FUZZ_CHECK(path_compare(path, path) == 0);
	FUZZ_CHECK(!*parent || path_compare(parent, path) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup(data ? (const char *)data : "", len);

	check_shown(text);
	if (len && path_check((const char *)data, len) == 0) {
		FUZZ_CHECK(strlen(text) == len);
		check_good(text);
	}
	return 0;
}
