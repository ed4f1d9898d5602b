#ifndef MERGE_LIB_LOG_H
#define MERGE_LIB_LOG_H
/*
 * One event, one line: "2026-01-02T03:04:05.678Z LEVEL message". error: a
 * person must act; warning: degraded; info: life cycle; debug: the rest. Never
 * a secret, never file content; names go through path_display(). Lines go to
 * the descriptor set last (default 2), whole, with one write(2).
 */
#include <glib.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_fd(int fd);		/* borrowed; process wide */
void log_set_level(enum log_level max);	/* default LOG_INFO */
void log_write(enum log_level level, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);

#endif
