/* The way to the sandbox: opened once, and checked to be the one we know. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fs/mirror/state.h"
#include "fs/sync/internal.h"
#include "merge/lib/fail.h"

/* A sandbox made anew can hold an older copy of the workspace, our mark
 * included (an image, a volume's backup). What such a one says is no news of
 * what was acknowledged: FAIL_GONE, until everything is sent again. */
static int check_identity(struct session *s, bool is_new,
	const struct call *call, GError **err)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *known = state_get(s->state, "sandbox-identity");
	g_autofree char *now = remote_identity(s->remote, call, &why);

	if (why) {
		g_propagate_error(err, g_steal_pointer(&why));
		return -EIO;
	}
	if (!now || g_strcmp0(known, now) == 0)
		return 0;
	if (is_new || !known)
		return state_set(s->state, "sandbox-identity", now, err);
	return fail(err, FAIL_GONE,
		"sandbox %s:%s: was replaced by another of that name; "
		"`sandmount restore %s` merges what the mirror holds, "
		"`prepare` sends it to the new one", s->spec->provider,
		s->spec->sandbox_id, s->name);
}

int session_connect(struct session *s, GError **err)
{
	struct tree_config c = {
		.session_id = s->id,
		.runtime_dir = s->options->runtime_dir,
		/* A workspace that held our work and is gone must be noticed,
		 * not made anew. */
		.create = state_count(s->state, STATE_ACK_REMOTE) == 0,
	};
	struct call call = session_call(s);
	g_autofree char *applied = state_get(s->state, "applied");

	if (s->tree)
		return 0;
	c.applied = applied ? strtoull(applied, NULL, 10) : 0;
	if (!s->remote)
		s->remote = remote_open(s->spec, &call, err);
	if (!s->remote || check_identity(s, c.create, &call, err) < 0)
		return -EIO;
	s->tree = tree_open(s->remote, &c, &call, err);
	if (!s->tree)
		return -EIO;
	if (tree_is_fresh(s->tree) && session_note_applied(s, err) < 0) {
		tree_close(s->tree);
		s->tree = NULL;
		return -EIO;
	}
	lifetime_renew(s, NULL);
	return 0;
}

int session_note_applied(struct session *s, GError **err)
{
	g_autofree char *text =
		g_strdup_printf("%" PRIu64, tree_applied(s->tree));

	return state_set(s->state, "applied", text, err);
}
