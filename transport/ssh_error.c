#include "transport/ssh_error.h"

#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"

/* In order: the first whose TEXT is found counts. */
static const struct meaning {
	const char *text;
	enum fail_code code;
	const char *why, *what_to_do;	/* %s: the host */
} meanings[] = {
	{ "REMOTE HOST IDENTIFICATION HAS CHANGED", FAIL_REMOTE,
		"its host key is not the one you know; it was made anew, or "
		"somebody stands between",
		"if you know why, `ssh-keygen -R` and `ssh %s` once" },
	{ "Host key verification failed", FAIL_REMOTE,
		"its host key is not known",
		"`ssh %s` once and compare its fingerprint, or add it to "
		"known_hosts" },
	{ "Permission denied", FAIL_REMOTE,
		"it accepts none of your keys",
		"load one with ssh-add or name it in ~/.ssh/config; `ssh "
		"-oBatchMode=yes %s` must work without a question" },
	{ "Too many authentication failures", FAIL_REMOTE,
		"it was offered too many keys",
		"name the right one in ~/.ssh/config (IdentityFile, "
		"IdentitiesOnly yes) for %s" },
	{ "Bad owner or permissions", FAIL_REMOTE,
		"ssh does not trust its own configuration's permissions",
		"repair them until `ssh %s` works" },
	{ "Bad configuration option", FAIL_REMOTE,
		"ssh does not understand its configuration",
		"repair it until `ssh %s` works" },
	{ "Could not resolve hostname", FAIL_UNAVAILABLE,
		"its name is not known",
		"see the spelling, the network, or a Host %s in ~/.ssh/config" },
	{ "Connection refused", FAIL_UNAVAILABLE,
		"no ssh server listens there",
		"see that it runs and the port of %s is right" },
	{ "timed out", FAIL_UNAVAILABLE,
		"it does not answer",
		"see that %s is up and the network lets you through" },
	{ "No route to host", FAIL_UNAVAILABLE,
		"there is no way to it", "see the network to %s" },
	{ "Network is unreachable", FAIL_UNAVAILABLE,
		"there is no network to it", "see the network to %s" },
};

static char *last_line(const char *text)
{
	g_autofree char *copy = g_strdup(text);
	const char *line = strrchr(g_strchomp(copy), '\n');

	return path_display(line ? line + 1 : copy);
}

int ssh_explain(const char *host, int status, const char *text, GError **err)
{
	g_autofree char *line = last_line(text);
	g_autofree char *shown = path_display(host);

	for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++) {
		const struct meaning *m = &meanings[i];
		g_auto(GStrv) parts = NULL;
		g_autofree char *advice = NULL;

		if (!strstr(text, m->text))
			continue;
		parts = g_strsplit(m->what_to_do, "%s", -1);
		advice = g_strjoinv(shown, parts);
		return fail(err, m->code, "%s (%s); %s", m->why, line, advice);
	}
	/* 255 is ssh's own word for "it did not work". */
	if (status == 255)
		return fail(err, FAIL_UNAVAILABLE,
			"no connection%s%s; `ssh %s` shows more",
			*line ? ": " : "", line, shown);
	return fail(err, FAIL_REMOTE,
		"its login ran no command (exit %d)%s%s; the account needs a "
		"shell that may run sh, see `ssh %s sh`", status,
		*line ? ": " : "", line, shown);
}
