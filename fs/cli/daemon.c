/* The mounted life of a session. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/notify.h"
#include "fs/cli/outcome.h"
#include "fs/cli/progress.h"
#include "fs/cli/report_text.h"
#include "fs/cli/service.h"
#include "fs/fuse/adapter.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "transport/json.h"
#include "transport/remote.h"

struct life {
	struct start *start;
	const struct mount_options *m;
	const char *mountpoint;
	int ready_fd;		/* -1 once told */
	struct session *session;
	struct service *service;
	struct adapter *adapter;
	pthread_t signals;
	bool has_signals;
	struct terminal *terminal;	/* that mounted it, or NULL */
	volatile int mounted;	/* 0 before, 1 while, 2 after */
};

/* --- signals --------------------------------------------------------------- */

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);	/* ends the thread */
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* INT, TERM and HUP end the mount as an unmount does; while it is prepared
 * they interrupt. */
static void *wait_for_signals(void *arg)
{
	struct life *l = arg;
	sigset_t set;
	int sig = 0;

	pthread_setname_np(pthread_self(), "signals");
	block_signals(&set);
	while (sigwait(&set, &sig) == 0 && sig != SIGUSR1) {
		g_autoptr(GError) why = NULL;

		log_write(LOG_INFO, "signal %d", sig);
		switch (__atomic_load_n(&l->mounted, __ATOMIC_ACQUIRE)) {
		case 0:
			cancel_raise(session_cancel(l->session));
			break;
		case 1:
			if (unmount(l->mountpoint, false, &why) < 0) {
				log_write(LOG_WARNING, "%s; detaching it",
					why->message);
				unmount(l->mountpoint, true, NULL);
			}
			break;
		default:	/* the restore goes on to its end */
			break;
		}
	}
	return NULL;
}

static void start_signals(struct life *l)
{
	sigset_t set;

	block_signals(&set);
	l->has_signals = pthread_create(
		&l->signals, NULL, wait_for_signals, l) == 0;
}

static void stop_signals(struct life *l)
{
	if (!l->has_signals)
		return;
	pthread_kill(l->signals, SIGUSR1);
	pthread_join(l->signals, NULL);
}

/* --- telling the parent ------------------------------------------------------ */

/* A byte with the exit code, then the text for its standard output. */
static void tell(struct life *l, int code, const char *text)
{
	char byte = (char)code;

	if (l->ready_fd < 0) {
		if (text)
			printf("%s\n", text);
		fflush(stdout);
		return;
	}
	if (io_write_full(l->ready_fd, &byte, 1) < 0 ||
		(text && io_write_full(l->ready_fd, text, strlen(text)) < 0))
		log_write(LOG_WARNING, "the mount command went away");
	close(l->ready_fd);
	l->ready_fd = -1;
}

/* From here on nobody reads our standard streams. */
static void redirect_streams(struct life *l)
{
	g_autofree char *dir = session_dir(l->start->name);
	g_autofree char *file = g_build_filename(dir, "log", NULL);
	int log = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	if (null >= 0)
		close(null);
	if (log >= 0)
		close(log);
}

/* --- the life ----------------------------------------------------------------- */

static int flush_for_fsync(void *ctx)
{
	g_autoptr(GError) why = NULL;

	if (session_flush(ctx, 0, &why) == 0)
		return 0;
	log_write(LOG_WARNING, "fsync: %s", why->message);
	return -EIO;
}

static bool is_quiet(void *ctx, int tid)
{
	return session_is_refresh_tid(ctx, tid);
}

static int mount_it(struct life *l, GError **err)
{
	const struct session_options *o = session_options(l->session);
	struct adapter_options a = {
		.mountpoint = l->mountpoint,
		.name = l->start->name,
		.read_only = o->read_only,
		.allow_other = l->m->allow_other,
		.debug = l->m->debug,
		.fuse_options = l->m->fuse,
		.flush = o->fsync_remote ? flush_for_fsync : NULL,
		.is_quiet = is_quiet,
		.ctx = l->session,
	};

	l->adapter = adapter_mount(session_mirror(l->session), &a, err);
	return l->adapter ? 0 : -EIO;
}

/* Up to the moment the mount is usable. */
static int begin(struct life *l, struct prepare_result *r, GError **err)
{
	struct session_progress p =
		cli_progress(l->m->progress, l->m->json);

	l->session = session_start(l->start->name, l->start->spec,
		l->start->options, err);
	if (!l->session)
		return -EIO;
	cli_open_log(l->start->name);
	start_signals(l);
	session_set_progress(l->session, &p);
	l->service = service_start(l->session, err);
	/* The mount point is on disk before the mount is: killed in between,
	 * the next command must know where a dead mount may be. */
	if (!l->service || session_prepare(l->session, r, err) < 0 ||
		session_set_state(l->session, SESSION_PREPARED, l->mountpoint,
			NULL, err) < 0 ||
		mount_it(l, err) < 0)
		return -EIO;
	log_write(LOG_INFO, "prepared: %" G_GUINT64_FORMAT " files, %"
		G_GUINT64_FORMAT " bytes sent; %" G_GUINT64_FORMAT
		" files, %" G_GUINT64_FORMAT " bytes fetched%s", r->sent_files,
		r->sent_bytes, r->fetched_files, r->fetched_bytes,
		r->resumed ? "; unrestored work taken up" : "");
	if (session_start_fetcher(l->session, err) < 0)
		return -EIO;
	if (session_set_state(l->session, SESSION_MOUNTED, l->mountpoint, NULL,
		    err) < 0)
		return -EIO;
	/* The threads must know before they bring anything in. */
	session_set_mounted(l->session, l->mountpoint);
	__atomic_store_n(&l->mounted, 1, __ATOMIC_RELEASE);
	/* From here on whoever waits asks for it. */
	p = service_progress(l->service);
	session_set_progress(l->session, &p);
	if (session_start_threads(l->session, err) < 0)
		return -EIO;
	return session_start_keeper(l->session, err);
}

