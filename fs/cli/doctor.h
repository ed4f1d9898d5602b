#ifndef FS_CLI_DOCTOR_H
#define FS_CLI_DOCTOR_H
/*
 * `sandmount doctor`: findings about this machine and a sandbox, each with the
 * command that mends it. The checks are apart from how they are shown.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

enum finding_level {
	FINDING_OK,
	FINDING_NOTE,	/* nothing wrong; worth knowing */
	FINDING_WARNING, /* works, but not well or not everything */
	FINDING_FAILED,	/* will not work */
};

struct finding {
	enum finding_level level;
	const char *check;	/* static: what was looked at */
	char *text;		/* what was found; owned */
	char *mend;		/* what to type; owned, or NULL */
};

struct findings {
	GPtrArray *list;	/* struct finding, owned */
};

void findings_init(struct findings *f);
void findings_release(struct findings *f);
/* MEND may be NULL. */
void findings_add(struct findings *f, enum finding_level level,
	const char *check, const char *mend, const char *fmt, ...)
	G_GNUC_PRINTF(5, 6);
enum finding_level findings_worst(const struct findings *f);
/* Lines for a person; g_free it. */
char *findings_text(const struct findings *f, bool color);

/* --- doctor_machine.c ------------------------------------------------------ */

/* Where to look; tests give others. */
struct doctor_paths {
	const char *dev_fuse, *fuse_conf, *proc;
};
extern const struct doctor_paths doctor_real_paths;

/* FUSE: device, helper, fuse.conf. */
void doctor_fuse(struct findings *f, const struct doctor_paths *p);
/* Open files, inotify, state and runtime directories, disk, clock, tools,
 * config file. */
void doctor_machine(struct findings *f, const struct doctor_paths *p);

/* --- doctor_sandbox.c ------------------------------------------------------- */

/* SANDBOX as on the command line. */
void doctor_sandbox(struct findings *f, const char *sandbox);

#endif
