/* The mirror's node table: loaded for a flow or a mount, dropped, looked at. */
#include <errno.h>

#include "fs/mirror/mirror.h"
#include "fs/sync/internal.h"

void session_unload_mirror(struct session *s)
{
	struct mirror *m;

	mutex_lock(&s->lock);
	m = s->mirror;
	s->mirror = NULL;
	while (s->mirror_lookers)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	mirror_close(m);
}

struct mirror *session_look_at_mirror(struct session *s)
{
	mutex_lock(&s->lock);
	struct mirror *m = s->mirror;

	s->mirror_lookers += m != NULL;
	mutex_unlock(&s->lock);
	return m;
}

void session_looked_at_mirror(struct session *s)
{
	mutex_lock(&s->lock);
	s->mirror_lookers--;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

static void on_dirty(void *ctx)
{
	session_wake(ctx);
}

int session_reload_mirror(struct session *s, GError **err)
{
	struct mirror_config c = {
		.root_fd = s->mirror_fd,
		.base = s->base,
		.state = s->state,
		.runtime_dir = s->options->runtime_dir,
		.callbacks = { .dirty = on_dirty, .ctx = s },
		.content_timeout_ms = s->options->timeout_ms
			? s->options->timeout_ms : s->spec->timeout_ms,
		.read_only = s->options->read_only,
	};

	session_unload_mirror(s);
	struct mirror *m = mirror_open(&c, err);

	mutex_lock(&s->lock);
	s->mirror = m;
	mutex_unlock(&s->lock);
	return m ? 0 : -EIO;
}

int session_load(struct session *s, GError **err)
{
	return s->mirror ? 0 : session_reload_mirror(s, err);
}
