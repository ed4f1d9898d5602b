#include "transport/remote.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct cancel {
	int fd;		/* readable once raised, and never drained */
	int both;	/* epoll: readable with FD or the parent's; else -1 */
	int raised;
	const struct cancel *parent;
};

struct cancel *cancel_new(void)
{
	struct cancel *c = g_new0(struct cancel, 1);

	c->both = -1;
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->fd < 0)
		g_error("eventfd failed: too many open files?");
	return c;
}

struct cancel *cancel_new_below(struct cancel *parent)
{
	struct cancel *c = cancel_new();
	struct epoll_event readable = { .events = EPOLLIN };

	if (!parent)
		return c;
	c->parent = parent;
	c->both = epoll_create1(EPOLL_CLOEXEC);
	if (c->both < 0 ||
		epoll_ctl(c->both, EPOLL_CTL_ADD, c->fd, &readable) < 0 ||
		epoll_ctl(c->both, EPOLL_CTL_ADD, cancel_fd(parent),
			&readable) < 0)
		g_error("epoll failed: too many open files?");
	return c;
}

void cancel_free(struct cancel *c)
{
	if (!c)
		return;
	if (c->both >= 0)
		close(c->both);
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
	return c && (__atomic_load_n(&c->raised, __ATOMIC_ACQUIRE) ||
			    cancel_is_raised(c->parent));
}

int cancel_fd(const struct cancel *c)
{
	if (!c)
		return -1;
	return c->both >= 0 ? c->both : c->fd;
}
