#include "transport/tree.h"

#include "merge/plan.h"

static void free_op(gpointer data)
{
	struct batch_op *op = data;

	g_free(op->path);
	g_free(op->to);
	plan_entry_clear(&op->entry);
	plan_entry_clear(&op->expect);
	plan_entry_clear(&op->remote);
	g_free(op);
}

struct batch *batch_new(uint64_t number)
{
	struct batch *b = g_new0(struct batch, 1);

	b->number = number;
	b->ops = g_ptr_array_new_with_free_func(free_op);
	return b;
}

struct batch_op *batch_add(struct batch *b, enum batch_kind kind,
	const char *path)
{
	struct batch_op *op = g_new0(struct batch_op, 1);

	op->kind = kind;
	op->path = g_strdup(path);
	g_ptr_array_add(b->ops, op);
	return op;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	g_ptr_array_free(b->ops, TRUE);
	g_free(b->refusal);
	g_free(b);
}
