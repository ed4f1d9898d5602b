#ifndef FS_FUSE_CALLER_CPU_H
#define FS_FUSE_CALLER_CPU_H
/*
 * Keeps a serving thread on the processor of the thread it serves. A guess that
 * costs little when it is wrong: /proc is asked only now and then, and never
 * when the caller stays the same and was found where it was before.
 *
 * One struct belongs to one thread.
 */
#include <sched.h>
#include <stdbool.h>

struct caller_cpu {
	const cpu_set_t *all;	/* borrowed; empty: does nothing */
	int pid;		/* the last caller */
	int cpu;		/* where we keep to; -1: nowhere */
	unsigned since;		/* requests since we last looked */
	unsigned pause;		/* requests until we look again */
};

void caller_cpu_init(struct caller_cpu *c, const cpu_set_t *all);
/* A request of thread PID (0: unknown) is about to be served. */
void caller_cpu_follow(struct caller_cpu *c, int pid);
/* Runs anywhere again. */
void caller_cpu_release(struct caller_cpu *c);

#endif
