#ifndef FS_CLI_RESOLVE_H
#define FS_CLI_RESOLVE_H
/*
 * Settling conflicts: the request as it goes to a running session, and the
 * conversation about each of them on a terminal.
 */
#include <stdbool.h>

#include "fs/sync/session.h"

struct json;

struct cli_resolve {
	struct resolve_request q;	/* its strings are ours */
};
/* The request as text (g_free), and back; false: it makes no sense. Release it
 * in any case. */
char *cli_resolve_text(const struct resolve_request *q);
bool cli_resolve_parse(struct cli_resolve *r, const char *text);
void cli_resolve_release(struct cli_resolve *r);

/* Carries Q out for session NAME, in its process or here: what was settled
 * (json_free), or NULL with *ERR. */
struct json *cli_resolve(const char *name, const struct resolve_request *q,
	GError **err);

/* The running session's answer to COMMAND (its part "conflicts"; json_free), or
 * NULL with *ERR. */
struct ctl_client;
struct json *cli_ask_conflicts(struct ctl_client *c, const char *command,
	const char *option, GError **err);

/* Asks about each line of LIST (session_conflicts_json()) and settles what the
 * person says, until all were seen, "q" or the end of standard input. Messages
 * and questions go to standard output. */
void conflicts_ask(const char *name, const struct json *list);

#endif
