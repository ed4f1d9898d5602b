/*
 * Merging text: the input is three versions, divided by "\n---\n". Unchanged
 * sides give the other side; both the same give that; it never invents lines.
 */
#include "tests/fuzz/fuzz.h"

#include <git2.h>
#include <string.h>

#include "merge/git_text.h"

static void expect(GBytes *base, GBytes *ours, GBytes *theirs, GBytes *want)
{
	GBytes *out = NULL;
	int r = git_text_merge(base, ours, theirs, &out);

	FUZZ_CHECK(r == GIT_TEXT_MERGED || r == GIT_TEXT_BINARY);
	if (r == GIT_TEXT_MERGED)
		FUZZ_CHECK(g_bytes_equal(out, want));
	g_clear_pointer(&out, g_bytes_unref);
}

/* Each line of a clean merge is a line of one of the sides. */
static void check_lines(GBytes *out, GBytes *ours, GBytes *theirs)
{
	const char *text = g_bytes_get_data(out, NULL);
	g_autofree char *all = g_strndup(text ? text : "",
		g_bytes_get_size(out));
	g_auto(GStrv) lines = g_strsplit(all, "\n", -1);

	for (char **p = lines; *p; p++) {
		size_t n = strlen(*p);

		FUZZ_CHECK(!n ||
			memmem(g_bytes_get_data(ours, NULL),
				g_bytes_get_size(ours), *p, n) ||
			memmem(g_bytes_get_data(theirs, NULL),
				g_bytes_get_size(theirs), *p, n));
	}
}

static void merge(GBytes *base, GBytes *ours, GBytes *theirs)
{
	GBytes *out = NULL;
	int r;

	expect(base, base, theirs, theirs);
	expect(base, ours, base, ours);
	expect(base, ours, ours, ours);
	r = git_text_merge(base, ours, theirs, &out);
	FUZZ_CHECK(r >= 0 && (r == GIT_TEXT_MERGED) == (out != NULL));
	if (out)
		check_lines(out, ours, theirs);
	g_clear_pointer(&out, g_bytes_unref);
}

/* Starting the library anew for each input would take most of the time. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return git_libgit2_init() > 0 ? 0 : 1;
}

/* The part of *AT up to the mark; moves on behind it. */
static GBytes *next_part(const char **at, size_t *left)
{
	static const char mark[] = "\n---\n";
	const char *end = memmem(*at, *left, mark, strlen(mark));
	size_t n = end ? (size_t)(end + 1 - *at) : *left;
	size_t all = end ? n - 1 + strlen(mark) : n;
	GBytes *part = g_bytes_new(*at, n);

	*at += all;
	*left -= all;
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = fuzz_copy(data, len);
	const char *at = text;
	GBytes *base = next_part(&at, &len);
	GBytes *ours = next_part(&at, &len);
	GBytes *theirs = next_part(&at, &len);

	merge(base, ours, theirs);
	g_bytes_unref(base);
	g_bytes_unref(ours);
	g_bytes_unref(theirs);
	return 0;
}
