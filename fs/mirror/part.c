/* Parts of stubs: who holds them, what is read of them, what is asked for. */
#include "fs/mirror/part.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/mirror/part_internal.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want_internal.h"

enum {
	AHEAD_FIRST = 4,	/* chunks */
	AHEAD_MOST = 64,
};
/* A size that is no mistake: one byte of memory for each MiB. */
#define PART_MOST (INT64_C(4) << 40)

struct parts *parts_new(void)
{
	struct parts *ps = g_new0(struct parts, 1);

	ps->dir_fd = -1;
	ps->of = g_hash_table_new(g_int64_hash, g_int64_equal);
	return ps;
}

void parts_free(struct parts *ps)
{
	GHashTableIter it;
	gpointer value;

	if (!ps)
		return;
	g_hash_table_iter_init(&it, ps->of);
	while (g_hash_table_iter_next(&it, NULL, &value))
		part_unref(value);
	g_hash_table_destroy(ps->of);
	g_free(ps);
}

struct part *part_new(uint64_t node, uint64_t ino, uint64_t size,
	int64_t mtime_ns)
{
	struct part *p = g_new0(struct part, 1);

	p->refs = 1;
	p->node = node;
	p->stub_ino = ino;
	p->size = size;
	p->mtime_ns = mtime_ns;
	p->chunks = (size + PART_CHUNK - 1) / PART_CHUNK;
	p->state = g_malloc0(p->chunks);
	p->fd = -1;
	return p;
}

struct part *part_ref(struct part *p)
{
	p->refs++;
	return p;
}

void part_unref(struct part *p)
{
	if (!p || --p->refs)
		return;
	if (p->fd >= 0)
		close(p->fd);
	g_free(p->name);
	g_free(p->state);
	g_free(p);
}

bool part_is_for(const struct mirror *m, const struct node *n)
{
	return m->parts->dir_fd >= 0 && n->content != CONTENT_COMPLETE &&
		n->size >= PART_LEAST && n->size <= (uint64_t)PART_MOST;
}

struct part *part_find(const struct mirror *m, const struct node *n)
{
	return g_hash_table_lookup(m->parts->of, &n->id);
}

struct part *part_get(struct mirror *m, const struct node *n)
{
	struct part *p = part_find(m, n);

	if (p)
		return p;
	p = part_new(n->id, n->ino, n->size, n->mtime_ns);
	g_hash_table_insert(m->parts->of, &p->node, p);
	return p;
}

void part_forget(struct mirror *m, const struct node *n, bool over)
{
	struct part *p = part_find(m, n);

	if (!p)
		return;
	g_hash_table_remove(m->parts->of, &p->node);
	p->over |= over;
	part_unlink(m, p);
	part_unref(p);
}

uint64_t part_bytes(const struct part *p)
{
	return (uint64_t)p->here * PART_CHUNK;
}

uint64_t parts_idle(struct mirror *m, bool drop)
{
	GHashTableIter it;
	gpointer value;
	uint64_t bytes = 0;

	g_hash_table_iter_init(&it, m->parts->of);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct part *p = value;

		if (p->refs > 1)
			continue;
		bytes += part_bytes(p);
		if (!drop)
			continue;
		g_hash_table_iter_remove(&it);
		part_unlink(m, p);
		part_unref(p);
	}
	return bytes;
}

/* --- chunks -------------------------------------------------------------- */

/* The chunks of LEN bytes at OFF: from *FIRST to before *END. */
static void chunks_of(const struct part *p, uint64_t off, uint64_t len,
	size_t *first, size_t *end)
{
	uint64_t stop = off < p->size ? off + MIN(len, p->size - off) : off;

	*first = MIN(off / PART_CHUNK, p->chunks);
	*end = MIN((stop + PART_CHUNK - 1) / PART_CHUNK, p->chunks);
}

bool part_has(const struct part *p, uint64_t off, uint64_t len)
{
	size_t at, end;

	for (chunks_of(p, off, len, &at, &end); at < end; at++)
		if (p->state[at] != CHUNK_HERE)
			return false;
	return true;
}

