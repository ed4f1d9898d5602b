/* Flags that end calls, and flags below others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>

#include <cmocka.h>

#include "transport/remote.h"

static bool wakes(const struct cancel *c)
{
	struct pollfd p = { .fd = cancel_fd(c), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void test_one(void **state)
{
	struct cancel *c = cancel_new();

	(void)state;
	assert_false(cancel_is_raised(c) || wakes(c));
	cancel_raise(c);
	cancel_raise(c);
	assert_true(cancel_is_raised(c) && wakes(c));
	cancel_free(c);
	assert_false(cancel_is_raised(NULL));
	assert_int_equal(cancel_fd(NULL), -1);
}

static void test_parent_raises(void **state)
{
	struct cancel *parent = cancel_new();
	struct cancel *c = cancel_new_below(parent);

	(void)state;
	assert_false(cancel_is_raised(c) || wakes(c));
	cancel_raise(parent);
	assert_true(cancel_is_raised(c) && wakes(c));
	cancel_free(c);
	cancel_free(parent);
}

static void test_child_leaves_parent(void **state)
{
	struct cancel *parent = cancel_new();
	struct cancel *c = cancel_new_below(parent);

	(void)state;
	cancel_raise(c);
	assert_true(cancel_is_raised(c) && wakes(c));
	assert_false(cancel_is_raised(parent) || wakes(parent));
	cancel_free(c);
	c = cancel_new_below(NULL);
	assert_false(cancel_is_raised(c) || wakes(c));
	cancel_free(c);
	cancel_free(parent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_parent_raises),
		cmocka_unit_test(test_child_leaves_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
