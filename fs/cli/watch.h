#ifndef FS_CLI_WATCH_H
#define FS_CLI_WATCH_H
/*
 * A screen that is drawn again every second, until `q` or Ctrl-C: full screen
 * on a terminal, else each text after the other.
 */
#include <stdbool.h>

/* Makes the next text (g_free'd here); NULL ends the watch with *CODE. */
typedef char *watch_text(void *ctx, int *code);

/* The exit code: 0 when the person ended it. PLAIN: never full screen. */
int watch_run(watch_text *text, void *ctx, bool plain);

#endif
