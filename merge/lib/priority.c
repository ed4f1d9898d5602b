#include "merge/lib/priority.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CHILD_NICE = 5, ANSWER_SLICE_NS = 100000 };

/* The kernel's struct sched_attr, which libc has or has not. */
struct slice {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

void priority_answer(void)
{
	struct slice s = {
		.size = sizeof(s),
		.policy = SCHED_OTHER,
		.runtime = ANSWER_SLICE_NS,
		.nice = getpriority(PRIO_PROCESS, 0),
	};

	syscall(SYS_sched_setattr, 0, &s, 0);
}

void priority_background(void)
{
	const struct sched_param none = { 0 };

	sched_setscheduler(0, SCHED_BATCH, &none);
}

void priority_child(void)
{
	if (sched_getscheduler(0) == SCHED_BATCH &&
		getpriority(PRIO_PROCESS, 0) < CHILD_NICE)
		setpriority(PRIO_PROCESS, 0, CHILD_NICE);
}
