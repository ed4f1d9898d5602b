#include "transport/tree_internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"
#include "transport/check.sh.h"
#include "transport/hash.sh.h"
#include "transport/older.sh.h"
#include "transport/open.sh.h"
#include "transport/remove.sh.h"

enum { ANSWER_LIMIT = 1 << 20, EXIT_GONE = 81, EXIT_OLDER = 82 };

static int collect(void *ctx, const void *buf, size_t len)
{
	struct answer *a = ctx;

	if (a->text->len + len > a->limit)
		return -EFBIG;
	g_string_append_len(a->text, buf, (gssize)len);
	return 0;
}

struct sink answer_sink(struct answer *a)
{
	return (struct sink){ .write = collect, .ctx = a };
}

static ssize_t read_text(void *ctx, void *buf, size_t len)
{
	struct text_source *t = ctx;
	size_t n = MIN(len, t->len - t->at);

	memcpy(buf, t->text + t->at, n);
	t->at += n;
	return (ssize_t)n;
}

struct source text_source(struct text_source *t)
{
	return (struct source){ .read = read_text, .ctx = t };
}

GString *tree_path_list(const GPtrArray *paths)
{
	GString *list = g_string_new(NULL);

	for (guint i = 0; i < paths->len; i++) {
		g_string_append(list, "./");
		g_string_append(list, g_ptr_array_index(paths, i));
		g_string_append_c(list, '\0');
	}
	return list;
}

static char *host(const struct tree *t)
{
	const struct spec *s = remote_spec(t->remote);

	return g_strdup_printf("sandbox %s:%s", s->provider, s->sandbox_id);
}

int tree_gone(const struct tree *t, GError **err)
{
	g_autofree char *name = host(t);

	return fail(err, FAIL_GONE,
		"%s: the workspace %s is gone, emptied or another than before; "
		"nothing was taken as deleted: `sandmount restore` merges what "
		"the mirror holds, `prepare` sends it to the new sandbox",
		name, t->root);
}

static int older(const struct tree *t, GError **err)
{
	g_autofree char *name = host(t);

	return fail(err, FAIL_GONE,
		"%s: the workspace %s was put back to an older state, as by a "
		"snapshot; nothing was taken as deleted or changed: `sandmount "
		"restore` merges what the mirror holds, `prepare` sends it "
		"again", name, t->root);
}

int tree_garbled(const struct tree *t, const char *what, GError **err)
{
	g_autofree char *name = host(t);

	return fail(err, FAIL_PROTOCOL,
		"%s: its answer to %s is cut off or makes no sense; nothing "
		"was changed because of it, try again", name, what);
}

int tree_run(struct tree *t, const char *what, const char *script,
	const char *const *more, const struct call *call, struct source *in,
	struct sink *out, GError **err)
{
	g_autoptr(GPtrArray) args = g_ptr_array_new();
	g_autofree char *stderr_text = NULL;
	uint64_t least = __atomic_load_n(&t->least, __ATOMIC_ACQUIRE);
	g_autofree char *guarded = least
		? g_strdup_printf("sm_least=%" G_GUINT64_FORMAT "\n%s%s", least,
			script_older, script) : NULL;
	int code = 0;

	g_ptr_array_add(args, t->root);
	g_ptr_array_add(args, t->runtime);
	g_ptr_array_add(args, t->id);
	for (; more && *more; more++)
		g_ptr_array_add(args, (gpointer)*more);
	g_ptr_array_add(args, NULL);
	if (remote_run(t->remote, guarded ? guarded : script,
		    (const char *const *)args->pdata, call, in, out, &code,
		    &stderr_text, err) < 0)
		return -EIO;
	if (code == EXIT_GONE)
		return tree_gone(t, err);
	if (code == EXIT_OLDER)
		return older(t, err);
	if (code != 0) {
		g_autofree char *name = host(t);
		g_autofree char *why = path_display(g_strchomp(stderr_text));

		return fail(err, FAIL_REMOTE, "%s: %s failed (exit %d): %s",
			name, what, code, why);
	}
	return 0;
}

/* --- opening ---------------------------------------------------------- */

static bool is_yes(char *const *lines, const char *key)
{
	g_autofree char *want = g_strconcat(key, " yes", NULL);

	return g_strv_contains((const char *const *)lines, want);
}

static int refuse(const struct tree *t, const char *why, GError **err)
{
	g_autofree char *name = host(t);
	g_autofree char *shown = path_display(why);

	if (g_str_has_prefix(why, "missing "))
		return fail(err, FAIL_REMOTE,
			"%s: has no usable `%s`; install it there, a workspace "
			"cannot be synchronised without it", name,
			shown + strlen("missing "));
	return fail(err, FAIL_REMOTE, "%s: %s; see its permissions and disk",
		name, shown);
}

