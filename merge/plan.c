#include "merge/plan.h"

#include <string.h>

#include "merge/lib/path.h"

void plan_entry_set(struct entry *dst, const struct entry *src)
{
	struct entry copy = { 0 };

	if (src) {
		copy = *src;
		copy.path = NULL;
		copy.target = g_strdup(src->target);
	}
	plan_entry_clear(dst);
	*dst = copy;
}

void plan_entry_clear(struct entry *e)
{
	g_free((char *)e->target);
	*e = (struct entry){ 0 };
}

void plan_op_free(struct plan_op *op)
{
	if (!op)
		return;
	g_free(op->path);
	g_free(op->from);
	g_free(op->subject);
	g_free(op->copy);
	g_free(op->why);
	g_free(op->ours_path);
	g_free(op->trash);
	g_free(op->error);
	plan_entry_clear(&op->before);
	plan_entry_clear(&op->after);
	plan_entry_clear(&op->base);
	plan_entry_clear(&op->ours);
	plan_entry_clear(&op->theirs);
	plan_entry_clear(&op->now);
	g_free(op);
}

static void free_op(gpointer op)
{
	plan_op_free(op);
}

struct plan *plan_new(void)
{
	struct plan *p = g_new0(struct plan, 1);

	p->ops = g_ptr_array_new_with_free_func(free_op);
	return p;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	g_ptr_array_free(p->ops, TRUE);
	g_free(p);
}

struct plan_op *plan_add(struct plan *p, enum plan_action action,
	const char *path)
{
	struct plan_op *op = g_new0(struct plan_op, 1);

	op->action = action;
	op->path = g_strdup(path);
	op->kind = "file";
	g_ptr_array_add(p->ops, op);
	return op;
}

struct plan_op *plan_at(const struct plan *p, size_t i)
{
	return g_ptr_array_index(p->ops, i);
}

size_t plan_count(const struct plan *p)
{
	return p->ops->len;
}

/* What failed counts as held: it is still to be done. */
static enum plan_list list_of(const struct plan_op *op)
{
	return op->outcome == PLAN_FAILED ? PLAN_HELD : op->list;
}

size_t plan_list_count(const struct plan *p, enum plan_list list)
{
	size_t n = 0;

	for (size_t i = 0; i < plan_count(p); i++)
		n += list_of(plan_at(p, i)) == list;
	return n;
}

int plan_exit_code(const struct plan *p)
{
	if (p->gated || p->incomplete)
		return 4;
	for (size_t i = 0; i < plan_count(p); i++)
		if (plan_at(p, i)->outcome == PLAN_FAILED ||
			plan_at(p, i)->outcome == PLAN_CHANGED)
			return 4;
	if (plan_list_count(p, PLAN_CONFLICTS) || plan_list_count(p, PLAN_HELD))
		return 3;
	return 0;
}

static const char *const action_names[] = {
	[PLAN_REPORT] = "report", [PLAN_MKDIR] = "mkdir",
	[PLAN_PUT] = "put", [PLAN_CHMOD] = "chmod",
	[PLAN_DELETE] = "delete", [PLAN_MERGE] = "merge",
	[PLAN_GIT] = "git",
};

static const char *const list_names[] = {
	[PLAN_SILENT] = "-", [PLAN_APPLIED] = "applied",
	[PLAN_DELETED] = "deleted", [PLAN_MERGED] = "merged",
	[PLAN_CONFLICTS] = "conflicts", [PLAN_HELD] = "held",
	[PLAN_KEPT_LOCAL] = "kept_local",
};

char *plan_to_text(const struct plan *p)
{
	GString *s = g_string_new(NULL);

	for (size_t i = 0; i < plan_count(p); i++) {
		const struct plan_op *op = plan_at(p, i);
		g_autofree char *path = path_display(op->path);

		g_string_append_printf(s, "%s %s %s %s",
			action_names[op->action], path, list_names[op->list],
			op->word ? op->word : "-");
		if (op->from && strcmp(op->from, op->path))
			g_string_append_printf(s, " from %s", op->from);
		if (op->subject && strcmp(op->subject, op->path))
			g_string_append_printf(s, " for %s", op->subject);
		if (op->after.type != ENTRY_ABSENT &&
			op->after.type != ENTRY_LINK)
			g_string_append_printf(
				s, " %03o", entry_perm(&op->after));
		g_string_append_c(s, '\n');
	}
	return g_string_free(s, FALSE);
}
