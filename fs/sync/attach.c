/*
 * A workspace that only the sandbox has: one listing becomes a mirror of
 * directories, links and stubs.
 *
 * Nothing of it is shown before the baseline is "done": killed earlier, the
 * next attach begins again with an empty mirror.
 */
#include "fs/sync/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/content.h"
#include "fs/mirror/state.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"

struct attach {
	struct session *s;
	struct tree_listing *listing;
	struct manifest *mirror, *remote;	/* the rows */
};

static int empty_mirror(struct session *s, GError **err)
{
	int fd = beneath_open(s->mirror_fd, "", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = d ? 0 : -EIO;

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = beneath_remove_all(s->mirror_fd, e->d_name);
		if (r < 0)
			break;
	}
	if (d)
		closedir(d);
	return r < 0 ? fail_errno(err, r, "empty %s/mirror", s->dir) : 0;
}

static int make_dir(int root, const struct entry *e)
{
	int r = beneath_mkdir(root, e->path, 0700);

	/* We must get through whatever the sandbox's mode says. */
	return r < 0 ? r : beneath_chmod(
				   root, e->path, (e->mode & 0777) | 0700);
}

static int make_link(int root, const struct entry *e)
{
	int r = beneath_symlink(root, e->path, e->target);

	return r < 0 ? r : beneath_set_mtime(root, e->path, e->mtime_ns);
}

/* Makes E in the mirror; *ST is what it is there. */
static int make(int root, const struct entry *e, struct stat *st)
{
	int r = -EINVAL;

	switch ((enum entry_type)e->type) {
	case ENTRY_FILE:
		return content_make_stub(root, e->path, e, st);
	case ENTRY_DIR:
		r = make_dir(root, e);
		break;
	case ENTRY_LINK:
		r = make_link(root, e);
		break;
	case ENTRY_ABSENT:
	case ENTRY_SPECIAL:
		return -ENODATA;
	}
	return r < 0 ? r : beneath_stat(root, e->path, st);
}

static int take_entry(struct attach *a, const struct entry *e, GError **err)
{
	struct entry row;
	struct stat st;
	int r;

	/* What has a preserved name is the sandbox's own affair. */
	if (e->type == ENTRY_SPECIAL || session_is_preserved(a->s, e->path))
		return 0;
	r = make(a->s->mirror_fd, e, &st);
	if (r < 0) {
		g_autofree char *shown = path_display(e->path);

		return fail_errno(err, r, "attach: make %s in %s/mirror",
			shown, a->s->dir);
	}
	entry_from_stat(&row, &st);
	row.path = e->path;
	row.target = e->target;
	if (row.type == ENTRY_FILE)
		row.mode &= (uint16_t)~S_ISVTX;
	manifest_add(a->mirror, &row);
	manifest_add(a->remote, e);
	return 0;
}

static int take_all(struct attach *a, GError **err)
{
	const struct manifest *m = a->listing->entries;
	size_t n = manifest_count(m);

	for (size_t i = 0; i < n; i++) {
		if (take_entry(a, manifest_at(m, i), err) < 0)
			return -EIO;
		if (i % 256 == 0)
			session_step(a->s, "attaching", i, n, false);
		if (cancel_is_raised(a->s->cancel))
			return fail(err, FAIL_CANCELLED,
				"attach: interrupted; run it again");
	}
	manifest_sort(a->mirror);
	manifest_sort(a->remote);
	return 0;
}

static int store(struct attach *a, GError **err)
{
	struct state *state = a->s->state;

	if (state_begin(state, err) < 0)
		return -EIO;
	if (state_store(state, STATE_ACK_MIRROR, a->mirror, err) < 0 ||
		state_store(state, STATE_ACK_REMOTE, a->remote, err) < 0 ||
		state_index_inodes(state, err) < 0 ||
		state_set(state, "listing", a->listing->id, err) < 0 ||
		state_set(state, "baseline", "done", err) < 0) {
		state_rollback(state);
		return -EIO;
	}
	return state_commit(state, err);
}

int attach_new(struct session *s, GError **err)
{
	struct attach a = {
		.s = s, .mirror = manifest_new(), .remote = manifest_new(),
	};
	struct call call = session_call(s);
	int r;

	session_unload_mirror(s);
	session_step(s, "listing the sandbox", 0, 0, false);
	r = tree_list(s->tree, NULL, s->exclude, &call, &a.listing, err);
	if (r == 0)
		r = empty_mirror(s, err);
	if (r == 0)
		r = take_all(&a, err);
	if (r == 0)
		r = store(&a, err);
	if (r == 0)
		r = session_load(s, err);
	tree_listing_free(a.listing);
	manifest_free(a.mirror);
	manifest_free(a.remote);
	return r < 0 ? -EIO : 0;
}
