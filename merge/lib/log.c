#include "merge/lib/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

/* The one process-wide setting: where lines go and how many. */
static int log_fd = STDERR_FILENO;
static int log_max = LOG_INFO;

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

void log_set_fd(int fd)
{
	__atomic_store_n(&log_fd, fd, __ATOMIC_RELAXED);
}

void log_set_level(enum log_level max)
{
	__atomic_store_n(&log_max, (int)max, __ATOMIC_RELAXED);
}

static void append_stamp(GString *line)
{
	struct timespec now;
	struct tm utc;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	g_string_append_printf(
		line, "%s.%03ldZ ", text, now.tv_nsec / 1000000);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if ((int)level > __atomic_load_n(&log_max, __ATOMIC_RELAXED))
		return;
	GString *line = g_string_new(NULL);

	append_stamp(line);
	g_string_append_printf(line, "%s ", level_names[level]);
	va_start(args, fmt);
	g_string_append_vprintf(line, fmt, args);
	va_end(args);
	/* One event, one line, and nothing that drives a terminal. */
	for (gsize i = 0; i < line->len; i++)
		if ((unsigned char)line->str[i] < 32 || line->str[i] == 127)
			line->str[i] = '?';
	g_string_append_c(line, '\n');
	ssize_t n = write(__atomic_load_n(&log_fd, __ATOMIC_RELAXED),
		line->str, line->len);

	(void)n;	/* a log that cannot be written has nobody to tell */
	g_string_free(line, TRUE);
}
