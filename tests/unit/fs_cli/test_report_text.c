#include "fs/cli/report_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "fs/cli/pager.h"
#include "fs/cli/report_tree.h"
#include "fs/cli/status_text.h"
#include "merge/git_diff.h"
#include "transport/json.h"

static struct json *parse(const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);

	assert_non_null(j);
	return j;
}

static void summaries(void **state)
{
	static const struct {
		const char *report, *text;
	} rows[] = {
		{ "{}", "nothing to bring home" },
		{ "{\"undo\":true}", "nothing to undo" },
		{ "{\"applied\":[{\"path\":\"a\",\"kind\":\"file\","
		  "\"action\":\"created\"}]}", "1 file (1 new) came home" },
		{ "{\"dry_run\":true,\"applied\":[{\"path\":\"a\","
		  "\"kind\":\"dir\",\"action\":\"created\"}],"
		  "\"deleted\":[{\"path\":\"b\"},{\"path\":\"c\"}]}",
		  "1 directory would come home, 2 files would be deleted" },
		{ "{\"merged\":[{\"path\":\"a\"},{\"path\":\"b\"}],"
		  "\"conflicts\":[{\"path\":\"c\"}],\"held\":[{\"path\":\"d\"},"
		  "{\"path\":\"e\"}],\"kept_local\":[{\"path\":\"f\"}]}",
		  "2 files merged, 1 conflict, 2 paths held back, 1 path kept "
		  "as you have it" },
		{ "{\"undo\":true,\"applied\":[{\"path\":\"a\",\"kind\":"
		  "\"file\",\"action\":\"undone\"}]}", "1 file undone" },
		/* What is no list counts as none. */
		{ "{\"applied\":7,\"held\":null}", "nothing to bring home" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct json *j = parse(rows[i].report);
		g_autofree char *text = report_summary(j);

		assert_string_equal(text, rows[i].text);
		json_free(j);
	}
}

static void words(void **state)
{
	static const char *const rows[][2] = {
		{ "a/b-c.txt", "a/b-c.txt" }, { "a b", "'a b'" },
		{ "it's", "$'it\\'s'" }, { "-n", "'-n'" }, { "~x", "'~x'" },
		{ "a\nb", "$'a\\nb'" }, { "\xff", "$'\\xFF'" },
		{ "$(rm)", "'$(rm)'" }, { "back\\slash", "$'back\\\\slash'" },
		{ "", "''" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *w = shell_word(rows[i][0]);

		assert_string_equal(w, rows[i][1]);
	}
}

/* A hostile report: nothing of it reaches the terminal raw. */
static void escapes(void **state)
{
	struct json *j = parse("{\"applied\":[{\"path\":\"\\u001b[2J\","
		"\"kind\":\"file\",\"action\":\"created\"}],\"conflicts\":[{"
		"\"path\":\"a\\u001b]0;x\\u0007\",\"copy\":\"b\\u001bc\","
		"\"why\":\"w\"}],\"held\":[{\"path_base64\":\"/xsK\","
		"\"why\":\"w\",\"action\":\"held\"}],\"note\":\"n\\u001b\"}");
	struct report_style style = { .name = "box", .code = 3 };
	g_autofree char *text = report_text(j, &style);

	(void)state;
	assert_null(strchr(text, '\033'));
	assert_null(strchr(text, '\a'));
	assert_non_null(strstr(text, "\\xFF\\x1B\\n"));
	assert_true(g_utf8_validate(text, -1, NULL));
	json_free(j);
}

static void tree(void **state)
{
	struct report_tree *t = report_tree_new();
	GString *out = g_string_new(NULL);

	(void)state;
	report_tree_print(t, out, false);
	assert_string_equal(out->str, "");
	report_tree_add(t, "b/c", false, TREE_NEW);
	report_tree_add(t, "a", true, TREE_DELETED);
	report_tree_print(t, out, false);
	assert_string_equal(out->str,
		"  a/   deleted\n  b/\n    c  new\n");
	for (int i = 0; i < 30; i++) {
		g_autofree char *path = g_strdup_printf("b/d/%d", i);

		report_tree_add(t, path, false, TREE_CHANGED);
	}
	g_string_truncate(out, 0);
	report_tree_print(t, out, false);
	assert_string_equal(out->str,
		"  a/  deleted\n  b/  1 new, 30 changed\n");
	report_tree_free(t);
	g_string_free(out, TRUE);
}

static void amounts(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} bytes[] = {
		{ 0, "0 bytes" }, { 1, "1 byte" }, { 999, "999 bytes" },
		{ 1000, "1.0 kB" }, { 1234567, "1.2 MB" },
		{ 999960, "1.0 MB" }, { 5000000000, "5.0 GB" },
	}, times[] = {
		{ 0, "0 s" }, { 59999, "59 s" }, { 60000, "1 min" },
		{ 3600000, "1 h" }, { 7500000, "2 h 5 min" },
		{ 260000000, "3 days" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(bytes); i++) {
		g_autofree char *t = bytes_text(bytes[i].n);

		assert_string_equal(t, bytes[i].text);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
		g_autofree char *t = duration_text((int64_t)times[i].n);

		assert_string_equal(t, times[i].text);
	}
}

static char *diff(const char *path, const char *a, const char *b, unsigned mode)
{
	struct git_side old = { a ? g_bytes_new(a, strlen(a)) : NULL,
		0100644 };
	struct git_side new = { b ? g_bytes_new(b, strlen(b)) : NULL, mode };
	char *text = git_diff_path(path, &old, &new);

	if (old.bytes)
		g_bytes_unref(old.bytes);
	if (new.bytes)
		g_bytes_unref(new.bytes);
	return text;
}

static void diffs(void **state)
{
	g_autofree char *none = diff("a", NULL, NULL, 0);
	g_autofree char *edit = diff("x y", "a\n", "b\n", 0100644);
	g_autofree char *empty = diff("e", NULL, "", 0100755);
	g_autofree char *link = diff("l", "f\n", "to", 0120000);
	g_autofree char *mode = diff("\n", "a", "a", 0100755);
	g_autofree char *tinted = color_diff(edit);

	(void)state;
	assert_string_equal(none, "");
	assert_string_equal(edit, "diff --git a/x y b/x y\n"
		"index 7898192..6178079 100644\n--- a/x y\t\n+++ b/x y\t\n"
		"@@ -1 +1 @@\n-a\n+b\n");
	assert_string_equal(empty, "diff --git a/e b/e\nnew file mode 100755\n"
		"index 0000000..e69de29\n");
	assert_non_null(strstr(link, "deleted file mode 100644\n"));
	assert_non_null(strstr(link, "new file mode 120000\n"));
	assert_string_equal(mode, "diff --git \"a/\\n\" \"b/\\n\"\n"
		"old mode 100644\nnew mode 100755\n");
	assert_non_null(strstr(tinted, "\033[31m-a\033[0m\n\033[32m+b\033[0m"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(summaries), cmocka_unit_test(words),
		cmocka_unit_test(escapes), cmocka_unit_test(tree),
		cmocka_unit_test(amounts), cmocka_unit_test(diffs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