static void announce(struct life *l, const struct prepare_result *r)
{
	cli_progress_end();
	notify_manager("READY=1\nSTATUS=mounted");
	if (l->m->json) {
		struct json *j = session_prepare_json(l->session, r);

		json_put_path(j, "mountpoint", l->mountpoint);
		g_autofree char *text = json_to_text(j, false);

		json_free(j);
		tell(l, 0, text);
		return;
	}
	g_autofree char *dir = session_kept_in(l->session);
	g_autofree char *kept = kept_text(r->kept, dir);
	g_autofree char *text = g_strdup_printf(
		"%s is mounted at %s%s\n`sandmount umount %s` (or fusermount3 "
		"-u) brings the work home%s", l->start->name, l->mountpoint,
		r->resumed ? " (taking up unrestored work of an earlier run)"
			   : "", l->start->name, kept);

	tell(l, 0, text);
}

/* Nobody waits for the end: in the foreground the report is printed; else a
 * line where the session was mounted, and a notification. */
static void tell_person(struct life *l, const struct report *r,
	const GError *why)
{
	struct json *j = r ? report_to_json(r) : NULL;
	int code = r ? report_exit_code(r) : why ? EXIT_PENDING : EXIT_DONE;
	g_autofree char *summary = j ? report_summary(j) : NULL;
	g_autofree char *what = path_display(
		summary ? summary
			: why ? why->message : "everything is in the sandbox");
	g_autofree char *line = g_strdup_printf(
		"sandmount: %s was unmounted: %s%s%s%s", l->start->name, what,
		code ? "; `sandmount status " : "",
		code ? l->start->name : "", code ? "` says more" : "");

	if (l->m->foreground && !l->m->json && j) {
		cli_show_report(j, l->start->name, code, false);
	} else if (!l->m->foreground) {
		terminal_say(l->terminal, line);
		outcome_notify(l->start->name, what, code != EXIT_DONE);
	}
	json_free(j);
}

/* After the kernel has unmounted: everything out and home. */
static int end(struct life *l)
{
	g_autoptr(GError) why = NULL;
	struct report *report = NULL;
	int code = EXIT_DONE;

	__atomic_store_n(&l->mounted, 2, __ATOMIC_RELEASE);
	log_write(LOG_INFO, "unmounted");
	notify_manager("STOPPING=1\nSTATUS=unmounted, restoring");
	session_stop_fetcher(l->session);
	adapter_free(g_steal_pointer(&l->adapter));
	if (session_finish(l->session, &report, &why) < 0) {
		log_write(LOG_ERROR, "%s", why->message);
		code = EXIT_PENDING;
	} else if (report) {
		code = report_exit_code(report);
	}
	if (!service_end(l->service, report, why))
		tell_person(l, report, why);
	log_write(LOG_INFO, "ended with exit code %d", code);
	report_free(report);
	return code;
}

static int fail_begin(struct life *l, const GError *why)
{
	int code = cli_fail(why);

	if (l->session)
		session_set_state(
			l->session, SESSION_FAILED, NULL, why->message, NULL);
	if (l->session)
		session_stop_fetcher(l->session);
	if (l->adapter)
		adapter_free(g_steal_pointer(&l->adapter));
	if (l->service)
		service_end(l->service, NULL, why);
	tell(l, code, NULL);
	return code;
}

/* The allocator would raise these by itself, and keep what one listing of the
 * sandbox took for the life of the mount. Above any one read or write. */
static void return_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 2 << 20);
}

/* Every open file of every program on the mount is one of ours: as many as we
 * may have, not the 1024 that one program is commonly given. */
static void allow_open_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int daemon_run(struct start *s, const struct mount_options *m,
	const char *mountpoint, int ready_fd)
{
	struct life l = {
		.start = s, .m = m, .mountpoint = mountpoint,
		.ready_fd = ready_fd,
	};
	struct prepare_result r;
	g_autoptr(GError) why = NULL;
	int code;

	return_memory();
	allow_open_files();
	if (begin(&l, &r, &why) < 0) {
		code = fail_begin(&l, why);
	} else {
		session_set_mounted(l.session, mountpoint);
		l.terminal = terminal_remember();
		announce(&l, &r);
		if (ready_fd >= 0)
			redirect_streams(&l);
		g_autofree char *shown = path_display(mountpoint);

		log_write(LOG_INFO, "mounted at %s", shown);
		/* What the listings took is several times what is kept. */
		malloc_trim(0);
		if (adapter_loop(l.adapter, &why) < 0)
			log_write(LOG_ERROR, "%s", why->message);
		code = end(&l);
	}
	service_stop(l.service);
	stop_signals(&l);
	session_close(l.session);
	terminal_free(l.terminal);
	return code;
}
