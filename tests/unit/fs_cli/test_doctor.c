#include "fs/cli/doctor.h"
#include "fs/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

struct machine {
	char *top;
	char *dev_fuse, *fuse_conf, *proc;
	struct doctor_paths paths;
};

static void put(const char *path, const char *text)
{
	g_autofree char *dir = g_path_get_dirname(path);

	assert_int_equal(g_mkdir_with_parents(dir, 0700), 0);
	assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void make(struct machine *m)
{
	m->top = g_dir_make_tmp("sandmount-doctor-XXXXXX", NULL);
	m->dev_fuse = g_build_filename(m->top, "fuse", NULL);
	m->fuse_conf = g_build_filename(m->top, "fuse.conf", NULL);
	m->proc = g_build_filename(m->top, "proc", NULL);
	m->paths = (struct doctor_paths){
		.dev_fuse = m->dev_fuse, .fuse_conf = m->fuse_conf,
		.proc = m->proc,
	};
}

static void remove_all(const char *top)
{
	const char *argv[] = { "rm", "-rf", top, NULL };

	g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
		NULL, NULL, NULL, NULL, NULL);
}

static void release(struct machine *m)
{
	remove_all(m->top);
	g_free(m->top);
	g_free(m->dev_fuse);
	g_free(m->fuse_conf);
	g_free(m->proc);
}

static const struct finding *find(const struct findings *f, const char *check)
{
	for (guint i = 0; i < f->list->len; i++) {
		const struct finding *n = g_ptr_array_index(f->list, i);

		if (!strcmp(n->check, check))
			return n;
	}
	fail_msg("no finding about %s", check);
	return NULL;
}

static void without_fuse(void **state)
{
	struct machine m;
	struct findings f;
	const struct finding *n;

	(void)state;
	make(&m);
	findings_init(&f);
	doctor_fuse(&f, &m.paths);
	n = find(&f, "FUSE device");
	assert_int_equal(n->level, FINDING_FAILED);
	assert_non_null(strstr(n->mend, "modprobe fuse"));
	assert_int_equal(find(&f, "fuse.conf")->level, FINDING_NOTE);
	assert_int_equal(findings_worst(&f), FINDING_FAILED);
	g_autofree char *text = findings_text(&f, false);

	assert_non_null(strstr(text, "mend it: sudo modprobe fuse"));
	findings_release(&f);
	release(&m);
}

static void with_fuse(void **state)
{
	static const struct {
		const char *conf;
		enum finding_level level;
	} rows[] = {
		{ "user_allow_other\n", FINDING_OK },
		{ "  user_allow_other  \nmount_max = 10\n", FINDING_OK },
		{ "#user_allow_other\n", FINDING_NOTE },
		{ "", FINDING_NOTE },
	};
	struct machine m;

	(void)state;
	make(&m);
	put(m.dev_fuse, "");
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct findings f;

		put(m.fuse_conf, rows[i].conf);
		findings_init(&f);
		doctor_fuse(&f, &m.paths);
		assert_int_equal(find(&f, "FUSE device")->level, FINDING_OK);
		assert_int_equal(find(&f, "fuse.conf")->level, rows[i].level);
		findings_release(&f);
	}
	release(&m);
}

static void limits(void **state)
{
	struct machine m;
	struct findings f;
	const struct finding *n;
	g_autofree char *watches = NULL;

	(void)state;
	make(&m);
	watches = g_build_filename(
		m.proc, "sys/fs/inotify/max_user_watches", NULL);
	put(watches, "8192\n");
	findings_init(&f);
	doctor_machine(&f, &m.paths);
	n = find(&f, "inotify watches");
	assert_int_equal(n->level, FINDING_WARNING);
	assert_non_null(strstr(n->mend, "max_user_watches=524288"));
	findings_release(&f);
	put(watches, "524288\n");
	findings_init(&f);
	doctor_machine(&f, &m.paths);
	assert_int_equal(find(&f, "inotify watches")->level, FINDING_OK);
	assert_int_equal(find(&f, "state directory")->level, FINDING_OK);
	findings_release(&f);
	release(&m);
}

static void config(void **state)
{
	struct machine m;
	struct findings f;
	g_autofree char *file = NULL;

	(void)state;
	make(&m);
	file = cli_config_file();
	put(file, "{\"sandboxes\": }");
	findings_init(&f);
	doctor_machine(&f, &m.paths);
	assert_int_equal(find(&f, "config file")->level, FINDING_FAILED);
	findings_release(&f);
	put(file, "{\"sandboxes\":{\"a\":{\"apiKey\":\"sesame\"}}}");
	assert_int_equal(chmod(file, 0644), 0);
	findings_init(&f);
	doctor_machine(&f, &m.paths);
	assert_int_equal(find(&f, "config file")->level, FINDING_WARNING);
	g_autofree char *text = findings_text(&f, true);

	assert_null(strstr(text, "sesame"));
	findings_release(&f);
	release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_fuse), cmocka_unit_test(with_fuse),
		cmocka_unit_test(limits), cmocka_unit_test(config),
	};

	g_autofree char *home =
		g_dir_make_tmp("sandmount-home-XXXXXX", NULL);
	int failed;

	g_setenv("XDG_STATE_HOME", home, TRUE);
	g_setenv("XDG_CONFIG_HOME", home, TRUE);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_all(home);
	return failed;
}
