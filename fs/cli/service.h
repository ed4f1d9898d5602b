#ifndef FS_CLI_SERVICE_H
#define FS_CLI_SERVICE_H
/*
 * What a running session answers on its control socket. Requests are objects
 * {"cmd", "option"}; answers {"code", …} or {"error", "fail"}:
 *
 *	status		the status object under "status"
 *	flush, refresh	once done; refresh takes the option allow-deletes
 *	active		somebody works: look for changes more often for a while
 *	conflicts	the open ones under "conflicts"
 *	resolve		option "TAKE PATTERN"; those settled under "conflicts"
 *	restore		a checkpoint; "option" a word of allow-deletes, dry-run,
 *			diff, undo; the report under "report", "diff"
 *	progress	"what" goes on now (null: nothing), "done", "total",
 *			"bytes": to be polled while another request waits
 *	wait		when the session ends: its final report
 */
#include <stdbool.h>

#include "fs/sync/session.h"

struct service;

struct service *service_start(struct session *s, GError **err);
/* Answers everybody who waits with the end, and logs it: REPORT (may be NULL)
 * or WHY. Whether anybody waited. */
bool service_end(struct service *v, const struct report *report,
	const GError *why);
/* A sink of the session's steps that answers "progress". */
struct session_progress service_progress(struct service *v);
void service_stop(struct service *v);

/* The answer that carries a report; json_free it. Logs what was done. */
struct json *service_report(const struct report *r);

#endif
