#include "transport/doctor.h"

#include <errno.h>
#include <string.h>

#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/doctor.sh.h"
#include "transport/tree_internal.h"

enum { FACTS_LIMIT = 65536, FACTS_LINES = 64 };

static int64_t number(const char *text)
{
	char *end;
	int64_t n = g_ascii_strtoll(text, &end, 10);

	return *text && !*end && n >= 0 ? n : -1;
}

static void take_line(struct sandbox_facts *f, const char *key,
	const char *value)
{
	if (!strcmp(key, "missing")) {
		g_ptr_array_add(f->missing, path_display(value));
	} else if (!strcmp(key, "without")) {
		g_ptr_array_add(f->without, path_display(value));
	} else if (!strcmp(key, "system")) {
		g_free(f->system);
		f->system = path_display(value);
	} else if (!strcmp(key, "tar")) {
		g_free(f->tar);
		f->tar = path_display(value);
	} else if (!strcmp(key, "clock")) {
		f->clock_s = number(value);
	} else if (!strcmp(key, "free")) {
		f->free_kb = number(value);
	} else if (!strcmp(key, "root")) {
		f->has_workspace = !strcmp(value, "there");
	} else if (!strcmp(key, "blocked")) {
		g_free(f->blocked);
		f->blocked = path_display(value);
	} else if (!strcmp(key, "writable")) {
		f->writable = true;
	}
}

static void take_answer(struct sandbox_facts *f, const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", FACTS_LINES);

	for (char **l = lines; *l; l++) {
		char *blank = strchr(*l, ' ');

		if (!blank)
			continue;
		*blank = '\0';
		take_line(f, *l, blank + 1);
	}
}

int sandbox_facts_ask(struct remote *r, const struct call *call,
	struct sandbox_facts *f, GError **err)
{
	const char *args[] = { remote_spec(r)->remote_cwd, NULL };
	struct answer a = {
		.text = g_string_new(NULL), .limit = FACTS_LIMIT,
	};
	struct sink out = answer_sink(&a);
	int64_t before = io_wall_ns();
	int ret, code = 0;

	*f = (struct sandbox_facts){
		.missing = g_ptr_array_new_with_free_func(g_free),
		.without = g_ptr_array_new_with_free_func(g_free),
		.clock_s = -1, .free_kb = -1, .expires_ms = -1,
	};
	ret = remote_run(r, script_doctor, args, call, NULL, &out, &code,
		NULL, err);
	f->asked_s = (before + (io_wall_ns() - before) / 2) / 1000000000;
	if (ret == 0 && code != 0)
		ret = fail(err, FAIL_REMOTE, "the sandbox's shell: ended with "
			"exit code %d; look at it by hand", code);
	if (ret == 0)
		take_answer(f, a.text->str);
	g_string_free(a.text, TRUE);
	if (ret == 0 && remote_renew(r, call, &f->expires_ms, NULL) < 0)
		f->expires_ms = -1;
	return ret;
}

void sandbox_facts_release(struct sandbox_facts *f)
{
	if (f->missing)
		g_ptr_array_free(f->missing, TRUE);
	if (f->without)
		g_ptr_array_free(f->without, TRUE);
	g_free(f->system);
	g_free(f->tar);
	g_free(f->blocked);
	*f = (struct sandbox_facts){ 0 };
}
