/*
 * Provider "e2b": scripts as processes of envd. What a script reads travels
 * before it, since envd's own standard input takes a request for every piece: a
 * small input in the command itself, a larger one as a file that is opened and
 * unlinked before the script begins. Only what a person types or pipes, which
 * comes when it comes, goes by that standard input (e2b_input.c).
 */
#include "transport/provider.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "transport/e2b.h"
#include "transport/sh_quote.h"

enum {
	/* One argument may have 128 KiB, and base64 makes four of three. */
	INLINE_LIMIT = 64 << 10,
	/* Commands renew the life at most this often. */
	RENEW_EVERY_S = 60,
	RENEW_MS = 10000,
	CLEAN_UP_MS = 10000,
	EXIT_NO_BASE64 = 97,
};

/* Attaching renews, too. */
#define FRESH_NS (INT64_C(500) * 1000000)

/* The leader of a group of its own can be ended with all that it started. */
static const char lead[] =
	"command -v setsid >/dev/null 2>&1 && exec setsid sh -c \"$@\"; "
	"exec sh -c \"$@\"";
static const char with_inline[] =
	"sm_i=$1 sm_s=$2; shift 2; "
	"command -v base64 >/dev/null 2>&1 || exit 97; "
	"printf %s \"$sm_i\" | base64 -d | sh -c \"$sm_s\" sh \"$@\"";
static const char with_file[] =
	"[ -r \"$1\" ] || exit 98; exec <\"$1\"; rm -rf \"${1%/*}\"; "
	"sm_s=$2; shift 2; exec sh -c \"$sm_s\" sh \"$@\"";

static int e2b_open(const struct spec *spec, const struct call *call,
	void **state, GError **err)
{
	struct e2b *e = e2b_new(spec, call, err);

	if (!e)
		return -EINVAL;
	if (e2b_connect(e, call, err) < 0) {
		e2b_free(e);
		return -EIO;
	}
	*state = e;
	return 0;
}

static void e2b_close(void *state)
{
	e2b_free(state);
}

static void e2b_caps(void *state, struct remote_caps *caps)
{
	*caps = (struct remote_caps){
		.max_parallel = 4, .binary_out = true,
		.stdin_ok = e2b_has_input(state),
	};
}

/* An id is never used for another sandbox. */
static char *e2b_identity(void *state, const struct call *call, GError **err)
{
	struct e2b *e = state;

	(void)call;
	(void)err;
	return g_strdup(e->id);
}

static int e2b_extend(void *state, const struct call *call,
	int64_t *expires_ms, GError **err)
{
	struct e2b *e = state;
	bool fresh;
	int r = 0;

	mutex_lock(&e->lock);
	fresh = io_now_ns() - e->renewed_ns < FRESH_NS;
	mutex_unlock(&e->lock);
	if (!fresh)
		r = e2b_renew(e, call, err);
	mutex_lock(&e->lock);
	*expires_ms = e->expires_ms;
	mutex_unlock(&e->lock);
	return r;
}

static int e2b_make(const struct spec *spec, const struct call *call, char **id,
	GError **err)
{
	struct e2b *e;
	int r;

	if (!spec->template)
		return fail(err, FAIL_USAGE,
			"e2b:new: of which template? give --template T");
	e = e2b_new(spec, call, err);
	if (!e)
		return -EINVAL;
	r = e2b_create(e, call, id, err);
	e2b_free(e);
	return r;
}

/* --- running --------------------------------------------------------------- */

static bool is_renewal_due(struct e2b *e)
{
	int64_t now = io_now_ns(), every = RENEW_EVERY_S;
	bool due;

	every = MIN(every, MAX(e->lifetime_s / 3, 1)) * INT64_C(1000000000);
	mutex_lock(&e->lock);
	due = now - e->renewed_ns >= every;
	if (due)
		e->renewed_ns = now;	/* one thread does it */
	mutex_unlock(&e->lock);
	return due;
}

/* A failure here is not the command's: the timer tries again and tells. */
static void renew_by_use(struct e2b *e, const struct call *own)
{
	struct call call = { .deadline_ms = RENEW_MS, .cancel = own->cancel };
	g_autoptr(GError) why = NULL;

	if (is_renewal_due(e) && e2b_renew(e, &call, &why) < 0)
		log_write(LOG_WARNING, "e2b: renewing the life of %s: %s",
			e->id, why->message);
}

