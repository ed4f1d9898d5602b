#include "transport/sh_quote.h"

#include <stdbool.h>

#include <string.h>

static void append_quoted(GString *script, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			g_string_append(script, "'\\''");
		else
			g_string_append_c(script, *text);
}

void sh_append_word(GString *script, const char *word)
{
	g_string_append(script, " '");
	append_quoted(script, word);
	g_string_append_c(script, '\'');
}

void sh_join_path(GString *script, const char *path)
{
	g_string_append(script, "'./");
	append_quoted(script, path);
	g_string_append_c(script, '\'');
}

void sh_append_path(GString *script, const char *path)
{
	g_string_append_c(script, ' ');
	sh_join_path(script, path);
}

/* TEXT for printf %b, in characters that no shell treats differently. */
static void append_octal(GString *line, const char *text)
{
	for (; *text; text++)
		if (g_ascii_isalnum(*text) || strchr(" _./,:=+-", *text))
			g_string_append_c(line, *text);
		else
			g_string_append_printf(
				line, "\\0%03o", (unsigned char)*text);
}

char *sh_any_login(const char *script, const char *const *args)
{
	GString *text = g_string_new("set -- sh -c");
	GString *line = g_string_new("exec sh -c \'eval \"$(printf %b \"");

	sh_append_word(text, script);
	g_string_append(text, " sh");
	for (; args && *args; args++)
		sh_append_word(text, *args);
	/* A process that leads its group already must not go through setsid,
	 * which would not wait for it. */
	g_string_append(text,
		"; kill -0 -$$ 2>/dev/null || ! command -v setsid >/dev/null "
		"2>&1 || exec setsid \"$@\"; exec \"$@\"");
	append_octal(line, text->str);
	g_string_append(line, "\")\"\'");
	g_string_free(text, TRUE);
	return g_string_free(line, FALSE);
}

const char sh_unpack_args[] = "eval \"$(printf %s \"$1\" | base64 -d)\"\n";

static bool are_text(const char *const *args)
{
	for (; args && *args; args++)
		if (!g_utf8_validate(*args, -1, NULL))
			return false;
	return true;
}

char *sh_pack_args(const char *const *args)
{
	GString *s;
	char *text;

	if (are_text(args))
		return NULL;
	s = g_string_new("set --");
	for (; *args; args++)
		sh_append_word(s, *args);
	text = g_base64_encode((const guchar *)s->str, s->len);
	g_string_free(s, TRUE);
	return text;
}