static int take_probe(struct tree *t, char *const *lines, GError **err)
{
	bool known = false;

	for (char *const *l = lines; *l; l++) {
		if (!strcmp(*l, "gone"))
			return tree_gone(t, err);
		if (!strcmp(*l, "older"))
			return older(t, err);
		if (g_str_has_prefix(*l, "missing ") ||
			g_str_has_prefix(*l, "cannot "))
			return refuse(t, *l, err);
		if (g_str_has_prefix(*l, "userland "))
			t->userland = path_display(*l + strlen("userland "));
		t->fresh |= !strcmp(*l, "fresh");
		known |= !strcmp(*l, "known");
	}
	if (!t->fresh && !known)
		return tree_garbled(t, "the first question", err);
	t->subsecond = is_yes(lines, "subsecond");
	t->has_printf = is_yes(lines, "printf");
	t->has_sha256 = is_yes(lines, "sha256");
	t->has_dd = is_yes(lines, "dd");
	return 0;
}

static int probe(struct tree *t, const struct tree_config *c,
	const struct call *call, GError **err)
{
	g_autofree char *least =
		g_strdup_printf("%" G_GUINT64_FORMAT, c->applied);
	struct answer a = {
		.text = g_string_new(NULL), .limit = ANSWER_LIMIT,
	};
	struct sink out = answer_sink(&a);
	const char *more[] = { c->create ? "1" : "0", least, NULL };
	int r = tree_run(t, "the first question", script_open, more, call,
		NULL, &out, err);

	if (r == 0) {
		g_auto(GStrv) lines = g_strsplit(a.text->str, "\n", -1);

		r = take_probe(t, lines, err);
	}
	t->least = t->fresh ? 0 : c->applied;
	g_string_free(a.text, TRUE);
	return r;
}

struct tree *tree_open(struct remote *r, const struct tree_config *c,
	const struct call *call, GError **err)
{
	struct tree *t = g_new0(struct tree, 1);

	t->remote = r;
	t->root = g_strdup(remote_spec(r)->remote_cwd);
	t->runtime = g_strdup(c->runtime_dir);
	t->id = g_strdup(c->session_id);
	if (probe(t, c, call, err) == 0)
		return t;
	tree_close(t);
	return NULL;
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	g_free(t->root);
	g_free(t->runtime);
	g_free(t->id);
	g_free(t->userland);
	g_free(t);
}

const char *tree_root(const struct tree *t)
{
	return t->root;
}

uint64_t tree_applied(const struct tree *t)
{
	return __atomic_load_n(&t->least, __ATOMIC_ACQUIRE);
}

bool tree_is_fresh(const struct tree *t)
{
	return t->fresh;
}

const char *tree_userland(const struct tree *t)
{
	return t->userland ? t->userland : "unknown";
}

size_t tree_path_limit(const struct tree *t)
{
	return PATH_MAX - 1 - strlen(t->runtime) - strlen(t->id) -
		strlen("/.session-/stage/t/./");
}

bool tree_has_subsecond(const struct tree *t)
{
	return t->subsecond;
}

int tree_check(struct tree *t, const struct call *call, GError **err)
{
	return tree_run(t, "looking at it", script_check, NULL, call, NULL,
		NULL, err);
}

int tree_remove_session(struct tree *t, const struct call *call, GError **err)
{
	t->least = 0;
	return tree_run(t, "removing the session", script_remove, NULL, call,
		NULL, NULL, err);
}

/* --- digests ---------------------------------------------------------- */

/* sha256sum escapes names with newlines or backslashes and says so with a
 * leading backslash. */
static char *escaped(const char *path)
{
	GString *s = g_string_new(NULL);

	for (; *path; path++)
		if (*path == '\\')
			g_string_append(s, "\\\\");
		else if (*path == '\n')
			g_string_append(s, "\\n");
		else
			g_string_append_c(s, *path);
	return g_string_free(s, FALSE);
}

/* "HEX  ./PATH", both forms. */
static bool is_line_of(const char *line, const char *path, struct digest *d)
{
	const char *hex = *line == '\\' ? line + 1 : line;
	g_autofree char *name = *line == '\\' ? escaped(path) : g_strdup(path);

	if (strlen(hex) < DIGEST_HEX_LEN + 4 ||
		strncmp(hex + DIGEST_HEX_LEN + 2, "./", 2) ||
		strcmp(hex + DIGEST_HEX_LEN + 4, name))
		return false;
	return digest_from_hex(d, hex);
}

int tree_hash(struct tree *t, const GPtrArray *paths, const struct call *call,
	struct digest *out, bool *hashed, GError **err)
{
	GString *list = tree_path_list(paths);
	struct answer a = {
		.text = g_string_new(NULL),
		.limit = list->len * 2 + (size_t)paths->len * 80 + 1,
	};
	struct sink sink = answer_sink(&a);
	struct text_source text = { .text = list->str, .len = list->len };
	struct source in = text_source(&text);
	int r;

	if (t->has_sha256)
		r = tree_run(t, "hashing", script_hash, NULL, call, &in, &sink,
			err);
	else
		r = fail(err, FAIL_REMOTE, "the sandbox has no sha256sum");
	if (r == 0) {
		g_auto(GStrv) lines = g_strsplit(a.text->str, "\n", -1);
		char **line = lines;

		/* In the order asked; missing ones have no line. */
		for (guint i = 0; i < paths->len; i++) {
			hashed[i] = *line && is_line_of(*line,
				g_ptr_array_index(paths, i), &out[i]);
			line += hashed[i];
		}
	}
	g_string_free(list, TRUE);
	g_string_free(a.text, TRUE);
	return r;
}
