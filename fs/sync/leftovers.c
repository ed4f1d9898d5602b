/*
 * Temporary files that the session makes in the mirror, and a kill leaves there.
 *
 * Everything in the mirror is the user's, so a name alone tells nothing: before
 * such a file is made, the state says under which id that will be; ids are never
 * used twice. Whoever opens the session next takes exactly those names out of
 * the mirror, before it is looked at. They go to the trash, not away: what was
 * exchanged already lies there under the temporary's name, and may be the last
 * of its kind.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/scan.h"

static const char note[] = "mirror-writing";

int leftovers_expect(struct session *s, const char *id, GError **err)
{
	return state_set(s->state, note, id, err);
}

void leftovers_none(struct session *s)
{
	g_autoptr(GError) why = NULL;

	/* One more look at the next start is all that this costs. */
	if (state_set(s->state, note, NULL, &why) < 0)
		log_write(LOG_WARNING, "%s", why->message);
}

/* "…/.sandmount-<ID>-<digits>.tmp" */
static bool is_leftover(const char *path, const char *id)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	g_autofree char *prefix = g_strdup_printf(".sandmount-%s-", id);
	size_t n;

	if (!g_str_has_prefix(name, prefix))
		return false;
	name += strlen(prefix);
	n = strspn(name, "0123456789");
	return n > 0 && !strcmp(name + n, ".tmp");
}

static int move_to_trash(struct session *s, const char *path,
	const char *trash)
{
	g_autofree char *to = path_join(trash, path);
	g_autofree char *dir = path_parent(to);
	int r = beneath_mkdir_all(s->dir_fd, dir, 0700);

	return r < 0 ? r : beneath_rename(s->mirror_fd, path, s->dir_fd, to, 0);
}

static int sweep(struct session *s, const char *id, GError **err)
{
	struct scan_options o = {
		.hash = SCAN_HASH_NONE, .stubs = SCAN_STUBS, .keep_temps = true,
	};
	g_autofree char *trash = g_strdup_printf(
		"trash/leftover-%" PRId64, io_wall_ns() / 1000000);
	g_autoptr(manifest_auto) all = NULL;
	int failed = 0;

	if (scan_tree(s->mirror_fd, &o, &all, NULL, err) < 0)
		return -EIO;
	for (size_t i = 0; i < manifest_count(all); i++) {
		const char *path = manifest_at(all, i)->path;
		int r = is_leftover(path, id) ? move_to_trash(s, path, trash)
					      : 0;

		if (r == 0)
			continue;
		log_write(LOG_WARNING, "move %s from the mirror to %s: %s",
			path, trash, g_strerror(-r));
		failed = r;
	}
	return failed;
}

int leftovers_sweep(struct session *s, GError **err)
{
	g_autofree char *id = state_get(s->state, note);
	int r = id ? sweep(s, id, err) : 0;

	if (r < 0)
		return err && *err ? r : 0;	/* logged; the note stays */
	return id ? leftovers_expect(s, NULL, err) : 0;
}
