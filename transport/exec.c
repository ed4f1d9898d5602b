#include "transport/exec.h"

#include <errno.h>
#include <inttypes.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/exec.sh.h"
#include "transport/lease.sh.h"
#include "transport/signal.sh.h"

void exec_start(struct exec *x)
{
	g_autofree char *key = io_random_hex((sizeof(x->key) - 1) / 2);

	g_strlcpy(x->key, key, sizeof(x->key));
	x->beats = 0;
}

/* ROOT RUNTIME ID KEY, then what the caller adds. */
static GPtrArray *words_of(const struct exec *x)
{
	GPtrArray *words = g_ptr_array_new();

	g_ptr_array_add(words, remote_spec(x->remote)->remote_cwd);
	g_ptr_array_add(words, (gpointer)x->runtime_dir);
	g_ptr_array_add(words, (gpointer)x->session_id);
	g_ptr_array_add(words, (gpointer)x->key);
	return words;
}

int exec_run(struct exec *x, const struct call *call, struct source *in,
	struct sink *out, struct sink *err_out, int *code, GError **err)
{
	g_autoptr(GPtrArray) words = words_of(x);

	g_ptr_array_add(words, (gpointer)x->dir);
	for (const char *const *a = x->argv; *a; a++)
		g_ptr_array_add(words, (gpointer)*a);
	g_ptr_array_add(words, NULL);
	return remote_exec(x->remote, script_exec,
		(const char *const *)words->pdata, call,
		&(struct remote_streams){ in, out, err_out }, code, err);
}

static int aside(struct exec *x, const char *script, const char *word,
	const struct call *call, GError **err)
{
	g_autoptr(GPtrArray) words = words_of(x);
	int code = 0;

	g_ptr_array_add(words, (gpointer)word);
	g_ptr_array_add(words, NULL);
	if (remote_run(x->remote, script, (const char *const *)words->pdata,
		    call, NULL, NULL, &code, NULL, err) < 0)
		return -EIO;
	return code ? fail(err, FAIL_REMOTE,
			      "exec: the command does not run (exit %d)", code)
		    : 0;
}

int exec_signal(struct exec *x, const char *name, const struct call *call,
	GError **err)
{
	return aside(x, script_signal, name, call, err);
}

int exec_renew(struct exec *x, const struct call *call, GError **err)
{
	char word[16];

	g_snprintf(word, sizeof(word), "%u", ++x->beats);
	return aside(x, script_lease, word, call, err);
}
