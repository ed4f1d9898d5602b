#include "merge/scan_pool.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "merge/lib/io.h"
#include "merge/scan_hash.h"

enum {
	DELIVER_ENTRIES = 1024,
	JOB_FILES = 64,
	JOB_BYTES = 8 << 20,
	THREADS_MOST = 8,  /* unless asked for more */
	THREADS_LIMIT = 64,
};

void pool_init(struct scan *s, int root_fd, const struct scan_options *o)
{
	*s = (struct scan){
		.root_fd = root_fd,
		.o = o,
		.start_ns = o->now_ns ? o->now_ns : io_wall_ns(),
		.files = G_QUEUE_INIT,
		.dirs = G_QUEUE_INIT,
		.out = manifest_new(),
	};
	/* A leaf: nothing else is locked while it is held. */
	mutex_init(&s->lock, RANK_LOG);
	cond_init(&s->wake);
}

static struct batch *batch_new(void)
{
	struct batch *b = g_new0(struct batch, 1);

	b->entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
	b->text = g_string_chunk_new(4096);
	return b;
}

static void batch_free(struct batch *b)
{
	if (!b)
		return;
	g_array_free(b->entries, TRUE);
	g_string_chunk_free(b->text);
	g_free(b);
}

static void batch_add(struct batch *b, const struct entry *e)
{
	struct entry copy = *e;

	copy.path = g_string_chunk_insert(b->text, e->path);
	if (e->target)
		copy.target = g_string_chunk_insert(b->text, e->target);
	g_array_append_val(b->entries, copy);
	b->bytes += e->size;
}

static void job_free(void *p)
{
	struct job *j = p;

	g_free(j->path);
	batch_free(j->files);
	g_free(j);
}

static void push_job(struct scan *s, struct job *j)
{
	mutex_lock(&s->lock);
	g_queue_push_tail(j->path ? &s->dirs : &s->files, j);
	cond_broadcast(&s->wake);
	mutex_unlock(&s->lock);
}

/* NULL when the scan is over. */
static struct job *next_job_locked(struct scan *s) REQUIRES(s->lock)
{
	while (!is_cancelled(s->o->cancel)) {
		struct job *j = g_queue_pop_tail(&s->files);

		if (!j)
			j = g_queue_pop_tail(&s->dirs);
		if (j || s->busy == 0)
			return j;
		cond_wait(&s->wake, &s->lock);
	}
	return NULL;
}

static void stats_move(struct scan_stats *to, struct scan_stats *from)
{
	to->hashed_files += from->hashed_files;
	to->hashed_bytes += from->hashed_bytes;
	to->excluded += from->excluded;
	to->unreadable += from->unreadable;
	to->special += from->special;
	*from = (struct scan_stats){ 0 };
}

static void deliver(struct worker *w)
{
	GArray *entries = w->done->entries;

	mutex_lock(&w->s->lock);
	for (unsigned i = 0; i < entries->len; i++)
		manifest_add(w->s->out,
			&g_array_index(entries, struct entry, i));
	stats_move(&w->s->stats, &w->stats);
	mutex_unlock(&w->s->lock);
	g_array_set_size(entries, 0);
	g_string_chunk_clear(w->done->text);
}

void add_done(struct worker *w, const struct entry *e)
{
	if (e->flags & ENTRY_UNREADABLE)
		w->stats.unreadable++;
	if (e->type == ENTRY_SPECIAL)
		w->stats.special++;
	batch_add(w->done, e);
	if (w->done->entries->len >= DELIVER_ENTRIES)
		deliver(w);
}

void flush_unhashed(struct worker *w)
{
	struct job *j;

	if (w->unhashed->entries->len == 0)
		return;
	j = g_new0(struct job, 1);
	j->files = w->unhashed;
	j->tries = w->tries;
	w->unhashed = batch_new();
	push_job(w->s, j);
}

void add_unhashed(struct worker *w, const struct entry *e)
{
	batch_add(w->unhashed, e);
	if (w->unhashed->entries->len >= JOB_FILES ||
		w->unhashed->bytes >= JOB_BYTES)
		flush_unhashed(w);
}

void push_dir(struct worker *w, const char *path, const struct stat *st)
{
	struct job *j = g_new0(struct job, 1);

	j->path = g_strdup(path);
	j->st = *st;
	j->tries = w->tries;
	push_job(w->s, j);
}

void pool_release(struct scan *s)
{
	g_queue_clear_full(&s->files, job_free);
	g_queue_clear_full(&s->dirs, job_free);
	cond_destroy(&s->wake);
	mutex_destroy(&s->lock);
	manifest_free(s->out);
}

void worker_init(struct worker *w, struct scan *s)
{
	*w = (struct worker){
		.s = s,
		.done = batch_new(),
		.unhashed = batch_new(),
	};
}

void worker_release(struct worker *w)
{
	deliver(w);
	batch_free(w->done);
	batch_free(w->unhashed);
}

static void run_jobs(struct worker *w)
{
	struct scan *s = w->s;
	struct job *j;

	mutex_lock(&s->lock);
	while ((j = next_job_locked(s))) {
		s->busy++;
		mutex_unlock(&s->lock);
		s->run_job(w, j);
		job_free(j);
		mutex_lock(&s->lock);
		if (--s->busy == 0)
			cond_broadcast(&s->wake);
	}
	mutex_unlock(&s->lock);
}

static void *worker_main(void *ctx)
{
	struct worker w;

	pthread_setname_np(pthread_self(), "scan");
	worker_init(&w, ctx);
	run_jobs(&w);
	worker_release(&w);
	return NULL;
}

static unsigned thread_count(const struct scan_options *o)
{
	long cpus;

	if (o->threads)
		return MIN(o->threads, THREADS_LIMIT);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	return CLAMP(cpus, 1, THREADS_MOST);
}

/* The caller's thread and those that could be had besides. They take no
 * signals: those are for threads that wait for them. */
void pool_run(struct worker *w)
{
	pthread_t threads[THREADS_LIMIT];
	unsigned want = thread_count(w->s->o) - 1, count = 0;
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (count < want &&
		pthread_create(&threads[count], NULL, worker_main, w->s) == 0)
		count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	run_jobs(w);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}
