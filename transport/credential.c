#include "transport/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/child.h"
#include "transport/spec.h"

enum { KEY_LIMIT = 4096, COMMAND_MS = 30000 };

void credential_free(char *key)
{
	if (key)
		explicit_bzero(key, strlen(key));
	g_free(key);
}

/* Takes RAW; trimmed and checked. WHERE names the source. */
static char *accept_key(char *raw, const char *where, GError **err)
{
	bool plain = true;

	g_strstrip(raw);
	for (const char *p = raw; *p; p++)
		plain &= *p > ' ' && *p < 0x7f;
	if (*raw && plain)
		return raw;
	fail(err, FAIL_USAGE, *raw
		? "the key of %s: is not one word of printable ASCII"
		: "the key of %s: is empty", where);
	credential_free(raw);
	return NULL;
}

static int check_file(int fd, const char *file, GError **err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(err, -errno, "apiKeyFile %s", file);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return fail(err, FAIL_USAGE,
			"apiKeyFile %s: must be a regular file of yours", file);
	if (st.st_mode & 077)
		return fail(err, FAIL_USAGE,
			"apiKeyFile %s: others may read it; chmod 600 it",
			file);
	return 0;
}

static char *from_file(const char *file, GError **err)
{
	autofd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	g_autofree char *shown = path_display(file);
	g_autofree char *where = g_strconcat("apiKeyFile ", shown, NULL);
	char *raw;
	ssize_t n;

	if (fd < 0) {
		fail(err, FAIL_USAGE, "%s: %s", where, g_strerror(errno));
		return NULL;
	}
	if (check_file(fd, shown, err) < 0)
		return NULL;
	raw = g_malloc0(KEY_LIMIT + 1);
	n = io_read_full(fd, raw, KEY_LIMIT);
	if (n >= 0)
		return accept_key(raw, where, err);
	g_free(raw);
	fail_errno(err, (int)n, "%s", where);
	return NULL;
}

static int collect(void *ctx, const void *buf, size_t len)
{
	GString *s = ctx;

	if (s->len + len > KEY_LIMIT)
		return -EFBIG;
	g_string_append_len(s, buf, (gssize)len);
	return 0;
}

static char *from_command(char *const *argv, const struct call *call,
	GError **err)
{
	struct call c = { .deadline_ms = COMMAND_MS, .cancel = call->cancel };
	GString *got = g_string_sized_new(KEY_LIMIT + 1);
	struct sink out = { .write = collect, .ctx = got };
	struct remote_stats stats = { 0 };
	struct child child;
	g_autofree char *shown = path_display(argv[0]);
	g_autofree char *where = g_strconcat("apiKeyCommand ", shown, NULL);
	int r, status;

	r = child_start(&child, (const char *const *)argv, err);
	if (r == 0) {
		r = child_pump(&child, &c, NULL, &out, NULL, &stats, err);
		status = child_finish(&child, r < 0);
		if (r < 0)
			g_prefix_error(err, "%s: ", where);
		else if (status != 0)
			r = fail(err, FAIL_LOCAL,
				"%s: ended with exit code %d; run it by hand "
				"to see why", where, status);
	}
	if (r == 0)
		return accept_key(g_string_free(got, FALSE), where, err);
	explicit_bzero(got->str, got->allocated_len);
	g_string_free(got, TRUE);
	return NULL;
}

/* No core file of a process that has a key: the limit keeps the kernel from
 * writing one, and the filter all memory out of what is piped to a program,
 * which knows no limit. Best effort: some machines have neither. */
static void keep_out_of_cores(void)
{
	const struct rlimit none = { 0, 0 };
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	setrlimit(RLIMIT_CORE, &none);
	if (fd >= 0) {
		io_write_full(fd, "0", 1);
		close(fd);
	}
}

char *credential_get(const struct spec *s, const char *env,
	const struct call *call, GError **err)
{
	const char *value = g_getenv(env);

	keep_out_of_cores();
	if (s->api_key)
		return accept_key(g_strdup(s->api_key), "the spec", err);
	if (s->api_key_file)
		return from_file(s->api_key_file, err);
	if (s->api_key_command)
		return from_command(s->api_key_command, call, err);
	if (value && *value)
		return accept_key(g_strdup(value), env, err);
	fail(err, FAIL_USAGE,
		"sandbox %s:%s: no key; set %s, or give the spec apiKeyFile or "
		"apiKeyCommand", s->provider, s->sandbox_id, env);
	return NULL;
}
