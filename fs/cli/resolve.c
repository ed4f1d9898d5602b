#include "fs/cli/resolve.h"

#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/report_text.h"
#include "fs/ctl/ctl.h"
#include "transport/json.h"

char *cli_resolve_text(const struct resolve_request *q)
{
	struct json *j = json_new_object();
	char *text;

	json_put_int(j, "take", q->take);
	json_put_bool(j, "home", q->home);
	if (q->pattern)
		json_put_string(j, "pattern", q->pattern);
	if (q->path)
		json_put_path(j, "path", q->path);
	if (q->copy)
		json_put_path(j, "copy", q->copy);
	if (q->merged)
		json_put_path(j, "merged", q->merged);
	if (q->merged_of)
		json_put_string(j, "merged_of", q->merged_of);
	text = json_to_text(j, false);
	json_free(j);
	return text;
}

bool cli_resolve_parse(struct cli_resolve *r, const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);
	int64_t take = -1;

	if (!j)
		return false;
	json_is_integer(json_get(j, "take"), &take);
	r->q.pattern = g_strdup(json_string(json_get(j, "pattern")));
	r->q.path = json_path(j, "path");
	r->q.copy = json_path(j, "copy");
	r->q.merged = json_path(j, "merged");
	r->q.merged_of = g_strdup(json_string(json_get(j, "merged_of")));
	r->q.home = json_flag(json_get(j, "home"), false);
	r->q.take = (enum conflict_take)take;
	json_free(j);
	return take >= TAKE_LOCAL && take <= TAKE_MERGED &&
		(r->q.pattern || r->q.path);
}

void cli_resolve_release(struct cli_resolve *r)
{
	g_free((char *)r->q.pattern);
	g_free((char *)r->q.path);
	g_free((char *)r->q.copy);
	g_free((char *)r->q.merged);
	g_free((char *)r->q.merged_of);
}

struct json *cli_ask_conflicts(struct ctl_client *c, const char *command,
	const char *option, GError **err)
{
	int code;
	struct json *answer = live_call(c, command, option, &code, err);
	const struct json *part = answer ? json_get(answer, "conflicts") : NULL;
	g_autofree char *text = part ? json_to_text(part, false) : NULL;

	json_free(answer);
	return text ? json_parse(text, strlen(text), err) : NULL;
}

struct json *cli_resolve(const char *name, const struct resolve_request *q,
	GError **err)
{
	g_autofree char *text = cli_resolve_text(q);
	struct ctl_client *c = live_connect(name);
	struct session *s = c ? NULL : session_open(name, err);
	struct json *j = NULL;

	if (c)
		j = cli_ask_conflicts(c, "resolve", text, err);
	else if (s)
		session_resolve(s, q, &j, err);
	session_close(s);
	ctl_client_free(c);
	return j;
}
