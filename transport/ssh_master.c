/*
 * States: DOWN -> STARTING (one thread, outside the lock) -> UP or DOWN again.
 * UP is left when the lifeline's output has ended. `child` belongs to the
 * thread that is STARTING, else to the lock.
 */
#include "transport/ssh_master.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/mutex.h"
#include "merge/lib/path.h"
#include "transport/child.h"
#include "transport/reap.sh.h"
#include "transport/sh_quote.h"
#include "transport/ssh_error.h"

#define MS INT64_C(1000000)

enum {
	CONNECT_MS = 30000,	/* to be let in, at most */
	WAIT_MS = 100,		/* a waiter looks whether it was cancelled */
	GREETING_LIMIT = 64 * 1024,
	/* ssh binds its socket under a longer, temporary name. */
	SOCKET_PATH_LIMIT = 80,
};

enum master_state { MASTER_DOWN, MASTER_STARTING, MASTER_UP };

struct ssh_master {
	char **program;		/* ssh and its first options */
	char *host, *token, *dir, *socket, *lifeline;
	struct mutex lock;	/* a leaf; guards what follows */
	struct cond changed;
	enum master_state st;
	struct child child;
};

/* --- making ----------------------------------------------------------------- */

static int check_host(const char *host, GError **err)
{
	bool bad = *host == '-' || *host == '\0';

	for (const char *p = host; *p; p++)
		bad |= (unsigned char)*p <= ' ' || *p == 0x7f;
	if (!bad)
		return 0;
	g_autofree char *shown = path_display(host);

	return fail(err, FAIL_USAGE,
		"ssh host \"%s\": a host is one word and does not begin with "
		"\"-\"; give it as `ssh HOST` or `ssh USER@HOST` takes it",
		shown);
}

/* A private directory whose path leaves room for a socket's. */
static char *make_dir(GError **err)
{
	g_autofree char *top = g_build_filename(
		g_get_user_runtime_dir(), "sandmount", NULL);
	char *dir = g_build_filename(top, "ssh-XXXXXX", NULL);

	if (strlen(dir) > SOCKET_PATH_LIMIT || strchr(dir, '%') ||
		g_mkdir_with_parents(top, 0700) < 0 || !g_mkdtemp(dir)) {
		g_free(dir);
		dir = g_strdup("/tmp/sandmount-XXXXXX");
		if (!g_mkdtemp(dir)) {
			fail_errno(err, -errno, "create %s", dir);
			g_clear_pointer(&dir, g_free);
		}
	}
	return dir;
}

static char **find_program(GError **err)
{
	const char *words = g_getenv("SANDMOUNT_SSH");
	g_autoptr(GError) why = NULL;
	char **program = NULL;

	if (!words || !*words)
		words = "ssh";
	if (!g_shell_parse_argv(words, NULL, &program, &why))
		fail(err, FAIL_USAGE, "SANDMOUNT_SSH: %s; give a program and "
			"its options as in a shell", why->message);
	return program;
}

struct ssh_master *ssh_master_new(const char *host, const char *token,
	GError **err)
{
	struct ssh_master *m;
	const char *args[] = { "lifeline", token, NULL };

	if (check_host(host, err) < 0)
		return NULL;
	m = g_new0(struct ssh_master, 1);
	mutex_init(&m->lock, RANK_LOG);
	cond_init(&m->changed);
	m->host = g_strdup(host);
	m->token = g_strdup(token);
	m->lifeline = sh_any_login(script_reap, args);
	m->program = find_program(err);
	m->dir = m->program ? make_dir(err) : NULL;
	if (m->dir) {
		m->socket = g_build_filename(m->dir, "m", NULL);
		return m;
	}
	ssh_master_free(m);
	return NULL;
}

void ssh_master_free(struct ssh_master *m)
{
	if (!m)
		return;
	if (m->st == MASTER_UP)
		child_finish(&m->child, true);	/* the lifeline tidies up */
	if (m->socket)
		unlink(m->socket);
	if (m->dir)
		rmdir(m->dir);
	g_strfreev(m->program);
	g_free(m->host);
	g_free(m->token);
	g_free(m->dir);
	g_free(m->socket);
	g_free(m->lifeline);
	cond_destroy(&m->changed);
	mutex_destroy(&m->lock);
	g_free(m);
}

/* Options of a user's that would hinder are overruled; those that say how the
 * host is reached and trusted are not. */
static GPtrArray *make_argv(const struct ssh_master *m, const char *master,
	const char *command)
{
	static const char *const options[] = {
		"-T", "-a", "-x", "-oBatchMode=yes", "-oConnectTimeout=15",
		"-oServerAliveInterval=5", "-oServerAliveCountMax=3",
		"-oClearAllForwardings=yes", "-oRemoteCommand=none",
		"-oPermitLocalCommand=no", "-oControlPersist=no",
		"-oLogLevel=ERROR",
	};
	GPtrArray *argv = g_ptr_array_new();

	for (char **p = m->program; *p; p++)
		g_ptr_array_add(argv, *p);
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
		g_ptr_array_add(argv, (gpointer)options[i]);
	g_ptr_array_add(argv, (gpointer)master);
	g_ptr_array_add(argv, (gpointer) "-S");
	g_ptr_array_add(argv, m->socket);
	g_ptr_array_add(argv, (gpointer) "--");
	g_ptr_array_add(argv, m->host);
	g_ptr_array_add(argv, (gpointer)command);
	g_ptr_array_add(argv, NULL);
	return argv;
}

