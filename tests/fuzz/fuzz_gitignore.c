/* A .gitignore that anybody may have written, read by libgit2. */
#include "tests/fuzz/fuzz.h"

#include <git2.h>
#include <glib.h>

#include "merge/git_ignore.h"
#include "merge/lib/log.h"

/* Starting the library anew for each input would take most of the time. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return git_libgit2_init() > 0 ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *file = fuzz_scratch_file(".gitignore", data, len);
	struct git_ignore *g;

	log_set_level(LOG_ERROR);
	g = git_ignore_new(fuzz_scratch(), NULL);
	FUZZ_CHECK(g && file);
	FUZZ_CHECK(!git_ignore_match(g, ".git", true));
	FUZZ_CHECK(!git_ignore_match(g, ".git/config", false));
	git_ignore_match(g, "a", true);
	git_ignore_match(g, "a/b.o", false);
	git_ignore_match(g, "build/x y", false);
	git_ignore_free(g);
	return 0;
}
