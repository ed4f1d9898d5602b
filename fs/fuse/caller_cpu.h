#ifndef FS_FUSE_CALLER_CPU_H
#define FS_FUSE_CALLER_CPU_H
/*
 * Keeps a serving thread on the processor of the thread it serves. A guess that
 * costs little when it is wrong: /proc is asked only now and then, and never
 * when the caller stays the same and was found where it was before.
 *
 * Callers that work at the same time (make -j, git's threads) are on several
 * processors: following each in turn costs more than it saves, and a thread
 * that is bound where another program computes cannot go where one is free. So
 * while callers take turns it runs anywhere.
 *
 * One struct belongs to one thread.
 */
#include <sched.h>
#include <stdbool.h>

enum { CALLER_CPU_MEMORY = 4 };

struct caller_cpu {
	const cpu_set_t *all;	/* borrowed; empty: does nothing */
	int pid;		/* the caller followed */
	int last;		/* the last caller */
	int cpu;		/* where we keep to; -1: nowhere */
	int before[CALLER_CPU_MEMORY]; /* other callers, the last one first */
	unsigned apart;		/* requests until it may follow again */
	unsigned since;		/* requests since we last looked */
	unsigned pause;		/* requests until we look again */
};

void caller_cpu_init(struct caller_cpu *c, const cpu_set_t *all);
/* A request of thread PID (0: unknown) is about to be served. */
void caller_cpu_follow(struct caller_cpu *c, int pid);
/* Runs anywhere again. */
void caller_cpu_release(struct caller_cpu *c);

#endif
