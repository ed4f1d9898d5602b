/* What a thread says of itself reaches the children it starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "merge/lib/priority.h"

struct child {
	bool background;
	int policy; /* of the thread */
	int status; /* of its child */
};

static void *run(void *arg)
{
	struct child *c = arg;
	int before = getpriority(PRIO_PROCESS, 0);
	pid_t pid;

	if (c->background)
		priority_background();
	c->policy = sched_getscheduler(0);
	pid = fork();
	if (pid == 0) {
		priority_child();
		_exit(getpriority(PRIO_PROCESS, 0) - before);
	}
	waitpid(pid, &c->status, 0);
	return NULL;
}

static void start(struct child *c)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run, c), 0);
	pthread_join(thread, NULL);
	assert_true(WIFEXITED(c->status));
}

static void test_background(void **state)
{
	struct child c = { .background = true };
	int before = getpriority(PRIO_PROCESS, 0);

	(void)state;
	start(&c);
	assert_int_equal(c.policy, SCHED_BATCH);
	assert_int_equal(WEXITSTATUS(c.status), MAX(5 - before, 0));
	/* Only that thread. */
	assert_int_not_equal(sched_getscheduler(0), SCHED_BATCH);
}

static void test_others(void **state)
{
	struct child c = { .background = false };
	int policy = sched_getscheduler(0);

	(void)state;
	priority_answer();
	start(&c);
	assert_int_equal(c.policy, policy);
	assert_int_equal(WEXITSTATUS(c.status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
