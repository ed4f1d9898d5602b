#ifndef FS_CLI_STATUS_TEXT_H
#define FS_CLI_STATUS_TEXT_H
/*
 * The status of a session as a person reads it, from its JSON object
 * (CLI.md). Pure but for the clock: NOW_MS is given. Names are escaped.
 */
#include <stdbool.h>
#include <stdint.h>

struct json;

struct status_style {
	const struct json *last_report;	/* of the last restore, or NULL */
	int64_t now_ms;			/* wall clock */
	bool color;
};

/* Several lines, each with a newline; g_free it. */
char *status_text(const struct json *status, const struct status_style *style);

/* "31 bytes", "2.1 MB"; g_free it. */
char *bytes_text(uint64_t bytes);
/* "3 s", "4 min", "2 h 5 min", "3 days"; g_free it. */
char *duration_text(int64_t ms);

#endif
