#include "transport/sh_group.h"

#include "transport/sh_quote.h"

enum { WORDS_LIMIT = 48 * 1024 };

struct command {
	char *begin;
	GPtrArray *words;	/* GString, each one command's words */
};

struct sh_group {
	GHashTable *by_begin;	/* char * of the command -> struct command */
	GPtrArray *commands;	/* struct command, owned, in order */
};

static void free_words(gpointer words)
{
	g_string_free(words, TRUE);
}

static void free_command(gpointer data)
{
	struct command *c = data;

	g_ptr_array_free(c->words, TRUE);
	g_free(c->begin);
	g_free(c);
}

struct sh_group *sh_group_new(void)
{
	struct sh_group *g = g_new0(struct sh_group, 1);

	g->by_begin = g_hash_table_new(g_str_hash, g_str_equal);
	g->commands = g_ptr_array_new_with_free_func(free_command);
	return g;
}

static struct command *command_of(struct sh_group *g, const char *begin)
{
	struct command *c = g_hash_table_lookup(g->by_begin, begin);

	if (c)
		return c;
	c = g_new0(struct command, 1);
	c->begin = g_strdup(begin);
	c->words = g_ptr_array_new_with_free_func(free_words);
	g_ptr_array_add(g->commands, c);
	g_hash_table_insert(g->by_begin, c->begin, c);
	return c;
}

void sh_group_add(struct sh_group *g, const char *begin, const char *word)
{
	struct command *c = command_of(g, begin);
	GString *words = c->words->len
		? g_ptr_array_index(c->words, c->words->len - 1) : NULL;

	if (!words || words->len > WORDS_LIMIT) {
		words = g_string_new(NULL);
		g_ptr_array_add(c->words, words);
	}
	sh_append_path(words, word);
}

void sh_group_end(struct sh_group *g, GString *script, const char *end)
{
	for (guint i = 0; i < g->commands->len; i++) {
		const struct command *c = g_ptr_array_index(g->commands, i);

		for (guint j = 0; j < c->words->len; j++) {
			const GString *words = g_ptr_array_index(c->words, j);

			g_string_append(script, c->begin);
			g_string_append_len(
				script, words->str, (gssize)words->len);
			g_string_append(script, end);
			g_string_append_c(script, '\n');
		}
	}
	g_ptr_array_free(g->commands, TRUE);
	g_hash_table_destroy(g->by_begin);
	g_free(g);
}
