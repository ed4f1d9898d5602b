#include "merge/lib/failpoint.h"

#ifdef SANDMOUNT_FAILPOINTS
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POINTS = 64, LONG_WRITE = 4096 };

static struct {
	pthread_mutex_t lock;
	const char *names[POINTS];
	unsigned passes[POINTS];
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned count(const char *name)
{
	unsigned n = 0;

	pthread_mutex_lock(&table.lock);
	for (int i = 0; i < POINTS && !n; i++) {
		if (!table.names[i])
			table.names[i] = name;
		if (!strcmp(table.names[i], name))
			n = ++table.passes[i];
	}
	pthread_mutex_unlock(&table.lock);
	return n;
}

static void note(const char *file, const char *line, size_t len)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (write(fd, line, len) != (ssize_t)len)
		abort();
	close(fd);
}

void failpoint(const char *name)
{
	const char *at = getenv("SANDMOUNT_FAILPOINT");
	const char *log = getenv("SANDMOUNT_FAILPOINT_LOG");
	char line[80];
	int len;

	if (!at && !log)
		return;
	len = snprintf(line, sizeof(line), "%s:%u\n", name, count(name));
	if (log)
		note(log, line, (size_t)len);
	line[len - 1] = '\0';
	if (at && !strcmp(at, line))
		kill(getpid(), SIGKILL);
}

size_t failpoint_part(size_t n)
{
	return n > LONG_WRITE ? n / 2 : n;
}
#endif