GPtrArray *ssh_master_argv(const struct ssh_master *m, const char *command)
{
	return make_argv(m, "-oControlMaster=no", command);
}

/* --- connecting --------------------------------------------------------------- */

struct greeting {
	GString *text;
	char *want;
	bool seen;
};

/* Ends the pump once the lifeline has said that it is there. */
static int read_greeting(void *ctx, const void *buf, size_t len)
{
	struct greeting *g = ctx;

	if (g->text->len + len > GREETING_LIMIT)
		return -EFBIG;
	g_string_append_len(g->text, buf, (gssize)len);
	g->seen = memmem(g->text->str, g->text->len, g->want,
		strlen(g->want)) != NULL;
	return g->seen ? -EALREADY : 0;
}

static int keep_text(void *ctx, const void *buf, size_t len)
{
	GString *text = ctx;

	if (text->len < GREETING_LIMIT)
		g_string_append_len(text, buf, (gssize)len);
	return 0;
}

/* Waits for the lifeline's greeting; its input stays open. */
static int greet(struct ssh_master *m, struct child *c,
	const struct call *call, GError **err)
{
	struct greeting g = {
		.text = g_string_new(NULL),
		.want = g_strdup_printf("sandmount:%s:up", m->token),
	};
	GString *errors = g_string_new(NULL);
	struct sink out = { .write = read_greeting, .ctx = &g };
	struct sink err_out = { .write = keep_text, .ctx = errors };
	struct remote_stats unused = { 0 };
	struct call limited = *call;
	g_autoptr(GError) why = NULL;
	int input = c->in, r;

	if (!limited.deadline_ms || limited.deadline_ms > CONNECT_MS)
		limited.deadline_ms = CONNECT_MS;
	c->in = -1;
	r = child_pump(c, &limited, NULL, &out, &err_out, &unused, &why);
	c->in = input;
	if (g.seen) {
		r = 0;
	} else {
		int status = child_finish(c, r < 0);

		if (r < 0)
			g_propagate_error(err, g_steal_pointer(&why));
		else
			ssh_explain(m->host, status, errors->str, err);
		r = -1;
	}
	g_string_free(g.text, TRUE);
	g_string_free(errors, TRUE);
	g_free(g.want);
	return r;
}

static int connect_master(struct ssh_master *m, struct child *c,
	const struct call *call, GError **err)
{
	g_autoptr(GPtrArray) argv =
		make_argv(m, "-oControlMaster=yes", m->lifeline);

	unlink(m->socket);	/* a killed one's */
	if (child_start_lasting(
		    c, (const char *const *)argv->pdata, err) < 0)
		return -1;
	return greet(m, c, call, err);
}

/* Whether the lifeline has not ended; what it says meanwhile is dropped, so
 * that it never waits for us. */
static bool is_alive_locked(struct ssh_master *m)
{
	int fds[] = { m->child.out, m->child.err };
	char buf[4096];

	for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
		ssize_t n;

		do
			n = read(fds[i], buf, sizeof(buf));
		while (n > 0 || (n < 0 && errno == EINTR));
		if (n == 0 || errno != EAGAIN)
			return false;
	}
	return true;
}

/* Waits while another thread connects. */
static int wait_for_other_locked(struct ssh_master *m, const struct call *call,
	int64_t until) REQUIRES(m->lock)
{
	int64_t now = io_now_ns();

	if (cancel_is_raised(call->cancel))
		return -ECANCELED;
	if (until && now >= until)
		return -ETIMEDOUT;
	cond_wait_until(&m->changed, &m->lock, now + WAIT_MS * MS);
	return 0;
}

/* 1: it is up; 0: this thread is to connect; else negative errno. */
static int claim(struct ssh_master *m, const struct call *call,
	struct child *old, bool *has_old)
{
	int64_t until = call->deadline_ms
		? io_now_ns() + call->deadline_ms * MS : 0;
	int r = 0;

	*has_old = false;
	mutex_lock(&m->lock);
	while (r == 0 && m->st == MASTER_STARTING)
		r = wait_for_other_locked(m, call, until);
	if (r == 0 && m->st == MASTER_UP && is_alive_locked(m)) {
		r = 1;
	} else if (r == 0) {
		*has_old = m->st == MASTER_UP;
		*old = m->child;
		m->st = MASTER_STARTING;
	}
	mutex_unlock(&m->lock);
	return r;
}

int ssh_master_ensure(struct ssh_master *m, const struct call *call,
	GError **err)
{
	struct child child;
	bool has_old;
	int r = claim(m, call, &child, &has_old);

	if (r == -ECANCELED)
		return fail(err, FAIL_CANCELLED, "interrupted");
	if (r < 0)
		return fail(err, FAIL_DEADLINE, "no connection to %s within %"
			G_GINT64_FORMAT " ms", m->host, call->deadline_ms);
	if (r == 1)
		return 0;
	if (has_old)
		child_finish(&child, true);
	r = connect_master(m, &child, call, err);
	mutex_lock(&m->lock);
	m->st = r == 0 ? MASTER_UP : MASTER_DOWN;
	m->child = child;
	cond_broadcast(&m->changed);
	mutex_unlock(&m->lock);
	return r;
}
