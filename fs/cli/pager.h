#ifndef FS_CLI_PAGER_H
#define FS_CLI_PAGER_H
/*
 * Long text on a terminal: through $PAGER (default less), as git does. Where
 * standard output is no terminal, or PAGER is empty or "cat", directly.
 */
#include <stdbool.h>

/* Whether colours are wanted on descriptor FD: a terminal that is not "dumb",
 * and NO_COLOR unset or empty; CLICOLOR_FORCE (not "0") forces them. */
bool cli_color(int fd);

/* Writes TEXT; waits for the pager to end. */
void page_text(const char *text);

/* A unified diff of git's form with colours; g_free it. */
char *color_diff(const char *diff);

#endif
