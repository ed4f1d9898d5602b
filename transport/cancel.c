#include "transport/remote.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct cancel {
	int fd;		/* readable once raised, and never drained */
	int raised;
};

struct cancel *cancel_new(void)
{
	struct cancel *c = g_new0(struct cancel, 1);

	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->fd < 0)
		g_error("eventfd failed: too many open files?");
	return c;
}

void cancel_free(struct cancel *c)
{
	if (!c)
		return;
	close(c->fd);
	g_free(c);
}

void cancel_raise(struct cancel *c)
{
	uint64_t one = 1;
	ssize_t n;

	__atomic_store_n(&c->raised, 1, __ATOMIC_RELEASE);
	n = write(c->fd, &one, sizeof(one));
	(void)n;	/* full means raised already */
}

bool cancel_is_raised(const struct cancel *c)
{
	return c && __atomic_load_n(&c->raised, __ATOMIC_ACQUIRE);
}

int cancel_fd(const struct cancel *c)
{
	return c ? c->fd : -1;
}
