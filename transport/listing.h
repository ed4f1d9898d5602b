#ifndef TRANSPORT_LISTING_H
#define TRANSPORT_LISTING_H
/*
 * Records that the scripts print, and their parser. A record is a letter, a
 * blank, and:
 *
 *	E MODE SIZE MTIME CTIME INO ./PATH	an entry; MODE hexadecimal with
 *		the type bits, times as "2026-01-02 03:04:05.123456789 +0000"
 *	O ...			the same, of a kept old version
 *	D MODE ./PATH		a directory's type and mode
 *	L ./PATH//TARGET	a link's target
 *	U ./PATH		a directory that cannot be listed
 *	X TEXT			an error, for the log
 *	Z			the end: without it the listing is cut off
 *
 * Each ends in a newline. A name may hold newlines: the record goes on until a
 * line that begins like a record, which a name can imitate; the sandbox can
 * only lie about itself with that.
 */
#include <stdbool.h>
#include <glib.h>

#include "merge/entry.h"

struct record {
	char kind;	/* one of the letters */
	char sign;	/* '+' or '-' of a delta, else 0 */
	struct entry e;	/* E, O, D: path points into the text parsed */
	char *path;	/* owned; e.path */
	char *target;	/* L; owned */
};

/* Takes the record at *TEXT (LEN bytes left in *LEFT) and moves both on. DELTA:
 * records carry a sign. 1: a record is in R (record_clear it); 0: the end
 * record; -EPROTO: malformed or cut off. */
int record_parse(const char **text, size_t *left, bool delta,
	struct record *r);
void record_clear(struct record *r);

/* The E line (with newline) that the sandbox prints for E at PATH. */
void record_format(GString *out, const struct entry *e, const char *path);
/* The D line. */
void record_format_dir(GString *out, const struct entry *e, const char *path);

#endif
