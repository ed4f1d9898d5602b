#include "merge/diff.h"

#include <assert.h>

#include "merge/lib/path.h"

void diff_init_n(struct diff *d, const struct manifest *const *sides,
	unsigned count)
{
	assert(count <= DIFF_SIDES);
	*d = (struct diff){ 0 };
	for (unsigned i = 0; i < count; i++)
		d->side[i] = sides[i];
}

void diff_init(struct diff *d, const struct manifest *a,
	const struct manifest *b)
{
	const struct manifest *const sides[] = { a, b };

	diff_init_n(d, sides, 2);
}

/* The entry side I comes to next, NULL at its end. */
static const struct entry *peek(const struct diff *d, unsigned i)
{
	const struct manifest *m = d->side[i];

	if (!m || d->next[i] >= manifest_count(m))
		return NULL;
	return manifest_at(m, d->next[i]);
}

/* One comparison a side: FIRST is the least path so far, and sides found equal
 * to it are taken again when a lesser one turns up. */
bool diff_next(struct diff *d, struct diff_step *s)
{
	struct diff_step step = { 0 };

	for (unsigned i = 0; i < DIFF_SIDES; i++) {
		const struct entry *e = peek(d, i);
		int order;

		if (!e)
			continue;
		order = step.path ? path_compare(e->path, step.path) : -1;
		if (order > 0)
			continue;
		if (order < 0)
			step = (struct diff_step){ .path = e->path };
		step.at[i] = e;
	}
	if (!step.path)
		return false;
	for (unsigned i = 0; i < DIFF_SIDES; i++)
		d->next[i] += step.at[i] != NULL;
	d->path = step.path;
	*s = step;
	return true;
}

/* Everything below a path follows it directly, on each side. */
void diff_skip_below(struct diff *d)
{
	if (!d->path)
		return;
	for (unsigned i = 0; i < DIFF_SIDES; i++) {
		size_t at = d->next[i];

		if (peek(d, i) && path_is_within(peek(d, i)->path, d->path))
			d->next[i] = manifest_within_end(d->side[i], at,
				d->path);
	}
}

static bool is_there(const struct entry *e)
{
	return e && e->type != ENTRY_ABSENT;
}

unsigned diff_what(const struct entry *a, const struct entry *b)
{
	unsigned what = 0;

	if (!is_there(a) || !is_there(b))
		return (is_there(b) ? DIFF_ADDED : 0) |
			(is_there(a) ? DIFF_REMOVED : 0);
	if (a->type != b->type)
		return DIFF_TYPE;
	if ((a->flags | b->flags) & ENTRY_UNREADABLE)
		return 0;
	if (!entry_same_content(a, b))
		what |= DIFF_CONTENT;
	else if (a->type == ENTRY_FILE && a->mtime_ns != b->mtime_ns)
		what |= DIFF_MTIME;
	if (a->type != ENTRY_SPECIAL && entry_perm(a) != entry_perm(b))
		what |= DIFF_PERM;
	return what;
}
