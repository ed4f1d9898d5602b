#include "merge/git_text.h"

#include <errno.h>
#include <git2.h>
#include <string.h>

#include "merge/apply.h"

static bool is_text(GBytes *b)
{
	gsize n;
	const void *data = g_bytes_get_data(b, &n);

	return n <= TEXT_MERGE_LIMIT && !(n && memchr(data, '\0', n));
}

static git_merge_file_input input_of(GBytes *b)
{
	git_merge_file_input in;
	gsize n;

	git_merge_file_input_init(&in, GIT_MERGE_FILE_INPUT_VERSION);
	in.ptr = g_bytes_get_data(b, &n);
	in.size = n;
	in.path = "file";
	in.mode = 0100644;
	return in;
}

int git_text_merge(GBytes *base, GBytes *ours, GBytes *theirs, GBytes **out)
{
	git_merge_file_input a = input_of(base), o = input_of(ours),
			     t = input_of(theirs);
	git_merge_file_options options;
	git_merge_file_result result = { 0 };
	int r;

	if (!is_text(base) || !is_text(ours) || !is_text(theirs))
		return GIT_TEXT_BINARY;
	/* An empty input is a NULL pointer to GLib but not to libgit2. */
	if (!a.ptr)
		a.ptr = "";
	if (!o.ptr)
		o.ptr = "";
	if (!t.ptr)
		t.ptr = "";
	git_libgit2_init();
	git_merge_file_options_init(&options, GIT_MERGE_FILE_OPTIONS_VERSION);
	r = git_merge_file(&result, &a, &o, &t, &options);
	if (r < 0) {
		r = -EIO;
	} else if (!result.automergeable) {
		r = GIT_TEXT_CONFLICT;
	} else {
		*out = g_bytes_new(result.ptr, result.len);
		r = GIT_TEXT_MERGED;
	}
	git_merge_file_result_free(&result);
	git_libgit2_shutdown();
	return r;
}

static int add_line(const git_diff_delta *delta, const git_diff_hunk *hunk,
	const git_diff_line *line, void *out)
{
	(void)delta;
	(void)hunk;
	if (strchr("+- ", line->origin))
		g_string_append_c(out, line->origin);
	g_string_append_len(out, line->content, (gssize)line->content_len);
	return 0;
}

static char *diff_text(GBytes *a, GBytes *b, const char *label_a,
	const char *label_b)
{
	git_diff_options options;
	GString *out = g_string_new(NULL);
	git_patch *patch = NULL;
	gsize na = 0, nb = 0;
	const void *pa = a ? g_bytes_get_data(a, &na) : NULL;
	const void *pb = b ? g_bytes_get_data(b, &nb) : NULL;

	g_string_append_printf(out, "--- %s\n+++ %s\n", label_a, label_b);
	git_libgit2_init();
	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	if (git_patch_from_buffers(&patch, pa ? pa : "", na, "file",
		    pb ? pb : "", nb, "file", &options) == 0) {
		for (size_t h = 0; h < git_patch_num_hunks(patch); h++) {
			const git_diff_hunk *hunk;
			size_t lines;

			git_patch_get_hunk(&hunk, &lines, patch, h);
			g_string_append_len(out, hunk->header,
				(gssize)hunk->header_len);
			for (size_t l = 0; l < lines; l++) {
				const git_diff_line *line;

				git_patch_get_line_in_hunk(
					&line, patch, h, l);
				add_line(NULL, NULL, line, out);
			}
		}
	}
	git_patch_free(patch);
	git_libgit2_shutdown();
	return g_string_free(out, FALSE);
}

char *git_text_diff(GBytes *a, GBytes *b, const char *label_a,
	const char *label_b)
{
	if ((a && !is_text(a)) || (b && !is_text(b)))
		return g_strdup_printf("Binary files %s and %s differ\n",
			label_a, label_b);
	return diff_text(a, b, label_a, label_b);
}
