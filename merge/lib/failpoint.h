#ifndef MERGE_LIB_FAILPOINT_H
#define MERGE_LIB_FAILPOINT_H
/*
 * Points at which a test may kill the process: at each step whose effect
 * outlives it (write, fsync, rename, commit) and at each word to another party
 * (send, answer, reply). Compiled in by FAILPOINTS=1 only; else they cost
 * nothing.
 *
 * SANDMOUNT_FAILPOINT=NAME:N	SIGKILL at the N-th pass of point NAME
 * SANDMOUNT_FAILPOINT_LOG=FILE	a line "NAME:N" for each pass
 *
 * Passes are counted per process from its start, forks included. Any thread.
 */
#include <stddef.h>

#ifdef SANDMOUNT_FAILPOINTS
void failpoint(const char *name);
/* How much of a write of N bytes to do at once: less than all of a long one,
 * so that it can be cut in the middle. */
size_t failpoint_part(size_t n);
#else
static inline void failpoint(const char *name)
{
	(void)name;
}

static inline size_t failpoint_part(size_t n)
{
	return n;
}
#endif

#endif
