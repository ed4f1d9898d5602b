/* Talking to a running session. */
#include "fs/cli/cli.h"

#include <string.h>

#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "transport/json.h"

struct ctl_client *live_connect(const char *name)
{
	g_autofree char *path = session_socket_path(name);

	return ctl_connect(path, NULL);
}

/* What session NAME does now, asked on a connection of its own, so that a slow
 * reader never holds the session up. */
static void show_progress(const char *name, const struct session_progress *p)
{
	struct ctl_client *c = live_connect(name);
	g_autofree char *answer = NULL;
	int64_t done = 0, total = 0;
	struct json *j = NULL;

	if (!c)
		return;
	if (ctl_request(c, "{\"cmd\":\"progress\"}", NULL) == 0)
		answer = ctl_receive(c, 2000, NULL);
	if (answer)
		j = json_parse(answer, strlen(answer), NULL);
	if (j && json_string(json_get(j, "what"))) {
		json_is_integer(json_get(j, "done"), &done);
		json_is_integer(json_get(j, "total"), &total);
		p->step(p->ctx, json_string(json_get(j, "what")),
			(uint64_t)done, (uint64_t)total,
			json_flag(json_get(j, "bytes"), false));
	}
	json_free(j);
	ctl_client_free(c);
}

char *live_receive(struct ctl_client *c, const char *name,
	const struct session_progress *p, GError **err)
{
	enum { POLL_MS = 200 };

	if (!p || !p->step)
		return ctl_receive(c, 0, err);
	for (;;) {
		g_autoptr(GError) why = NULL;
		char *line = ctl_receive(c, POLL_MS, &why);

		if (line || !why)
			return line;
		if (!g_error_matches(why, FAIL, FAIL_DEADLINE)) {
			g_propagate_error(err, g_steal_pointer(&why));
			return NULL;
		}
		show_progress(name, p);
	}
}

struct json *live_call(struct ctl_client *c, const char *command,
	const char *option, int *code, GError **err)
{
	return live_call_shown(c, NULL, NULL, command, option, code, err);
}

struct json *live_call_shown(struct ctl_client *c, const char *name,
	const struct session_progress *p, const char *command,
	const char *option, int *code, GError **err)
{
	struct json *request = json_new_object();
	g_autofree char *line = NULL;
	g_autofree char *answer = NULL;
	struct json *j;
	int64_t n = EXIT_FAILED;

	json_put_string(request, "cmd", command);
	if (option)
		json_put_string(request, "option", option);
	line = json_to_text(request, false);
	json_free(request);
	if (ctl_request(c, line, err) < 0)
		return NULL;
	answer = live_receive(c, name, p, err);
	if (!answer) {
		if (err && !*err)
			fail(err, FAIL_UNKNOWN,
				"%s: the session's process ended before it "
				"answered; see `sandmount status`", command);
		return NULL;
	}
	j = json_parse(answer, strlen(answer), err);
	if (j && json_string(json_get(j, "error"))) {
		json_is_integer(json_get(j, "fail"), &n);
		fail(err, (enum fail_code)n, "%s",
			json_string(json_get(j, "error")));
		json_free(j);
		return NULL;
	}
	if (j && json_is_integer(json_get(j, "code"), &n))
		*code = (int)n;
	return j;
}
