/* What every flow of a session does: wait for its turn, say how far it is. */
#include "fs/sync/internal.h"

#include "merge/lib/io.h"

struct call session_call(struct session *s)
{
	return (struct call){
		.deadline_ms = s->options->timeout_ms,
		.cancel = s->cancel,
	};
}

void session_enter_flow(struct session *s)
{
	mutex_lock(&s->lock);
	while (s->flow_busy)
		cond_wait(&s->changed, &s->lock);
	s->flow_busy = true;
	mutex_unlock(&s->lock);
}

bool session_try_flow(struct session *s, int64_t ms)
{
	int64_t until = io_now_ns() + ms * 1000000;
	bool mine;

	mutex_lock(&s->lock);
	while (s->flow_busy && cond_wait_until(&s->changed, &s->lock, until))
		;
	mine = !s->flow_busy;
	if (mine)
		s->flow_busy = true;
	mutex_unlock(&s->lock);
	return mine;
}

void session_leave_flow(struct session *s)
{
	mutex_lock(&s->lock);
	s->flow_busy = false;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	session_step(s, NULL, 0, 0, false);
}

void session_step(struct session *s, const char *what, uint64_t done,
	uint64_t total, bool bytes)
{
	struct session_progress p;

	mutex_lock(&s->lock);
	p = s->progress;
	mutex_unlock(&s->lock);
	if (p.step)
		p.step(p.ctx, what, done, total, bytes);
}

void session_count(struct session *s, const struct counters *add)
{
	mutex_lock(&s->lock);
	s->counters.batches += add->batches;
	s->counters.files += add->files;
	s->counters.bytes += add->bytes;
	s->counters.fetched_files += add->fetched_files;
	s->counters.fetched_bytes += add->fetched_bytes;
	mutex_unlock(&s->lock);
}
