#ifndef MERGE_LIB_FAIL_H
#define MERGE_LIB_FAIL_H
/*
 * GError domain of the project and the few helpers that build messages of the
 * form CLI.md asks for: "WHAT: WHY; WHAT TO DO".
 *
 * Codes say what a caller can do about it, and the command line turns them
 * into exit codes; the message is for a person.
 */
#include <glib.h>

#define FAIL fail_quark()
GQuark fail_quark(void);

enum fail_code {
	FAIL_FAILED = 1,	/* anything else; nothing lost */
	FAIL_USAGE,		/* the request itself is wrong: exit 2 */
	FAIL_LOCAL,		/* the local side: disk, permission */
	FAIL_UNAVAILABLE,	/* the sandbox could not be reached; not run */
	FAIL_UNKNOWN,		/* sent, no answer: outcome unknown */
	FAIL_GONE,		/* sandbox ended, was replaced or emptied */
	FAIL_PROTOCOL,		/* the sandbox's answer makes no sense */
	FAIL_REMOTE,		/* the sandbox refused: full, permission, tool */
	FAIL_CANCELLED,
	FAIL_DEADLINE,
	FAIL_PENDING,		/* work is kept, unsent or unrestored: exit 4 */
};

/* Sets *ERR to "FMT…: strerror(-NEG_ERRNO)" (code FAIL_LOCAL) and returns
 * NEG_ERRNO, so that `return fail_errno(err, r, "open %s", p)` reads well. */
int fail_errno(GError **err, int neg_errno, const char *fmt, ...)
	G_GNUC_PRINTF(3, 4);

/* Sets *ERR with CODE and returns -EINVAL for FAIL_USAGE, -EIO otherwise. */
int fail(GError **err, enum fail_code code, const char *fmt, ...)
	G_GNUC_PRINTF(3, 4);

#endif
