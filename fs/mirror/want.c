#include "fs/mirror/want.h"

#include <errno.h>

#include "fs/mirror/content.h"
#include "fs/mirror/part_internal.h"
#include "fs/mirror/want_internal.h"
#include "merge/lib/io.h"

enum { POLL_MS = 100, JOB_WANTED = 256 };

struct wait {
	uint64_t id;
	struct want want;
	int64_t deadline_ns;	/* 0: not started */
	bool interrupted;
	int result;
};

struct wants *wants_new(void)
{
	struct wants *w = g_new0(struct wants, 1);

	w->waits = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_queue_init(&w->over);
	g_queue_init(&w->queue);
	g_queue_init(&w->ranges);
	cond_init(&w->work);
	cond_init(&w->tick);
	cond_init(&w->filled);
	return w;
}

static void free_range(gpointer data)
{
	struct want_file *f = data;

	part_unref(f->part);
	g_free(f);
}

void wants_free(struct wants *w)
{
	if (!w)
		return;
	g_queue_clear_full(&w->over, g_free);
	g_queue_clear_full(&w->queue, g_free);
	g_queue_clear_full(&w->ranges, free_range);
	g_hash_table_destroy(w->waits);
	cond_destroy(&w->work);
	cond_destroy(&w->tick);
	cond_destroy(&w->filled);
	g_free(w);
}

/* --- nodes --------------------------------------------------------------- */

void stub_take(struct mirror *m, struct node *n)
{
	if (n->content != CONTENT_COMPLETE)
		g_hash_table_insert(m->stubs, &n->ino, n);
}

void stub_end(struct mirror *m, struct node *n)
{
	if (n->content == CONTENT_COMPLETE)
		return;
	g_hash_table_remove(m->stubs, &n->ino);
	n->content = CONTENT_COMPLETE;
	part_forget(m, n, false);
	wants_end(m, n, 0);
}

void wants_end(struct mirror *m, const struct node *n, int r)
{
	struct wants *w = m->wants;
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, w->waits);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct wait *wait = value;

		if (wait->want.node != n->id || !wait->deadline_ns)
			continue;
		/* A range may come though the whole does not. */
		if (r < 0 && r != -ESTALE && wait->want.len &&
			part_is_for(m, n))
			continue;
		wait->result = r;
		g_hash_table_iter_remove(&it);
		g_queue_push_tail(&w->over, wait);
	}
	cond_broadcast(&w->tick);
	cond_broadcast(&w->filled);
}

void wants_range(struct mirror *m, const struct node *n, struct part *p, int r)
{
	struct wants *w = m->wants;
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, w->waits);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct wait *wait = value;
		const struct want *want = &wait->want;
		bool here = p && part_has(p, want->off, want->len);

		if (want->node != n->id || !wait->deadline_ns || !want->len)
			continue;
		if (p && !here && (r == 0 ||
				part_is_coming(p, want->off, want->len))) {
			part_ask(m, p, want->off, want->len, 0);
			continue;
		}
		wait->result = here ? 0 : r;
		g_hash_table_iter_remove(&it);
		g_queue_push_tail(&w->over, wait);
	}
	cond_broadcast(&w->tick);
}

void fill_wait(struct mirror *m, const struct node *n)
{
	while (n->content == CONTENT_FILLING)
		cond_wait(&m->wants->filled, &m->lock);
}

/* --- waits ---------------------------------------------------------------- */

uint64_t mirror_want_new(struct mirror *m, const struct want *want)
{
	struct wait *wait = g_new0(struct wait, 1);

	wait->want = *want;
	mutex_lock(&m->lock);
	uint64_t id = wait->id = ++m->wants->next_id;

	g_hash_table_insert(m->wants->waits, &wait->id, wait);
	mutex_unlock(&m->lock);
	return id;
}

/* Asks for N unless somebody fetches it already. */
static void enqueue(struct mirror *m, const struct node *n)
{
	struct wants *w = m->wants;

	if (n->content != CONTENT_STUB)
		return;
	for (GList *l = w->queue.head; l; l = l->next)
		if (*(uint64_t *)l->data == n->id)
			return;
	g_queue_push_tail(&w->queue, g_memdup2(&n->id, sizeof(n->id)));
	cond_broadcast(&w->work);
}

void wants_again(struct mirror *m, const struct node *n)
{
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, m->wants->waits);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		const struct wait *wait = value;

		if (wait->want.node == n->id && wait->deadline_ns &&
			!(wait->want.len && part_is_for(m, n)))
			enqueue(m, n);
	}
	cond_broadcast(&m->wants->filled);
}

