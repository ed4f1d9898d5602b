#include "fs/fuse/caller_cpu.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PAUSE_NEW = 4,	  /* a new caller: not with every request */
	PAUSE_FIRST = 32, /* the same caller: doubles while it stays */
	PAUSE_LONG = 512,
	APART = 256,	/* requests from one caller before it is alone */
	CPU_FIELD = 39, /* of /proc/PID/stat: processor */
};

void caller_cpu_init(struct caller_cpu *c, const cpu_set_t *all)
{
	*c = (struct caller_cpu){
		.all = all,
		.cpu = -1,
		.pause = PAUSE_FIRST,
	};
}

/* The processor that thread PID last ran on, or -1. */
static int cpu_of(int pid)
{
	char path[40], text[1024];
	const char *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	/* The second field, a name in parentheses, may hold anything. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < CPU_FIELD; field++)
		p = strchr(p + 1, ' ');
	return p ? atoi(p + 1) : -1;
}

/* Whether the caller before this one, or before that, is back: then they work
 * at the same time. */
static bool is_back(struct caller_cpu *c, int pid)
{
	bool back = false;
	int last = c->last, i;

	if (pid == last)
		return false;
	for (i = 0; i < CALLER_CPU_MEMORY - 1 && c->before[i] != pid; i++)
		;
	back = c->before[i] == pid;
	memmove(c->before + 1, c->before, (size_t)i * sizeof(*c->before));
	c->before[0] = last;
	c->last = pid;
	return back;
}

/* Whether several callers work at the same time. */
static bool is_shared(struct caller_cpu *c, int pid)
{
	if (is_back(c, pid)) {
		if (c->cpu >= 0)
			caller_cpu_release(c);
		c->apart = APART;
	}
	if (c->apart == 0)
		return false;
	c->apart--;
	return true;
}

void caller_cpu_follow(struct caller_cpu *c, int pid)
{
	bool same = pid == c->pid;
	cpu_set_t one;
	int cpu;

	if (pid <= 0 || CPU_COUNT(c->all) < 2 || is_shared(c, pid))
		return;
	if (++c->since < (same ? c->pause : PAUSE_NEW))
		return;
	cpu = cpu_of(pid);
	c->since = 0;
	c->pid = pid;
	c->pause = !same || cpu != c->cpu  ? PAUSE_FIRST
		   : c->pause < PAUSE_LONG ? c->pause * 2
					   : PAUSE_LONG;
	if (cpu < 0 || cpu == c->cpu || !CPU_ISSET(cpu, c->all))
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		c->cpu = cpu;
}

void caller_cpu_release(struct caller_cpu *c)
{
	if (CPU_COUNT(c->all))
		sched_setaffinity(0, sizeof(*c->all), c->all);
	c->cpu = -1;
}