bool part_is_coming(const struct part *p, uint64_t off, uint64_t len)
{
	size_t at, end;

	for (chunks_of(p, off, len, &at, &end); at < end; at++)
		if (p->state[at] == CHUNK_MISSING)
			return false;
	return true;
}

/* One job for the missing chunks from FIRST to before END. */
static void ask_run(struct mirror *m, struct part *p, size_t first, size_t end)
{
	struct want_file *job = g_new0(struct want_file, 1);
	uint64_t off = (uint64_t)first * PART_CHUNK;

	memset(p->state + first, CHUNK_COMING, end - first);
	*job = (struct want_file){
		.node = p->node, .ino = p->stub_ino, .size = (int64_t)p->size,
		.asked = true, .part = part_ref(p), .off = off,
		.len = MIN((uint64_t)(end - first) * PART_CHUNK,
			p->size - off),
	};
	g_queue_push_tail(&m->wants->ranges, job);
	cond_broadcast(&m->wants->work);
}

void part_ask(struct mirror *m, struct part *p, uint64_t off, uint64_t len,
	size_t ahead)
{
	size_t at, end, stop;

	chunks_of(p, off, len, &at, &end);
	stop = MIN(MAX(end, at + ahead), p->chunks);
	while (at < stop) {
		size_t first = at;

		while (at < stop && p->state[at] == CHUNK_MISSING &&
			at - first < AHEAD_MOST)
			at++;
		if (at > first)
			ask_run(m, p, first, at);
		else
			at++;
	}
}

/* --- reading ------------------------------------------------------------- */

bool mirror_file_is_partial(const struct mirror_file *f)
{
	return f->part != NULL;
}

bool mirror_file_is_whole(struct mirror *m, const struct mirror_file *f)
{
	bool whole;

	if (!f->part)
		return true;
	mutex_lock(&m->lock);
	whole = f->node->content == CONTENT_COMPLETE && !f->part->over;
	mutex_unlock(&m->lock);
	return whole;
}

/* How far ahead F is worth being read: further as long as it goes on where it
 * was. The kernel sends the reads of one stretch in any order. */
static void follow(struct mirror_file *f, uint64_t off, uint64_t end)
{
	uint64_t slack = 2 * PART_CHUNK;

	if (!f->ahead || off + slack < f->read_to || off > f->read_to + slack) {
		f->ahead = AHEAD_FIRST;
		f->read_to = end;
	}
	f->read_to = MAX(f->read_to, end);
}

static void ask_ahead(struct mirror *m, struct mirror_file *f, uint64_t off,
	uint64_t size)
{
	uint64_t half = f->ahead / 2 * (uint64_t)PART_CHUNK;
	struct part *p = f->part;

	if (!part_has(p, off, size)) {
		part_ask(m, p, off, size, f->ahead);
	} else if (f->read_to > off + size || f->read_to < half ||
		part_has(p, f->read_to, half)) {
		return;
	} else {
		part_ask(m, p, f->read_to, 1, f->ahead);
	}
	f->ahead = MIN(f->ahead * 2, AHEAD_MOST);
}

int mirror_read_begin(struct mirror *m, struct mirror_file *f, uint64_t off,
	uint64_t size, struct part_read *out)
{
	struct part *p = f->part;
	int r = 0;

	mutex_lock(&m->lock);
	*out = (struct part_read){ .fd = f->fd };
	if (p->over) {
		r = -ESTALE;
	} else if (f->node->content != CONTENT_COMPLETE && off < p->size) {
		follow(f, off, MIN(off + size, p->size));
		ask_ahead(m, f, off, size);
		r = part_has(p, off, size) ? 0 : -EINPROGRESS;
		if (r == 0)
			*out = (struct part_read){
				.fd = p->fd, .part = part_ref(p),
			};
	}
	mutex_unlock(&m->lock);
	return r;
}

void mirror_read_end(struct mirror *m, struct part_read *r)
{
	if (!r->part)
		return;
	mutex_lock(&m->lock);
	part_unref(r->part);
	mutex_unlock(&m->lock);
	r->part = NULL;
}
