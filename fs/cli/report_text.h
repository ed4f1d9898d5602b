#ifndef FS_CLI_REPORT_TEXT_H
#define FS_CLI_REPORT_TEXT_H
/*
 * The report of a restore as a person reads it, made from its JSON object
 * (CLI.md), so that one text serves the process that restored, an answer of a
 * running session and a report.json read later. Pure: no output, no files.
 * Names are always escaped; commands to copy are quoted for a shell.
 */
#include <stdbool.h>
#include <stddef.h>

struct json;

struct report_style {
	const char *name;	/* the session's; borrowed */
	int code;		/* exit code of the restore */
	bool color;
};

/* Tree of what came home, counts, conflicts and held paths with the command
 * that settles each, what remains to be done. Ends with a newline; g_free. */
char *report_text(const struct json *report, const struct report_style *style);

/* One line: "3 files came home (2 new, 1 changed), 1 conflict"; g_free. */
char *report_summary(const struct json *report);

/* "1 file", "2 files"; g_free. */
char *count_text(size_t n, const char *one, const char *many);
/* What a first prepare put aside in the sandbox, as a line that begins with a
 * newline: N paths are kept in DIR; "" for none; g_free. */
char *kept_text(size_t n, const char *dir);
/* PATH as one word of a shell command, printable throughout; g_free. */
char *shell_word(const char *path);
/* String or path KEY of OBJ, also as KEY_base64; g_free; NULL: none. */
char *json_path(const struct json *obj, const char *key);

#endif
