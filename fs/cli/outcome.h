#ifndef FS_CLI_OUTCOME_H
#define FS_CLI_OUTCOME_H
/*
 * How a person learns what a restore did when no command waits for it: the
 * session's log, a line on the terminal that mounted it, a desktop
 * notification. None of it can fail the restore, and none of it blocks.
 */
#include <stdbool.h>

struct json;

/* Summary, conflicts, held and failed paths of REPORT as log lines. */
void outcome_log(const struct json *report, int code);

/* The terminal of this process (standard error, output or input), to be
 * written to later without being held open: its device is opened again, and
 * only used when it is still the same one. NULL: none. */
struct terminal;
struct terminal *terminal_remember(void);
void terminal_free(struct terminal *t);
/* Writes LINE and a newline; false when that terminal is gone. */
bool terminal_say(const struct terminal *t, const char *line);

/* notify-send, where there is one and a desktop to show it; not waited for. */
void outcome_notify(const char *title, const char *text, bool urgent);

#endif
