#ifndef MERGE_GIT_LIBRARY_H
#define MERGE_GIT_LIBRARY_H
/* libgit2 in this process. */

/* Makes the library usable from here on; any thread. Done once a process and
 * never undone: starting and ending it costs milliseconds. */
void git_library_start(void);

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *git_library(void);

#endif
