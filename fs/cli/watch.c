#include "fs/cli/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <glib.h>

#include "fs/cli/cli.h"

struct screen {
	bool full;		/* the whole terminal is ours */
	bool keys;		/* and its keyboard */
	struct termios saved;
	sigset_t unblocked;	/* while it waits */
};

static volatile sig_atomic_t stopped;	/* set by the handler only */

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

/* Signals come only while ppoll() waits, so that none is missed. */
static void take_signals(struct screen *s)
{
	struct sigaction a = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
	sigprocmask(SIG_BLOCK, &block, &s->unblocked);
}

static void begin(struct screen *s, bool plain)
{
	struct termios raw;

	stopped = 0;
	take_signals(s);
	s->full = !plain && isatty(STDOUT_FILENO) &&
		g_strcmp0(g_getenv("TERM"), "dumb");
	if (!s->full)
		return;
	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->saved) == 0) {
		raw = s->saved;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		s->keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	fputs("\033[?1049h\033[?25l", stdout);	/* other screen, no cursor */
}

static void end(struct screen *s)
{
	if (s->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->saved);
	if (s->full)
		fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
}

/* Prints at most COLUMNS of LINE; its colour sequences take no room. */
static void put_clipped(const char *line, unsigned columns)
{
	unsigned used = 0;

	while (*line && used < columns) {
		if (*line == '\033') {
			size_t n = strcspn(line, "m");

			fwrite(line, 1, n + (line[n] == 'm'), stdout);
			line += n + (line[n] == 'm');
			continue;
		}
		const char *next = g_utf8_next_char(line);

		fwrite(line, 1, (size_t)(next - line), stdout);
		line = next;
		used++;
	}
	fputs("\033[0m\033[K", stdout);
}

static void draw(const char *text)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	unsigned row = 0;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	if (size.ws_row < 2 || size.ws_col < 10) {
		size.ws_row = 24;
		size.ws_col = 80;
	}
	fputs("\033[H", stdout);
	for (; lines[row] && row + 1 < size.ws_row; row++) {
		put_clipped(lines[row], size.ws_col);
		fputs("\r\n", stdout);
	}
	fputs("\033[J", stdout);
}

/* A second, or until somebody wants to end. */
static bool wait_a_second(const struct screen *s)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec second = { .tv_sec = 1 };
	char key;

	if (ppoll(&in, s->keys ? 1 : 0, &second, &s->unblocked) <= 0)
		return !stopped;
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && !stopped;
}

int watch_run(watch_text *text, void *ctx, bool plain)
{
	struct screen s = { 0 };
	int code = EXIT_DONE;
	char *now;

	begin(&s, plain);
	while (!stopped && (now = text(ctx, &code))) {
		if (s.full)
			draw(now);
		else
			fputs(now, stdout);
		g_free(now);
		/* Nobody reads any more. */
		if (fflush(stdout) == EOF || !wait_a_second(&s))
			break;
	}
	end(&s);
	return code;
}
