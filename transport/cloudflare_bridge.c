/*
 * The official bridge's dialect. Commands have no standard input; what they
 * print comes as base64 of UTF-8 text; file reads lie about missing and about
 * text, so no file is read by them.
 */
#include "transport/cloudflare.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "transport/json.h"

enum { ERROR_KEPT = 300 };

static bool is_id(const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz234567");

	return n > 0 && n <= 128 && id[n] == '\0';
}

static int create(struct bridge *b, const struct call *call, char **id,
	GError **err)
{
	struct http_answer a = { 0 };
	struct json *j;
	const char *told;
	int r = bridge_ask(b, "POST", "", NULL, NULL, 0, call, &a, err);

	if (r == 0 && a.status != 200)
		r = http_refused(&a, "making a sandbox", err);
	if (r == 0) {
		j = json_parse(a.text->str, a.text->len, NULL);
		told = json_string(json_get(j, "id"));
		if (told && is_id(told))
			*id = g_strdup(told);
		else
			r = fail(err, FAIL_PROTOCOL,
				"making a sandbox: the answer has no id");
		json_free(j);
	}
	http_answer_clear(&a);
	return r;
}

static int renew(struct bridge *b, const struct call *call, GError **err)
{
	g_autofree char *path =
		g_strdup_printf("/%s/running", b->spec->sandbox_id);
	struct http_answer a = { 0 };
	int r = bridge_ask(b, "GET", path, NULL, NULL, 0, call, &a, err);

	if (r == 0 && a.status != 200)
		r = http_refused(&a, "asking whether the sandbox runs", err);
	http_answer_clear(&a);
	return r;
}

static int open_it(struct bridge *b, const struct call *call, GError **err)
{
	if (!is_id(b->spec->sandbox_id))
		return fail(err, FAIL_USAGE,
			"the sandboxId of a cloudflare sandbox has letters a-z "
			"and digits 2-7 only, at most 128; that of a lease "
			"needs a baseUrl of https://WORKER/api/NAME/v1");
	return renew(b, call, err);
}

static int exec(struct bridge *b, struct run *r, const char *const *argv,
	const char *stdin_text, int64_t deadline_ms, GError **err)
{
	g_autofree char *path = g_strdup_printf("/%s/exec",
		b->spec->sandbox_id);
	struct json *j = json_new_object();
	struct json *words = json_new_array();
	int ret;

	(void)stdin_text;	/* never given: it has put_part */
	for (; *argv; argv++)
		json_append_string(words, *argv);
	json_put(j, "argv", words);
	if (deadline_ms)
		json_put_int(j, "timeout_ms",
			deadline_ms + CF_REMOTE_SLACK_MS);
	ret = bridge_post(b, r, path, j, err);
	json_free(j);
	return ret;
}

/* The bridge's own base64 around what was printed. */
static int take_text(struct run *r, bool is_out, const char *data)
{
	gsize n;
	g_autofree guchar *text = g_base64_decode(data, &n);

	if (n == 0)
		return 0;
	if (is_out)
		return bridge_printed(r, (char *)text, n);
	return r->err_out ? r->err_out->write(r->err_out->ctx, text, n) : 0;
}

static int take_exit(struct run *r, const char *data, size_t len)
{
	struct json *j = json_parse(data, len, NULL);
	int64_t code;
	int ret = -EPROTO;

	if (json_is_integer(json_get(j, "exit_code"), &code)) {
		r->ended = true;
		r->status = (int)(code & 255);
		ret = 0;
	}
	json_free(j);
	return ret;
}

static int event(struct run *r, const char *name, const char *data, size_t len)
{
	if (!strcmp(name, "stdout") || !strcmp(name, "stderr"))
		return take_text(r, name[3] == 'o', data);
	if (!strcmp(name, "exit"))
		return take_exit(r, data, len);
	if (!strcmp(name, "error") && !r->failed)
		r->failed = g_strndup(data, ERROR_KEPT);
	return 0;
}

static int put_part(struct bridge *b, const char *dir, const char *name,
	const char *buf, size_t len, const struct call *call, GError **err)
{
	g_autofree char *path = g_strdup_printf("/%s/file%s/%s",
		b->spec->sandbox_id, dir, name);
	struct http_answer a = { 0 };
	int r = bridge_ask(b, "PUT", path, "application/octet-stream", buf,
		len, call, &a, err);

	if (r == 0 && a.status != 200)
		r = http_refused(&a, "sending to the sandbox", err);
	http_answer_clear(&a);
	return r;
}

const struct dialect cloudflare_bridge = {
	.path = "/v1/sandbox",
	.inline_bytes = 32 << 10,	/* one shell word has 128 KiB */
	.part_bytes = 8 << 20,
	.create = create,
	.open = open_it,
	.renew = renew,
	.exec = exec,
	.event = event,
	.put_part = put_part,
};
