/* Patience: asking again what was certainly, or harmlessly, not done. */
#include "transport/http.h"

#include <poll.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"

#define MS INT64_C(1000000)

enum { TRIES = 5, FIRST_WAIT_MS = 200, LONGEST_WAIT_MS = 60000 };

int http_wait(int64_t wait_ms, int64_t until_ns, struct cancel *cancel,
	GError **err)
{
	int64_t wake = io_now_ns() + wait_ms * MS;

	if (until_ns && wake > until_ns)
		return fail(err, FAIL_DEADLINE,
			"the server asks for more patience than the deadline "
			"leaves (%" G_GINT64_FORMAT " ms)", wait_ms);
	for (;;) {
		struct pollfd raised = {
			.fd = cancel_fd(cancel), .events = POLLIN,
		};
		int64_t left = (wake - io_now_ns() + MS - 1) / MS;

		if (left <= 0)
			return 0;
		if (poll(&raised, 1, (int)MIN(left, 1000)) > 0)
			return fail(err, FAIL_CANCELLED, "interrupted");
	}
}

static bool is_undone(const struct http_answer *a, const GError *why)
{
	if (why)
		return why->code == FAIL_UNAVAILABLE;
	return a->status == 429 || a->status == 503;
}

static bool is_unknown(const struct http_answer *a, const GError *why)
{
	if (why)
		return why->code == FAIL_UNKNOWN;
	return a->status == 500 || a->status == 502 || a->status == 504;
}

/* Doubled each time, up to a quarter more or less, so that many clients do
 * not come back at once. */
static int64_t pause_ms(const struct http_answer *a, unsigned attempt)
{
	int64_t wait = (int64_t)FIRST_WAIT_MS << attempt;

	if (a->retry_after_ms >= 0)
		return MIN(a->retry_after_ms, (int64_t)LONGEST_WAIT_MS);
	return wait - wait / 4 + g_random_int_range(0, (gint32)wait / 2);
}

int http_ask_again(struct http *h, const struct http_request *q,
	bool repeatable, const struct call *call, struct http_answer *a,
	GError **err)
{
	int64_t until = call->deadline_ms
		? io_now_ns() + call->deadline_ms * MS : 0;
	struct call c = *call;

	for (unsigned attempt = 0;; attempt++) {
		g_autoptr(GError) why = NULL;
		bool again;
		int r;

		if (until)
			c.deadline_ms = MAX((until - io_now_ns()) / MS, 1);
		http_answer_clear(a);
		r = http_ask(h, q, &c, a, &why);
		again = is_undone(a, why) || (repeatable && is_unknown(a, why));
		if (again && attempt + 1 < TRIES &&
			http_wait(pause_ms(a, attempt), until, call->cancel,
				NULL) == 0)
			continue;
		if (why)
			g_propagate_error(err, g_steal_pointer(&why));
		return r;
	}
}