/* Reads up to LIMIT + 1 bytes of IN: more than LIMIT means there is more. */
static int read_start(struct source *in, GByteArray *start, size_t limit)
{
	g_byte_array_set_size(start, (guint)limit + 1);
	size_t have = 0;

	while (have <= limit) {
		ssize_t n = in->read(in->ctx, start->data + have,
			limit + 1 - have);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	g_byte_array_set_size(start, (guint)have);
	return 0;
}

/* START, then the rest of IN. */
struct joined {
	const GByteArray *start;
	size_t at;
	struct source *in;
};

static ssize_t read_joined(void *ctx, void *buf, size_t len)
{
	struct joined *j = ctx;
	size_t n = MIN(len, j->start->len - j->at);

	if (n == 0)
		return j->in->read(j->in->ctx, buf, len);
	memcpy(buf, j->start->data + j->at, n);
	j->at += n;
	return (ssize_t)n;
}

static char *staging_path(void)
{
	g_autofree char *word = io_random_hex(8);

	return g_strdup_printf("/tmp/.sandmount-%s/in", word);
}

struct job {
	struct e2b *e;
	const char *script;
	const char *const *args;
	struct e2b_run run;
	const struct call *call;
};

/* sh -c LEAD sh [MODE sh INPUT] SCRIPT [sh] ARGS... */
static int run_with(struct job *job, const char *mode, const char *input,
	GError **err)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *packed = sh_pack_args(job->args);
	g_autofree char *script = g_strconcat(
		packed ? sh_unpack_args : "", job->script, NULL);
	int r;

	job->run.pid = 0;
	job->run.ended = false;
	g_ptr_array_add(argv, (gpointer) "/bin/sh");
	g_ptr_array_add(argv, (gpointer) "-c");
	g_ptr_array_add(argv, (gpointer)lead);
	g_ptr_array_add(argv, (gpointer) "sh");
	if (mode) {
		g_ptr_array_add(argv, (gpointer)mode);
		g_ptr_array_add(argv, (gpointer) "sh");
		g_ptr_array_add(argv, (gpointer)input);
	}
	g_ptr_array_add(argv, script);
	if (!mode)
		g_ptr_array_add(argv, (gpointer) "sh");
	if (packed)
		g_ptr_array_add(argv, packed);
	for (const char *const *a = job->args; !packed && a && *a; a++)
		g_ptr_array_add(argv, (gpointer)*a);
	g_ptr_array_add(argv, NULL);
	job->run.argv = (const char *const *)argv->pdata;
	r = e2b_run(job->e, &job->run, job->call, err);
	job->run.argv = NULL;
	return r;
}

/* The script did not begin, whatever became of the file. */
static int not_begun(GError *why, GError **err)
{
	if (why->code == FAIL_UNKNOWN)
		why->code = FAIL_UNAVAILABLE;
	g_propagate_error(err, why);
	return -EIO;
}

static void clean_up(struct e2b *e, const char *file)
{
	g_autofree char *dir = g_path_get_dirname(file);
	struct call call = { .deadline_ms = CLEAN_UP_MS };

	e2b_remove(e, dir, &call, NULL);
}

static int run_staged(struct job *job, const GByteArray *start,
	struct source *in, GError **err)
{
	g_autofree char *file = staging_path();
	struct joined joined = { .start = start, .in = in };
	struct source body = { .read = read_joined, .ctx = &joined };
	GError *why = NULL;
	int r = e2b_upload(job->e, file, &body, job->call, job->run.stats,
		&why);

	if (r < 0)
		not_begun(why, err);
	else
		r = run_with(job, with_file, file, err);
	if (r < 0)
		clean_up(job->e, file);
	return r;
}

static int run_inline(struct job *job, const GByteArray *start,
	struct source *in, GError **err)
{
	g_autofree char *text = g_base64_encode(start->data, start->len);
	int r = run_with(job, with_inline, text, err);

	if (r == 0 && job->run.status == EXIT_NO_BASE64)
		return run_staged(job, start, in, err);
	return r;
}

static int e2b_run_script(void *state, const char *script,
	const char *const *args, const struct call *call, struct source *in,
	struct sink *out, struct sink *err_out, struct remote_stats *stats,
	int *status, GError **err)
{
	struct job job = {
		.e = state, .script = script, .args = args, .call = call,
		.run = { .out = out, .err_out = err_out, .stats = stats },
	};
	g_autoptr(GByteArray) start = g_byte_array_new();
	bool is_live = in && in->has_fd && e2b_has_input(state);
	int r = in && !is_live ? read_start(in, start, INLINE_LIMIT) : 0;

	if (r < 0)
		return fail(err, FAIL_UNAVAILABLE, "%s", g_strerror(-r));
	renew_by_use(state, call);
	job.run.in = is_live ? in : NULL;
	if (start->len == 0)
		r = run_with(&job, NULL, NULL, err);
	else if (start->len <= INLINE_LIMIT)
		r = run_inline(&job, start, in, err);
	else
		r = run_staged(&job, start, in, err);
	*status = job.run.status;
	return r;
}

const struct remote_ops provider_e2b = {
	.name = "e2b",
	.create = e2b_make,
	.open = e2b_open,
	.close = e2b_close,
	.caps = e2b_caps,
	.identity = e2b_identity,
	.run = e2b_run_script,
	.renew = e2b_extend,
};
