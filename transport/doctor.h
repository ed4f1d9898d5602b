#ifndef TRANSPORT_DOCTOR_H
#define TRANSPORT_DOCTOR_H
/*
 * What a sandbox is like, asked in one command that changes nothing there.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "transport/remote.h"

struct sandbox_facts {	/* strings and arrays owned; printable text only */
	GPtrArray *missing;	/* tools nothing works without: char * */
	GPtrArray *without;	/* tools that would make it better: char * */
	char *system, *tar;	/* "Linux x86_64", "tar (GNU tar) 1.34" */
	int64_t clock_s;	/* its wall clock; -1: unknown */
	int64_t asked_s;	/* ours at about the same moment */
	int64_t free_kb;	/* where the workspace is or would be; -1 */
	bool has_workspace, writable;
	char *blocked;		/* what is no directory on the way there */
	int64_t expires_ms;	/* wall clock; 0: it does not end, -1: unknown */
};

/* 0, or a negative errno with *ERR; to be released in both cases. */
int sandbox_facts_ask(struct remote *r, const struct call *call,
	struct sandbox_facts *f, GError **err);
void sandbox_facts_release(struct sandbox_facts *f);

#endif
