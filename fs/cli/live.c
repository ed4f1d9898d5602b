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

struct json *live_call(struct ctl_client *c, const char *command,
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
	answer = ctl_receive(c, 0, err);
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
