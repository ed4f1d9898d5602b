#include "merge/git_library.h"

#include <git2.h>
#include <glib.h>

void git_library_start(void)
{
	static gsize started;

	if (g_once_init_enter(&started)) {
		git_libgit2_init();
		g_once_init_leave(&started, 1);
	}
}

char *git_library(void)
{
	int major, minor, rev;

	git_libgit2_version(&major, &minor, &rev);
	return g_strdup_printf("libgit2 %d.%d.%d", major, minor, rev);
}
