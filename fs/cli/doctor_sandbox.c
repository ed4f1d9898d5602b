/* The checks of a sandbox. */
#include "fs/cli/doctor.h"

#include <inttypes.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/status_text.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/doctor.h"
#include "transport/remote.h"

enum { CALL_MS = 60000 };

/* What to do when it does not answer. */
static const char *mend_for(const struct spec *s)
{
	static const struct {
		const char *provider, *mend;
	} table[] = {
		{ "local", "mkdir -p the directory that the spec names" },
		{ "ssh", "ssh HOST true   (it must work without a question)" },
		{ "docker", "docker ps   (is it running, may you use the "
			    "socket?)" },
		{ "command", "run the command of the config file by hand, "
			     "with `sh -c true` behind it" },
		{ "e2b", "export E2B_API_KEY=...   (or apiKey in the config "
			 "file)" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (!strcmp(table[i].provider, s->provider))
			return table[i].mend;
	return NULL;
}

static char *join(GPtrArray *words)
{
	GString *out = g_string_new(NULL);

	for (guint i = 0; i < words->len; i++)
		g_string_append_printf(out, "%s%s", i ? ", " : "",
			(const char *)g_ptr_array_index(words, i));
	return g_string_free(out, FALSE);
}

static void judge_tools(struct findings *f, const struct sandbox_facts *x)
{
	g_autofree char *missing = join(x->missing);
	g_autofree char *without = join(x->without);

	if (x->missing->len)
		findings_add(f, FINDING_FAILED, "its tools",
			"apt-get install coreutils findutils tar grep sed "
			"diffutils   (in the sandbox; busybox does, too)",
			"missing: %s", missing);
	else
		findings_add(f, FINDING_OK, "its tools", NULL, "%s; %s",
			x->system ? x->system : "?", x->tar ? x->tar : "tar");
	if (x->without->len)
		findings_add(f, FINDING_NOTE, "its tools", NULL,
			"without %s: works, a little slower", without);
}

static void judge_clock(struct findings *f, const struct sandbox_facts *x)
{
	enum { GOOD_S = 60 };
	int64_t off = x->clock_s - x->asked_s;
	int64_t size = off < 0 ? -off : off;

	if (x->clock_s < 0)
		return;
	findings_add(f, size <= GOOD_S ? FINDING_OK : FINDING_WARNING,
		"its clock", size <= GOOD_S ? NULL
			: "sudo timedatectl set-ntp true   (on the side that "
			  "is wrong)",
		size <= GOOD_S ? "agrees with yours"
			: "is %" PRId64 " s %s yours; times of files will "
			  "look odd", size, off < 0 ? "behind" : "ahead "
			  "of");
}

static void judge_workspace(struct findings *f, const struct spec *s,
	const struct sandbox_facts *x)
{
	enum { KB_GOOD = 200000 };
	g_autofree char *shown = path_display(s->remote_cwd);
	g_autofree char *left = bytes_text((uint64_t)MAX(x->free_kb, 0) * 1024);

	if (x->blocked) {
		findings_add(f, FINDING_FAILED, "workspace",
			"choose another remote directory",
			"%s: %s is no directory", shown, x->blocked);
		return;
	}
	findings_add(f, x->writable ? FINDING_OK : FINDING_FAILED,
		"workspace", x->writable ? NULL
			: "chown it to the sandbox's user, or choose another "
			  "remote directory",
		"%s %s%s", shown, x->has_workspace ? "is there"
			: "will be made", x->writable ? ""
			: ", but may not be written");
	if (x->free_kb >= 0)
		findings_add(f, x->free_kb < KB_GOOD ? FINDING_WARNING
						     : FINDING_OK,
			"its disk", x->free_kb < KB_GOOD
				? "delete something in the sandbox" : NULL,
			"%s free", left);
}

static void judge_lifetime(struct findings *f, const struct sandbox_facts *x)
{
	enum { GOOD_MS = 600000 };
	int64_t left = x->expires_ms - io_wall_ns() / 1000000;
	g_autofree char *text = duration_text(left);

	if (x->expires_ms < 0)
		findings_add(f, FINDING_NOTE, "its lifetime", NULL,
			"is not known");
	else if (x->expires_ms == 0)
		findings_add(f, FINDING_OK, "its lifetime", NULL,
			"does not end by itself");
	else
		findings_add(f, left < GOOD_MS ? FINDING_WARNING : FINDING_OK,
			"its lifetime", left < GOOD_MS
				? "a mount renews it; else extend it where "
				  "you made it" : NULL,
			"ends in %s", text);
}

static void judge(struct findings *f, const struct spec *s)
{
	struct call call = { .deadline_ms = CALL_MS };
	struct sandbox_facts x = { 0 };
	g_autoptr(GError) why = NULL;
	struct remote *r = remote_open(s, &call, &why);

	if (r && sandbox_facts_ask(r, &call, &x, &why) == 0) {
		g_autofree char *id = path_display(s->sandbox_id);

		findings_add(f, FINDING_OK, "sandbox", NULL,
			"%s %s answers", s->provider, id);
		judge_tools(f, &x);
		judge_workspace(f, s, &x);
		judge_clock(f, &x);
		judge_lifetime(f, &x);
	} else {
		findings_add(f, FINDING_FAILED, "sandbox", mend_for(s), "%s",
			why->message);
	}
	sandbox_facts_release(&x);
	remote_close(r);
}

void doctor_sandbox(struct findings *f, const char *sandbox)
{
	g_autofree char *config = cli_config_file();
	g_autoptr(GError) why = NULL;
	struct spec *s = spec_resolve(sandbox, config, NULL, &why);

	if (!s) {
		findings_add(f, FINDING_FAILED, "sandbox",
			"sandmount spec FILE   (checks a spec)", "%s",
			why->message);
		return;
	}
	judge(f, s);
	spec_free(s);
}
