#include "merge/git_text.h"

#include <errno.h>
#include <git2.h>
#include <string.h>

#include "merge/apply.h"
#include "merge/git_library.h"

static bool is_text(GBytes *b)
{
	gsize n;
	const void *data = g_bytes_get_data(b, &n);

	return n <= TEXT_MERGE_LIMIT && !(n && memchr(data, '\0', n));
}

static git_merge_file_input input_of(GBytes *b, const char *label)
{
	git_merge_file_input in;
	gsize n;

	git_merge_file_input_init(&in, GIT_MERGE_FILE_INPUT_VERSION);
	in.ptr = g_bytes_get_data(b, &n);
	in.size = n;
	in.path = label;
	in.mode = 0100644;
	return in;
}

int git_text_markers(GBytes *base, GBytes *ours, GBytes *theirs, GBytes **out)
{
	git_merge_file_input a = input_of(base, "before"),
			     o = input_of(ours, "yours"),
			     t = input_of(theirs, "sandbox");
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
	git_library_start();
	git_merge_file_options_init(&options, GIT_MERGE_FILE_OPTIONS_VERSION);
	r = git_merge_file(&result, &a, &o, &t, &options);
	if (r < 0) {
		r = -EIO;
	} else {
		*out = g_bytes_new(result.ptr, result.len);
		r = result.automergeable ? GIT_TEXT_MERGED : GIT_TEXT_CONFLICT;
	}
	git_merge_file_result_free(&result);
	return r;
}

int git_text_merge(GBytes *base, GBytes *ours, GBytes *theirs, GBytes **out)
{
	GBytes *merged = NULL;
	int r = git_text_markers(base, ours, theirs, &merged);

	if (r == GIT_TEXT_MERGED)
		*out = merged;
	else if (merged)
		g_bytes_unref(merged);
	return r;
}
