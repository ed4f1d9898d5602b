/* Ranks: a debug build dies of a breach, and only of a breach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "merge/lib/io.h"
#include "merge/lib/mutex.h"

static struct mutex low, high;

static void in_order(void)
{
	mutex_lock(&low);
	mutex_lock(&high);
	mutex_assert_held(&low);
	mutex_unlock(&low);
	mutex_unlock(&high);
	mutex_lock(&high);
	mutex_unlock(&high);
	mutex_lock(&low);
	mutex_unlock(&low);
}

static void out_of_order(void)
	THREAD_ATTR(no_thread_safety_analysis)
{
	mutex_lock(&high);
	mutex_lock(&low);
}

static void not_held(void)
	THREAD_ATTR(no_thread_safety_analysis)
{
	mutex_assert_held(&low);
}

static void unlocked_twice(void)
	THREAD_ATTR(no_thread_safety_analysis)
{
	mutex_lock(&low);
	mutex_unlock(&low);
	mutex_unlock(&low);
}

/* The signal that DO ends a process by, 0: none. */
static int died_of(void (*act)(void))
{
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &none);
		close(STDERR_FILENO);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void breaches_abort(void **state)
{
	(void)state;
	assert_int_equal(died_of(in_order), 0);
#ifdef SANDMOUNT_DEBUG
	assert_int_equal(died_of(out_of_order), SIGABRT);
	assert_int_equal(died_of(not_held), SIGABRT);
	assert_int_equal(died_of(unlocked_twice), SIGABRT);
#else
	(void)out_of_order;
	(void)not_held;
	(void)unlocked_twice;
	skip();
#endif
}

struct meeting {
	struct mutex lock;
	struct cond changed;
	bool here;
};

static void *come(void *arg)
{
	struct meeting *m = arg;

	mutex_lock(&m->lock);
	m->here = true;
	cond_broadcast(&m->changed);
	mutex_unlock(&m->lock);
	return NULL;
}

static void waits_until_told(void **state)
{
	struct meeting m = { .here = false };
	pthread_t other;

	(void)state;
	mutex_init(&m.lock, RANK_TREE);
	cond_init(&m.changed);
	mutex_lock(&m.lock);
	assert_false(cond_wait_until(&m.changed, &m.lock, io_now_ns() - 1));
	assert_int_equal(pthread_create(&other, NULL, come, &m), 0);
	while (!m.here)
		cond_wait(&m.changed, &m.lock);
	mutex_unlock(&m.lock);
	pthread_join(other, NULL);
	cond_destroy(&m.changed);
	mutex_destroy(&m.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(breaches_abort),
		cmocka_unit_test(waits_until_told),
	};

	mutex_init(&low, RANK_SESSION);
	mutex_init(&high, RANK_STATE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
