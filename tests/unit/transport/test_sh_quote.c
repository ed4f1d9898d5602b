/* Words and whole command lines for the other side's shells, asked of the
 * shells of this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <glib.h>

#include "transport/sh_quote.h"

/* What SHELL prints for COMMAND. */
static char *ask(const char *shell, const char *command)
{
	const char *argv[] = { shell, "-c", command, NULL };
	char *out = NULL;
	int status = -1;

	assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
		G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status, NULL));
	assert_true(WIFEXITED(status));
	return out;
}

/* Every byte but NUL, in one word. */
static char *all_bytes(void)
{
	GString *s = g_string_new(NULL);

	for (int c = 1; c < 256; c++)
		g_string_append_c(s, (char)c);
	return g_string_free(s, FALSE);
}

static const char *const shells[] = { "sh", "bash", "dash", "zsh", "fish",
	"tcsh", "busybox" };

static void test_words_arrive_whole(void **state)
{
	(void)state;
	g_autofree char *all = all_bytes();
	const char *args[] = { all, "", "-n", "'\"\\", "a\nb\n", "!x!", NULL };
	g_autofree char *line = sh_any_login(
		"printf '[%s]' \"$@\"; exit 0", args);
	GString *want = g_string_new(NULL);

	for (size_t i = 0; args[i]; i++)
		g_string_append_printf(want, "[%s]", args[i]);
	for (const char *p = line; *p; p++)
		assert_true(*p >= ' ' && *p < 127);
	for (size_t i = 0; i < G_N_ELEMENTS(shells); i++) {
		g_autofree char *path = g_find_program_in_path(shells[i]);
		bool is_box = !strcmp(shells[i], "busybox");
		g_autofree char *quoted = is_box ? g_shell_quote(line) : NULL;
		g_autofree char *boxed = is_box
			? g_strdup_printf("busybox sh -c %s", quoted) : NULL;

		if (!path)
			continue;
		g_autofree char *got = ask(is_box ? "sh" : shells[i],
			is_box ? boxed : line);

		assert_string_equal(got, want->str);
	}
	g_string_free(want, TRUE);
}

static void test_the_exit_code_comes_back(void **state)
{
	(void)state;
	g_autofree char *line = sh_any_login("exit 7", NULL);
	const char *argv[] = { "sh", "-c", line, NULL };
	int status = 0;

	assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
		G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
	assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_arrive_whole),
		cmocka_unit_test(test_the_exit_code_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
