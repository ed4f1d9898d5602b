#include "merge/apply.h"

#include <errno.h>

#include "merge/apply_internal.h"
#include "merge/lib/fail.h"

int apply_plan(struct plan *p, const struct apply_options *o, GError **err)
{
	for (size_t i = 0; i < plan_count(p); i++) {
		struct plan_op *op = plan_at(p, i);

		if (op->outcome == PLAN_DONE)
			continue;
		op->outcome = PLAN_TODO;
		g_clear_pointer(&op->error, g_free);
		if (o->cancel && *o->cancel)
			return fail(err, FAIL_CANCELLED,
				"restore: interrupted; the next `sandmount "
				"restore` goes on");
		if (apply_op(op, i, o, err) < 0)
			return -EIO;
		if (o->mark && op->action != PLAN_REPORT &&
			o->mark(o->ctx, p, i, err) < 0)
			return -EIO;
		if (o->progress)
			o->progress(o->ctx, i + 1, plan_count(p));
	}
	return 0;
}
