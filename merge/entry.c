#include "merge/entry.h"

#include <string.h>

int64_t entry_time_ns(int64_t seconds, int64_t ns)
{
	int64_t all;

	if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &all) ||
		__builtin_add_overflow(all, ns, &all))
		return seconds < 0 ? INT64_MIN : INT64_MAX;
	return all;
}

static int64_t to_ns(struct timespec t)
{
	return entry_time_ns(t.tv_sec, t.tv_nsec);
}

static enum entry_type type_of(mode_t mode)
{
	if (S_ISREG(mode))
		return ENTRY_FILE;
	if (S_ISDIR(mode))
		return ENTRY_DIR;
	if (S_ISLNK(mode))
		return ENTRY_LINK;
	return ENTRY_SPECIAL;
}

void entry_from_stat(struct entry *e, const struct stat *st)
{
	enum entry_type type = type_of(st->st_mode);

	e->size = type == ENTRY_FILE ? st->st_size : 0;
	e->mtime_ns = to_ns(st->st_mtim);
	e->ctime_ns = to_ns(st->st_ctim);
	e->ino = st->st_ino;
	/* The bits of a link mean nothing and differ between systems. */
	e->mode = type == ENTRY_LINK ? 0 : st->st_mode & 07777;
	e->type = type;
	e->flags = 0;
}

static bool same_identity(const struct entry *a, const struct entry *b)
{
	if ((a->flags | b->flags) & ENTRY_RACY)
		return false;
	if (a->ino == 0 || a->ctime_ns == 0)
		return false;
	return a->type == b->type && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
		a->ino == b->ino;
}

bool entry_stat_matches(const struct entry *e, const struct stat *st)
{
	struct entry now = { 0 };

	entry_from_stat(&now, st);
	return same_identity(e, &now);
}

static bool same_file(const struct entry *a, const struct entry *b)
{
	if ((a->flags | b->flags) & ENTRY_STUB)
		return a->ino && a->ino == b->ino;
	if (a->size != b->size)
		return false;
	if (a->flags & b->flags & ENTRY_HASHED)
		return digest_equal(&a->digest, &b->digest);
	return same_identity(a, b);
}

static bool same_link(const struct entry *a, const struct entry *b)
{
	if (((a->flags | b->flags) & ENTRY_UNREADABLE) || !a->target ||
		!b->target)
		return same_identity(a, b);
	return strcmp(a->target, b->target) == 0;
}

bool entry_same_content(const struct entry *a, const struct entry *b)
{
	if (a->type != b->type)
		return false;
	switch ((enum entry_type)a->type) {
	case ENTRY_FILE:
		return same_file(a, b);
	case ENTRY_LINK:
		return same_link(a, b);
	case ENTRY_ABSENT:
	case ENTRY_DIR:
	case ENTRY_SPECIAL:
		return true;
	}
	return false;
}

unsigned entry_perm(const struct entry *e)
{
	return e->type == ENTRY_LINK ? 0 : e->mode & 0777;
}

const char *entry_type_name(enum entry_type type)
{
	switch (type) {
	case ENTRY_ABSENT:
		return "absent";
	case ENTRY_FILE:
		return "file";
	case ENTRY_DIR:
		return "dir";
	case ENTRY_LINK:
		return "link";
	case ENTRY_SPECIAL:
		return "special";
	}
	return "unknown";
}
