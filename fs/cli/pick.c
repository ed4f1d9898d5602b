#include "fs/cli/pick.h"

#include <stdio.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/outcome.h"
#include "fs/cli/pick_ask.h"
#include "fs/cli/progress.h"
#include "fs/ctl/ctl.h"
#include "transport/json.h"

struct json *cli_pick_parse(const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);
	const struct json *picks = j ? json_get(j, "picks") : NULL;

	if (j && (json_kind_of(j) != JSON_OBJECT ||
			 (picks && json_kind_of(picks) != JSON_ARRAY)))
		g_clear_pointer(&j, json_free);
	return j;
}

struct restore_options cli_pick_options(const struct json *request)
{
	const struct json *picks = request ? json_get(request, "picks") : NULL;

	return (struct restore_options){
		.dry_run = !picks,
		.offer = !picks,
		.picks = picks,
		.allow_deletes = request && json_flag(
			json_get(request, "allow_deletes"), false),
	};
}

/* In this process. */
static struct json *call_here(const char *name, const struct json *request,
	const struct session_progress *progress, GError **err)
{
	struct restore_options o = cli_pick_options(request);
	struct session *s = session_open(name, err);
	struct report *r = NULL;
	struct json *j = NULL;

	if (!s)
		return NULL;
	cli_open_log(name);
	session_set_progress(s, progress);
	if (session_restore(s, &o, &r, err) == 0) {
		j = json_new_object();
		json_put_int(j, "code", report_exit_code(r));
		json_put(j, "report", report_to_json(r));
		json_put(j, "offer", g_steal_pointer(&r->offer));
		if (!o.offer)
			outcome_log(json_get(j, "report"), report_exit_code(r));
	}
	report_free(r);
	session_close(s);
	return j;
}

static struct json *call(const char *name, const struct json *request,
	const struct session_progress *progress, GError **err)
{
	struct ctl_client *c = live_connect(name);
	g_autofree char *text = json_to_text(request, false);
	struct json *j;
	int code;

	j = c ? live_call_shown(c, name, progress, "pick", text, &code, err)
	      : call_here(name, request, progress, err);
	ctl_client_free(c);
	cli_progress_end();
	return j;
}

static struct json *new_request(bool allow_deletes)
{
	struct json *j = json_new_object();

	json_put_bool(j, "allow_deletes", allow_deletes);
	return j;
}

/* The report, as restore shows it. */
static int show(const struct json *answer, const char *name)
{
	int64_t code = EXIT_FAILED;

	json_is_integer(json_get(answer, "code"), &code);
	return cli_show_report(
		json_get(answer, "report"), name, (int)code, false);
}

int pick_restore(const char *name, bool allow_deletes,
	const struct session_progress *progress)
{
	struct json *request = new_request(allow_deletes);
	g_autoptr(GError) why = NULL;
	struct json *answer = call(name, request, progress, &why);
	const struct json *offer = answer ? json_get(answer, "offer") : NULL;
	size_t items = offer ? json_count(json_get(offer, "items")) : 0;
	size_t taken = 0;
	int code = EXIT_FAILED;

	if (answer)
		json_put(request, "picks", pick_ask(offer, &taken));
	if (items && !taken) {
		printf("Nothing was taken, and nothing was changed; "
		       "`sandmount restore -p %s` asks again, without -p it "
		       "all comes.\n", name);
		code = EXIT_CONFLICTS;
	} else if (answer) {
		json_free(answer);
		answer = call(name, request, progress, &why);
		if (answer)
			code = show(answer, name);
	}
	if (why)
		code = cli_fail(why);
	json_free(answer);
	json_free(request);
	return code;
}