/* Asks for what WANT needs of N, which is no complete file; true: it is here. */
static bool ask_for(struct mirror *m, const struct node *n,
	const struct want *want)
{
	struct part *p;

	if (!want->len || !part_is_for(m, n)) {
		enqueue(m, n);
		return false;
	}
	p = part_get(m, n);
	part_ask(m, p, want->off, want->len, 0);
	return part_has(p, want->off, want->len);
}

int mirror_want_start(struct mirror *m, uint64_t id)
{
	struct wants *w = m->wants;
	int r = 0;

	mutex_lock(&m->lock);
	struct wait *wait = g_hash_table_lookup(w->waits, &id);
	struct node *n = node_find(m, wait->want.node);

	if (!w->served || w->stop) {
		g_hash_table_remove(w->waits, &id);
		g_free(wait);
		r = -EIO;
	} else if (!n || n->content == CONTENT_COMPLETE ||
		ask_for(m, n, &wait->want)) {
		g_hash_table_remove(w->waits, &id);
		wait->result = n ? 0 : -ESTALE;
		g_queue_push_tail(&w->over, wait);
	} else {
		wait->deadline_ns = io_now_ns() +
			m->config.content_timeout_ms * INT64_C(1000000);
	}
	cond_broadcast(&w->tick);
	mutex_unlock(&m->lock);
	return r;
}

void mirror_want_ahead(struct mirror *m, const char *path)
{
	mutex_lock(&m->lock);
	struct place *p = m->wants->served ? place_at(m, path) : NULL;

	if (p)
		enqueue(m, p->node);
	mutex_unlock(&m->lock);
}

void mirror_want_interrupt(struct mirror *m, uint64_t id)
{
	mutex_lock(&m->lock);
	struct wait *wait = g_hash_table_lookup(m->wants->waits, &id);

	if (wait) {
		wait->interrupted = true;
		cond_broadcast(&m->wants->tick);
	}
	mutex_unlock(&m->lock);
}

/* What became of the wait by itself; 0: it goes on. *UNTIL: look again. */
static int look_at(const struct mirror *m, const struct wait *wait,
	int64_t now_ns, int64_t *until)
{
	if (!wait->deadline_ns)
		return 0;
	if (m->wants->stop)
		return -EIO;
	if (now_ns >= wait->deadline_ns)
		return -ETIMEDOUT;
	if (wait->interrupted && wait->want.give_up(wait->want.ctx))
		return -EINTR;
	*until = MIN(*until, wait->deadline_ns);
	if (wait->interrupted)
		*until = MIN(*until, now_ns + POLL_MS * INT64_C(1000000));
	return 0;
}

/* Moves what is over; returns when to look again. */
static int64_t sort_out(struct mirror *m)
{
	struct wants *w = m->wants;
	int64_t now_ns = io_now_ns(), until = INT64_MAX;
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, w->waits);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct wait *wait = value;
		int r = look_at(m, wait, now_ns, &until);

		if (r == 0)
			continue;
		wait->result = r;
		g_hash_table_iter_remove(&it);
		g_queue_push_tail(&w->over, wait);
	}
	return until;
}

void mirror_serve_waits(struct mirror *m)
{
	struct wants *w = m->wants;

	mutex_lock(&m->lock);
	w->served = true;
	for (;;) {
		int64_t until = sort_out(m);
		struct wait *wait = g_queue_pop_head(&w->over);

		if (wait) {
			mutex_unlock(&m->lock);
			wait->want.done(wait->want.ctx, wait->result);
			g_free(wait);
			mutex_lock(&m->lock);
		} else if (w->stop) {
			break;
		} else if (until == INT64_MAX) {
			cond_wait(&w->tick, &m->lock);
		} else {
			cond_wait_until(&w->tick, &m->lock, until);
		}
	}
	w->served = false;
	mutex_unlock(&m->lock);
}

void mirror_fill_goes_on(struct mirror *m, uint64_t node)
{
	int64_t until = io_now_ns() +
		m->config.content_timeout_ms * INT64_C(1000000);
	GHashTableIter it;
	gpointer value;

	mutex_lock(&m->lock);
	g_hash_table_iter_init(&it, m->wants->waits);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct wait *wait = value;

		if (wait->want.node == node && wait->deadline_ns)
			wait->deadline_ns = until;
	}
	mutex_unlock(&m->lock);
}

void mirror_stop_wants(struct mirror *m)
{
	mutex_lock(&m->lock);
	m->wants->stop = true;
	cond_broadcast(&m->wants->work);
	cond_broadcast(&m->wants->tick);
	cond_broadcast(&m->wants->filled);
	mutex_unlock(&m->lock);
}

