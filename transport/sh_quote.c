#include "transport/sh_quote.h"

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
