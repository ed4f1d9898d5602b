/*
 * What the workspace moved since the baseline: facts for the restore, which
 * otherwise knows a rename only by equal bytes. One value of the state database,
 * a line "FROM TO" a move, in order, both percent-encoded. So many that the value
 * would be long to write are not kept: a fact that is missing costs nothing.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <string.h>

#include "fs/mirror/state.h"
#include "merge/reconcile.h"

#define MOVES "moves"
#define UNDO_MOVES "undo-moves"

enum { MOVES_LIMIT = 256 * 1024 };

static char *encoded(const char *path)
{
	return g_uri_escape_string(path, "/", FALSE);
}

int moves_note(struct session *s, GPtrArray *pairs, GError **err)
{
	g_autofree char *old = state_get(s->state, MOVES);
	g_autoptr(GString) all = g_string_new(old);

	if (!s->options->local || !pairs->len)
		return 0;
	for (guint i = 0; i + 1 < pairs->len; i += 2) {
		g_autofree char *from = encoded(g_ptr_array_index(pairs, i));
		g_autofree char *to = encoded(g_ptr_array_index(pairs, i + 1));

		g_string_append_printf(all, "%s %s\n", from, to);
	}
	return all->len > MOVES_LIMIT
		? 0 : state_set(s->state, MOVES, all->str, err);
}

static void free_move(gpointer p)
{
	struct reconcile_move *m = p;

	g_free((char *)m->from);
	g_free((char *)m->to);
}

GArray *moves_load(struct session *s)
{
	g_autofree char *text = state_get(s->state, MOVES);
	g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
	GArray *moves = g_array_new(
		FALSE, FALSE, sizeof(struct reconcile_move));

	g_array_set_clear_func(moves, free_move);
	for (char **l = lines; *l; l++) {
		char *blank = strchr(*l, ' ');
		struct reconcile_move m;

		if (!blank)
			continue;
		*blank = '\0';
		m.from = g_uri_unescape_string(*l, NULL);
		m.to = g_uri_unescape_string(blank + 1, NULL);
		if (m.from && m.to)
			g_array_append_val(moves, m);
		else
			free_move(&m);
	}
	return moves;
}

int moves_keep_for_undo(struct session *s, GError **err)
{
	g_autofree char *moves = state_get(s->state, MOVES);

	return state_set(s->state, UNDO_MOVES, moves, err);
}

int moves_forget(struct session *s, GError **err)
{
	return state_set(s->state, MOVES, NULL, err);
}

int moves_undone(struct session *s, GError **err)
{
	g_autofree char *before = state_get(s->state, UNDO_MOVES);
	g_autofree char *since = state_get(s->state, MOVES);
	g_autofree char *all = NULL;

	/* What was not settled is in both. */
	if (before && since && g_str_has_prefix(since, before))
		return state_set(s->state, UNDO_MOVES, NULL, err);
	all = g_strconcat(before ? before : "", since ? since : "", NULL);
	return state_set(s->state, MOVES, *all ? all : NULL, err) < 0
		? -EIO : state_set(s->state, UNDO_MOVES, NULL, err);
}
