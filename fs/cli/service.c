#include "fs/cli/service.h"

#include <string.h>

#include "fs/cli/outcome.h"
#include "fs/cli/pick.h"
#include "fs/cli/resolve.h"
#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "merge/lib/mutex.h"
#include "transport/json.h"

struct service {
	struct session *session;
	struct ctl_server *server;
	struct mutex lock;	/* RANK_LOG; guards the rest */
	GPtrArray *waiting;	/* struct ctl_conn */
	char *last;		/* the final answer, once there is one */
	struct step {
		char what[64];	/* "": nothing */
		uint64_t done, total;
		bool bytes;
	} step;			/* of the flow that runs */
};

static void answer(struct ctl_conn *conn, struct json *j)
{
	g_autofree char *line = json_to_text(j, false);

	json_free(j);
	ctl_send(conn, line);
	ctl_finish(conn);
}

static struct json *done(int code)
{
	struct json *j = json_new_object();

	json_put_int(j, "code", code);
	return j;
}

static struct json *failure(const GError *why)
{
	struct json *j = json_new_object();

	json_put_string(j, "error", why->message);
	json_put_int(j, "fail",
		why->domain == FAIL ? why->code : FAIL_FAILED);
	return j;
}

struct json *service_report(const struct report *r)
{
	struct json *j = done(report_exit_code(r));

	json_put(j, "report", report_to_json(r));
	outcome_log(json_get(j, "report"), report_exit_code(r));
	json_put_string(j, "diff", r->diff);
	return j;
}

static void on_status(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	struct json *j = done(0);

	(void)option;
	json_put(j, "status", session_status_json(v->session));
	answer(conn, j);
}

static void on_flush(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	g_autoptr(GError) why = NULL;
	int r = session_flush(v->session, 0, &why);

	(void)option;
	answer(conn, r == 0 ? done(0) : failure(why));
}

static void on_refresh(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	g_autoptr(GError) why = NULL;
	int r = session_refresh(
		v->session, strstr(option, "allow-deletes") != NULL, &why);

	answer(conn, r == 0 ? done(0) : failure(why));
}

static void on_conflicts(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	struct json *j = done(0);

	(void)option;
	json_put(j, "conflicts", session_conflicts_json(v->session));
	answer(conn, j);
}

static void on_resolve(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	g_autoptr(GError) why = NULL;
	struct json *resolved = NULL, *j;
	struct cli_resolve r = { 0 };

	if (!cli_resolve_parse(&r, option))
		fail(&why, FAIL_USAGE, "resolve: the request makes no sense");
	else
		session_resolve(v->session, &r.q, &resolved, &why);
	cli_resolve_release(&r);
	if (!resolved) {
		answer(conn, failure(why));
		return;
	}
	j = done(0);
	json_put(j, "conflicts", resolved);
	answer(conn, j);
}

static void on_active(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	(void)option;
	session_note_active(v->session);
	answer(conn, done(0));
}

static void on_restore(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	struct restore_options o = {
		.allow_deletes = strstr(option, "allow-deletes") != NULL,
		.dry_run = strstr(option, "dry-run") != NULL,
		.with_diff = strstr(option, "diff") != NULL,
		.undo = strstr(option, "undo") != NULL,
	};
	g_autoptr(GError) why = NULL;
	struct report *r = NULL;

	if (session_restore(v->session, &o, &r, &why) < 0)
		answer(conn, failure(why));
	else
		answer(conn, service_report(r));
	report_free(r);
}

static void on_pick(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	g_autoptr(GError) why = NULL;
	struct report *r = NULL;
	struct json *request = cli_pick_parse(option);
	struct restore_options o = cli_pick_options(request);
	struct json *j;

	if (!request)
		fail(&why, FAIL_USAGE, "pick: the request makes no sense");
	else
		session_restore(v->session, &o, &r, &why);
	if (!r) {
		answer(conn, failure(why));
	} else {
		j = service_report(r);
		json_put(j, "offer", g_steal_pointer(&r->offer));
		answer(conn, j);
	}
	report_free(r);
	json_free(request);
}