/* --- jobs ----------------------------------------------------------------- */

void job_add(GArray *job, struct node *n, bool asked)
{
	struct want_file f = {
		.node = n->id, .ino = n->ino, .size = (int64_t)n->size,
		.asked = asked,
	};

	n->content = CONTENT_FETCHING;
	n->pins++;
	n->unasked = !asked;
	g_array_append_val(job, f);
}

static GArray *job_new(void)
{
	return g_array_new(FALSE, FALSE, sizeof(struct want_file));
}

/* A range, or files that are waited for with their neighbours. */
static void take_job(struct mirror *m, GArray *job)
{
	struct wants *w = m->wants;
	struct want_file *range = g_queue_pop_head(&w->ranges);
	struct node *first = NULL;
	uint64_t *id;

	if (range) {
		g_array_append_vals(job, range, 1);
		g_free(range);
		return;
	}
	while (job->len < JOB_WANTED && (id = g_queue_pop_head(&w->queue))) {
		struct node *n = node_find(m, *id);

		g_free(id);
		if (!n || n->content != CONTENT_STUB)
			continue;
		first = first ? first : n;
		job_add(job, n, true);
	}
	if (job->len)
		pick_neighbours(m, first, job);
}

GArray *mirror_next_job(struct mirror *m)
{
	struct wants *w = m->wants;
	GArray *job = job_new();

	mutex_lock(&m->lock);
	while (!w->stop && job->len == 0) {
		take_job(m, job);
		if (!job->len)
			cond_wait(&w->work, &m->lock);
	}
	mutex_unlock(&m->lock);
	if (job->len)
		return job;
	g_array_free(job, TRUE);
	return NULL;
}

GArray *mirror_any_job(struct mirror *m, guint max, uint64_t max_bytes)
{
	GArray *job = job_new();
	GHashTableIter it;
	uint64_t bytes = 0;
	gpointer value;

	mutex_lock(&m->lock);
	g_hash_table_iter_init(&it, m->stubs);
	while (job->len < max && g_hash_table_iter_next(&it, NULL, &value)) {
		struct node *n = value;

		if (n->content != CONTENT_STUB || !n->names ||
			(job->len && bytes + n->size > max_bytes))
			continue;
		bytes += n->size;
		job_add(job, n, true);
	}
	mutex_unlock(&m->lock);
	if (job->len)
		return job;
	g_array_free(job, TRUE);
	return NULL;
}

GArray *mirror_job_of(struct mirror *m, uint64_t node)
{
	GArray *job = NULL;
	struct node *n;

	mutex_lock(&m->lock);
	while ((n = node_find(m, node)) && n->content != CONTENT_COMPLETE &&
		n->content != CONTENT_STUB)
		cond_wait(&m->wants->filled, &m->lock);
	if (n && n->content == CONTENT_STUB) {
		job = job_new();
		job_add(job, n, true);
	}
	mutex_unlock(&m->lock);
	return job;
}

bool mirror_is_complete(struct mirror *m, uint64_t node)
{
	mutex_lock(&m->lock);
	const struct node *n = node_find(m, node);
	bool complete = !n || n->content == CONTENT_COMPLETE;
	mutex_unlock(&m->lock);
	return complete;
}

/* --- counters ------------------------------------------------------------- */

void mirror_stub_count(struct mirror *m, uint64_t *files, uint64_t *bytes)
{
	GHashTableIter it;
	gpointer value;

	mutex_lock(&m->lock);
	*files = g_hash_table_size(m->stubs);
	*bytes = 0;
	g_hash_table_iter_init(&it, m->stubs);
	while (g_hash_table_iter_next(&it, NULL, &value))
		*bytes += ((struct node *)value)->size;
	mutex_unlock(&m->lock);
}

uint64_t mirror_find_stub(struct mirror *m, uint64_t ino, char **path)
{
	uint64_t id = 0;

	mutex_lock(&m->lock);
	struct node *n = g_hash_table_lookup(m->stubs, &ino);

	if (n && n->names) {
		id = n->id;
		if (path)
			*path = node_path(n);
	}
	mutex_unlock(&m->lock);
	return id;
}

uint64_t mirror_stub_at(struct mirror *m, const char *path)
{
	uint64_t id = 0;

	mutex_lock(&m->lock);
	struct place *p = place_at(m, path);

	if (p && p->node->content != CONTENT_COMPLETE)
		id = p->node->id;
	mutex_unlock(&m->lock);
	return id;
}
