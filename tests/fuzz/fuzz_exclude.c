/*
 * Exclude patterns: the first line is a pattern, each other line a path. An
 * excluded directory excludes what is below it; a pattern without a wildcard
 * matches exactly itself.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "merge/exclude.h"
#include "merge/glob.h"
#include "merge/lib/path.h"

static void check_path(const struct exclude *x, const struct glob *g,
	const char *path)
{
	const char *literal = glob_literal(g);
	g_autofree char *below = g_strconcat(path, "/x", NULL);

	if (path_check(path, strlen(path)) < 0)
		return;
	exclude_match(x, path, false);
	if (exclude_match(x, path, true))
		FUZZ_CHECK(exclude_match(x, below, false) &&
			exclude_match(x, below, true));
	if (literal)
		FUZZ_CHECK(glob_match(g, path, strlen(path)) ==
			!strcmp(literal, path));
}

static void try(char **lines)
{
	struct exclude *x = exclude_new();
	struct glob *g = glob_new(lines[0]);

	if (exclude_add(x, lines[0], NULL) == 0)
		for (char **p = lines + 1; *p; p++)
			check_path(x, g, *p);
	glob_free(g);
	exclude_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup(data ? (const char *)data : "",
		MIN(len, 4096));
	g_auto(GStrv) lines = g_strsplit(text, "\n", 20);
	g_autofree char *file = fuzz_scratch_file("exclude", data, len);
	struct exclude *x = exclude_new();
	GError *why = NULL;

	if (lines[0])
		try(lines);
	exclude_add_file(x, file, &why);
	exclude_match(x, "a/b.c", false);
	g_clear_error(&why);
	exclude_free(x);
	return 0;
}
