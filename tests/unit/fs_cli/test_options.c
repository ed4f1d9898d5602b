/* What the words of a command line, of -o and of the config file make of a
 * session's options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "merge/lib/fail.h"

#include <cmocka.h>

enum { WORDS = 12 };

/* The options of "mount WORDS... local:/w", or NULL with *WHY. */
static struct session_options *parse(const char *const words[WORDS],
	struct mount_options *m, GHashTable *config, char **why)
{
	g_autoptr(GError) error = NULL;
	struct session_options *o = NULL;
	char *argv[WORDS + 3] = { (char *)"mount" };
	char **at = argv;
	int argc = 1, code = -1;

	*m = (struct mount_options){ 0 };
	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	argv[argc++] = (char *)"local:/w";
	if (!mount_options_parse(m, &argc, &at, true, &code)) {
		*why = g_strdup_printf("exit %d", code);
		return NULL;
	}
	assert_string_equal(at[1], "local:/w");
	if (mount_options_add(m, config, &error) == 0)
		o = mount_options_session(m, &error);
	*why = o ? NULL : g_strdup(error->message);
	if (!o)
		assert_true(g_error_matches(error, FAIL, FAIL_USAGE));
	return o;
}

static void words(void **state)
{
	static const char *const line[WORDS] = { "--gitignore", "--timeout",
		"2.5", "--exclude", "*.o", "--exclude=/build", "--asset",
		"tools=/opt//x/../tools" };
	struct mount_options m;
	g_autofree char *why = NULL;
	struct session_options *o = parse(line, &m, NULL, &why);

	(void)state;
	assert_non_null(o);
	assert_true(o->gitignore);
	assert_false(o->read_only);
	assert_int_equal(o->timeout_ms, 2500);
	assert_int_equal(o->trash_days, 14);
	assert_string_equal(o->exclude[0], "*.o");
	assert_string_equal(o->exclude[1], "/build");
	assert_null(o->exclude[2]);
	assert_string_equal(o->assets[0], "tools=/opt/tools");
	session_options_free(o);
	mount_options_release(&m);
}

/* As mount(8) hands them on: ours, the usual ones of fstab, libfuse's. */
static void words_of_fstab(void **state)
{
	static const char *const line[WORDS] = { "-o",
		"rw,_netdev,x-systemd.automount,gitignore,ro,poll=3,max_read=4",
		"-o", "trash-days=3,allow_other,exclude=a,exclude=b" };
	struct mount_options m;
	g_autofree char *why = NULL;
	struct session_options *o = parse(line, &m, NULL, &why);

	(void)state;
	assert_non_null(o);
	assert_true(o->gitignore && o->read_only && m.allow_other);
	assert_true(o->poll_seconds > 2.9 && o->poll_seconds < 3.1);
	assert_int_equal(o->trash_days, 3);
	assert_string_equal(o->exclude[1], "b");
	assert_string_equal(m.fuse[0], "max_read=4");
	assert_null(m.fuse[1]);
	session_options_free(o);
	mount_options_release(&m);
}

static GHashTable *config_of(const char *name, const char *value)
{
	GHashTable *config = g_hash_table_new_full(g_str_hash, g_str_equal,
		g_free, (GDestroyNotify)g_ptr_array_unref);
	GPtrArray *values = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(values, g_strdup(value));
	g_hash_table_insert(config, g_strdup(name), values);
	return config;
}

/* The command line goes before the config file; lists are joined. */
static void the_config_file(void **state)
{
	static const struct {
		const char *name, *value, *error;
	} rows[] = {
		{ "timeout", "9", NULL }, { "exclude", "c", NULL },
		{ "gitignore", "true", NULL }, { "gitignore", "false", NULL },
		{ "gitignore", "perhaps", "gitignore" },
		{ "trash-days", "many", "trash-days" },
		{ "trash-days", "-1", "trash-days" },
		{ "timeout", "nan", "timeout" }, { "timeout", "", "timeout" },
		{ "colour", "red", "\"colour\" is no option" },
	};
	static const char *const line[WORDS] = { "--timeout", "2",
		"--exclude", "a" };

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GHashTable) config =
			config_of(rows[i].name, rows[i].value);
		struct mount_options m;
		g_autofree char *why = NULL;
		struct session_options *o = parse(line, &m, config, &why);

		if (rows[i].error) {
			assert_null(o);
			assert_non_null(strstr(why, rows[i].error));
		} else {
			assert_non_null(o);
			assert_int_equal(o->timeout_ms, 2000);
			assert_string_equal(o->exclude[0], "a");
			assert_int_equal(o->gitignore,
				!strcmp(rows[i].value, "true"));
			session_options_free(o);
		}
		mount_options_release(&m);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;	/* 0: refused */
	} rows[] = {
		{ "1", 1 }, { "10K", 10240 }, { "500M", 500 << 20 },
		{ "2G", INT64_C(2) << 30 }, { "3T", INT64_C(3) << 40 },
		{ "9223372036854775807", INT64_MAX },
		{ "9223372036854775808", 0 }, { "9999999T", 0 }, { "0", 0 },
		{ "", 0 }, { "M", 0 }, { "-1", 0 }, { "1X", 0 }, { "1MB", 0 },
		{ " 1", 0 }, { "1 ", 0 }, { "1.5G", 0 },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *const line[WORDS] = { "--cache-limit",
			rows[i].text };
		struct mount_options m;
		g_autofree char *why = NULL;
		struct session_options *o = parse(line, &m, NULL, &why);

		if (!!o != !!rows[i].bytes ||
			(o && o->cache_limit != rows[i].bytes))
			fail_msg("\"%s\": %s", rows[i].text, why);
		session_options_free(o);
		mount_options_release(&m);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *line[WORDS];
		const char *error;
	} rows[] = {
		{ { "--on-conflict", "mine" }, "--on-conflict" },
		{ { "--fsync", "never" }, "--fsync" },
		{ { "--prefetch", "some" }, "--prefetch" },
		{ { "--progress", "loud" }, "--progress" },
		{ { "--timeout=-1" }, "--timeout" },
		{ { "--trash-days=-1" }, "--trash-days" },
		{ { "--runtime-dir", "a/b" }, "--runtime-dir" },
		{ { "--runtime-dir", ".." }, "--runtime-dir" },
		{ { "--asset", "tools" }, "KEY=DIR" },
		{ { "--asset", "../x=/y" }, "KEY=DIR" },
		{ { "--asset", "=/y" }, "KEY=DIR" },
		{ { "--exclude-from", "/nonexistent" }, "/nonexistent" },
		{ { "--local", "/tmp", "--cache-limit", "1G" }, "--local" },
		{ { "-o", "trash-days=x" }, "exit 2" },
		{ { "--no-such-option" }, "exit 2" },
		{ { "one", "two" }, "exit 2" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct mount_options m;
		g_autofree char *why = NULL;
		struct session_options *o =
			parse(rows[i].line, &m, NULL, &why);

		assert_null(o);
		if (!strstr(why, rows[i].error))
			fail_msg("row %zu: %s", i, why);
		mount_options_release(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(words_of_fstab),
		cmocka_unit_test(the_config_file),
		cmocka_unit_test(sizes),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
