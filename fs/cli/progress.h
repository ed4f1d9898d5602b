#ifndef FS_CLI_PROGRESS_H
#define FS_CLI_PROGRESS_H
/*
 * Progress of long work on standard error: a bar with rate and time left on a
 * terminal, a line now and then elsewhere (--progress always). One line a
 * process; steps may come from any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "fs/sync/session.h"

/* MODE: auto (NULL), always, never; checked by progress_is_mode(). QUIET
 * (--json): never. */
struct session_progress cli_progress(const char *mode, bool quiet);
bool progress_is_mode(const char *mode);
/* False with a message and *CODE when MODE is none. */
bool cli_check_progress(const char *mode, int *code);
/* The option of every command that takes long; MODE: char **. */
#define CLI_PROGRESS_OPTION(mode) \
	{ "progress", 0, 0, G_OPTION_ARG_STRING, mode, \
		"progress on standard error", "auto|always|never" }
/* Takes the bar away, so that other text can be written. */
void cli_progress_end(void);

/* What is drawn; pure. */
struct progress_view {
	const char *what;
	uint64_t done, total;	/* total 0: unknown */
	bool bytes;		/* they count bytes, not things */
	int64_t elapsed_ms;	/* since this work began */
	unsigned columns;	/* of the terminal; 0: a plain line */
};
/* "sending  [====>    ]  40%  12.3 MB of 30.8 MB  3.1 MB/s  6 s left", no
 * newline; at most columns wide; g_free it. */
char *progress_text(const struct progress_view *v);

#endif