static void on_wait(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	g_autofree char *last = NULL;

	(void)option;
	mutex_lock(&v->lock);
	if (v->last)
		last = g_strdup(v->last);
	else
		g_ptr_array_add(v->waiting, conn);
	mutex_unlock(&v->lock);
	if (last) {
		ctl_send(conn, last);
		ctl_finish(conn);
	}
}

/* What goes on, if anything does. */
static void on_progress(struct service *v, struct ctl_conn *conn,
	const char *option)
{
	struct json *j = done(0);
	struct step step;

	(void)option;
	mutex_lock(&v->lock);
	step = v->step;
	mutex_unlock(&v->lock);
	json_put_string(j, "what", step.what[0] ? step.what : NULL);
	json_put_int(j, "done", (int64_t)step.done);
	json_put_int(j, "total", (int64_t)step.total);
	json_put_bool(j, "bytes", step.bytes);
	answer(conn, j);
}

static void take_step(void *ctx, const char *what, uint64_t done_so_far,
	uint64_t total, bool bytes)
{
	struct service *v = ctx;

	mutex_lock(&v->lock);
	g_strlcpy(v->step.what, what ? what : "", sizeof(v->step.what));
	v->step.done = done_so_far;
	v->step.total = total;
	v->step.bytes = bytes;
	mutex_unlock(&v->lock);
}

struct session_progress service_progress(struct service *v)
{
	return (struct session_progress){ .step = take_step, .ctx = v };
}

static const struct request {
	const char *cmd;
	void (*run)(struct service *v, struct ctl_conn *conn,
		const char *option);
} requests[] = {
	{ "status", on_status },
	{ "flush", on_flush },
	{ "refresh", on_refresh },
	{ "active", on_active },
	{ "conflicts", on_conflicts },
	{ "resolve", on_resolve },
	{ "restore", on_restore },
	{ "pick", on_pick },
	{ "progress", on_progress },
	{ "wait", on_wait },
};

static void on_request(void *ctx, struct ctl_conn *conn, const char *line)
{
	struct service *v = ctx;
	struct json *j = json_parse(line, strlen(line), NULL);
	const char *cmd = j ? json_string(json_get(j, "cmd")) : NULL;
	g_autofree char *option =
		g_strdup(j ? json_string(json_get(j, "option")) : NULL);
	g_autoptr(GError) why = NULL;
	size_t i = 0;

	while (cmd && i < G_N_ELEMENTS(requests) &&
		strcmp(requests[i].cmd, cmd))
		i++;
	if (cmd && i < G_N_ELEMENTS(requests)) {
		requests[i].run(v, conn, option ? option : "");
	} else {
		fail(&why, FAIL_USAGE, "the session does not know this request; "
				       "use the program that mounted it");
		answer(conn, failure(why));
	}
	json_free(j);
}

struct service *service_start(struct session *s, GError **err)
{
	struct service *v = g_new0(struct service, 1);
	g_autofree char *path = session_socket_path(session_name(s));
	struct ctl_handler h = { .request = on_request, .ctx = v };

	v->session = s;
	mutex_init(&v->lock, RANK_LOG);
	v->waiting = g_ptr_array_new();
	v->server = ctl_server_start(path, &h, err);
	if (v->server)
		return v;
	service_stop(v);
	return NULL;
}

bool service_end(struct service *v, const struct report *report,
	const GError *why)
{
	struct json *j = report
		? service_report(report) : why ? failure(why) : done(0);
	GPtrArray *waiting;

	mutex_lock(&v->lock);
	v->last = json_to_text(j, false);
	waiting = v->waiting;
	v->waiting = g_ptr_array_new();
	mutex_unlock(&v->lock);
	json_free(j);
	for (guint i = 0; i < waiting->len; i++) {
		ctl_send(g_ptr_array_index(waiting, i), v->last);
		ctl_finish(g_ptr_array_index(waiting, i));
	}
	bool told = waiting->len > 0;

	g_ptr_array_free(waiting, TRUE);
	return told;
}

void service_stop(struct service *v)
{
	if (!v)
		return;
	ctl_server_stop(v->server);
	g_ptr_array_free(v->waiting, TRUE);
	mutex_destroy(&v->lock);
	g_free(v->last);
	g_free(v);
}
