#include "fs/cli/pager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib.h>

#include "merge/lib/io.h"

bool cli_color(int fd)
{
	const char *no = g_getenv("NO_COLOR");
	const char *force = g_getenv("CLICOLOR_FORCE");

	if (no && *no)
		return false;
	if (force && *force && strcmp(force, "0"))
		return true;
	return isatty(fd) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

static const char *pager_command(void)
{
	const char *pager = g_getenv("PAGER");

	if (!isatty(STDOUT_FILENO))
		return NULL;
	if (!pager) {
		g_autofree char *less = g_find_program_in_path("less");

		return less ? "less" : NULL;
	}
	return *pager && strcmp(pager, "cat") ? pager : NULL;
}

/* True when a pager took it. */
static bool page_through(const char *command, const char *text)
{
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	g_auto(GStrv) env = g_get_environ();
	GPid pid;
	int in = -1, status;

	/* As git: quit on one screen, colours, no clearing. */
	env = g_environ_setenv(env, "LESS", "FRX", FALSE);
	fflush(stdout);
	if (!g_spawn_async_with_pipes(NULL, (char **)argv, env,
		    G_SPAWN_DO_NOT_REAP_CHILD,
		    NULL, NULL, &pid, &in, NULL, NULL, NULL))
		return false;
	/* A pager that was quit early closes the pipe; that is no error. */
	(void)!io_write_full(in, text, strlen(text));
	close(in);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) != 127;
}

void page_text(const char *text)
{
	const char *command = *text ? pager_command() : NULL;

	if (command && page_through(command, text))
		return;
	fputs(text, stdout);
	fflush(stdout);
}

static const char *tint_of(const char *line, size_t len)
{
	static const struct {
		const char *prefix, *tint;
	} table[] = {
		{ "diff --git ", "\033[1m" }, { "index ", "\033[1m" },
		{ "--- ", "\033[1m" }, { "+++ ", "\033[1m" },
		{ "new file ", "\033[1m" }, { "deleted file ", "\033[1m" },
		{ "old mode ", "\033[1m" }, { "new mode ", "\033[1m" },
		{ "@@ ", "\033[36m" }, { "+", "\033[32m" },
		{ "-", "\033[31m" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		size_t n = strlen(table[i].prefix);

		if (len >= n && !memcmp(line, table[i].prefix, n))
			return table[i].tint;
	}
	return NULL;
}

char *color_diff(const char *diff)
{
	GString *out = g_string_new(NULL);

	while (*diff) {
		const char *end = strchr(diff, '\n');
		size_t len = end ? (size_t)(end - diff) : strlen(diff);
		const char *tint = tint_of(diff, len);

		if (tint)
			g_string_append(out, tint);
		g_string_append_len(out, diff, (gssize)len);
		if (tint)
			g_string_append(out, "\033[0m");
		if (end)
			g_string_append_c(out, '\n');
		diff += len + (end ? 1 : 0);
	}
	return g_string_free(out, FALSE);
}
