#include "fs/sync/specials.h"

#include <string.h>

#include "fs/mirror/state.h"
#include "fs/sync/internal.h"
#include "merge/lib/path.h"
#include "transport/json.h"

#define STATE_NAME "specials"

enum { SPECIALS_MAX = 4096 };

/* Paths are bytes: as base64. */
static GHashTable *parse(const char *text)
{
	GHashTable *paths = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);
	struct json *j = text ? json_parse(text, strlen(text), NULL) : NULL;

	for (size_t i = 0; j && i < json_count(j); i++) {
		const char *coded = json_string(json_at(j, i));
		gsize len = 0;
		g_autofree guchar *raw =
			coded ? g_base64_decode(coded, &len) : NULL;

		if (raw && path_check((char *)raw, len) == 0)
			g_hash_table_add(paths, g_strndup((char *)raw, len));
	}
	json_free(j);
	return paths;
}

static gint by_path(gconstpointer a, gconstpointer b)
{
	return path_compare(a, b);
}

/* Sorted, so that equal sets are equal texts; NULL when there are none. */
static char *print(GHashTable *paths)
{
	GList *sorted = g_list_sort(g_hash_table_get_keys(paths), by_path);
	struct json *j = json_new_array();
	char *text;

	for (GList *l = sorted; l; l = l->next) {
		g_autofree char *coded = g_base64_encode(
			l->data, strlen(l->data));

		json_append_string(j, coded);
	}
	g_list_free(sorted);
	text = json_count(j) ? json_to_text(j, false) : NULL;
	json_free(j);
	return text;
}

int specials_note(struct session *s, const struct tree_listing *l, GError **err)
{
	g_autofree char *was = state_get(s->state, STATE_NAME);
	g_autoptr(GHashTable) paths = parse(l->full ? NULL : was);
	g_autofree char *now = NULL;

	for (guint i = 0; !l->full && i < l->gone->len; i++)
		g_hash_table_remove(paths, g_ptr_array_index(l->gone, i));
	for (size_t i = 0; i < manifest_count(l->entries); i++) {
		const struct entry *e = manifest_at(l->entries, i);

		if (e->type != ENTRY_SPECIAL)
			g_hash_table_remove(paths, e->path);
		else if (g_hash_table_size(paths) < SPECIALS_MAX)
			g_hash_table_add(paths, g_strdup(e->path));
	}
	now = print(paths);
	if (g_strcmp0(was, now) == 0)
		return 0;
	return state_set(s->state, STATE_NAME, now, err);
}

void specials_add(struct session *s, struct manifest **theirs)
{
	g_autofree char *text = state_get(s->state, STATE_NAME);
	g_autoptr(GHashTable) paths = parse(text);
	struct manifest *all;
	GHashTableIter it;
	gpointer path;

	if (g_hash_table_size(paths) == 0)
		return;
	all = manifest_new();
	for (size_t i = 0; i < manifest_count(*theirs); i++)
		manifest_add(all, manifest_at(*theirs, i));
	g_hash_table_iter_init(&it, paths);
	while (g_hash_table_iter_next(&it, &path, NULL)) {
		struct entry e = { .path = path, .type = ENTRY_SPECIAL };

		if (!manifest_find(*theirs, path))
			manifest_add(all, &e);
	}
	manifest_sort(all);
	manifest_free(*theirs);
	*theirs = all;
}
