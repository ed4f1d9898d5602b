#include "merge/apply_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "merge/lib/beneath.h"
#include "merge/lib/io.h"

int read_entry(int root, const char *path, struct entry *e)
{
	struct stat st;
	int r = beneath_stat(root, path, &st);

	*e = (struct entry){ 0 };
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	if (r < 0)
		return r;
	entry_from_stat(e, &st);
	if (e->type == ENTRY_LINK)
		return beneath_readlink(root, path, (char **)&e->target);
	return 0;
}

static bool same_bytes(int root, const char *path, const struct entry *e)
{
	struct digest d;
	autofd int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK, 0);

	return fd >= 0 && digest_fd(fd, &d, NULL) == 0 &&
		digest_equal(&d, &e->digest);
}

static bool same_file(int root, const char *path, const struct entry *now,
	const struct entry *e)
{
	if (now->size != e->size)
		return false;
	if (e->ino && !(e->flags & ENTRY_RACY) && now->ino == e->ino &&
		now->mtime_ns == e->mtime_ns && now->ctime_ns == e->ctime_ns)
		return true;
	/* Touched or renamed perhaps, but the same bytes. */
	return (e->flags & ENTRY_HASHED) && same_bytes(root, path, e);
}

bool is_entry(int root, const char *path, const struct entry *e,
	bool with_mode)
{
	struct entry now;
	bool same;

	if (read_entry(root, path, &now) < 0)
		return false;
	same = now.type == e->type;
	if (same && e->type == ENTRY_FILE)
		same = same_file(root, path, &now, e);
	else if (same && e->type == ENTRY_LINK)
		same = g_strcmp0(now.target, e->target) == 0;
	if (same && with_mode && e->type != ENTRY_LINK)
		same = entry_perm(&now) == entry_perm(e);
	plan_entry_clear(&now);
	return same;
}
