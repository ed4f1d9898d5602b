#include "fs/mirror/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/apply.h"
#include "merge/lib/beneath.h"
#include "merge/lib/io.h"
#include "merge/lib/mutex.h"

enum { NAME_LEN = DIGEST_HEX_LEN + 2, SNIFF = 8192 };

/* Where taken files are until they are sorted, by inode number: the number is
 * in use as long as the name is, so no two are the same. */
#define TAKEN "new"

struct base_store {
	int dir_fd;
	struct mutex sorting;
	_Atomic bool has_taken;
};

struct base_store *base_store_new(int dir_fd)
{
	struct base_store *b = g_new0(struct base_store, 1);

	b->dir_fd = dir_fd;
	mutex_init(&b->sorting, RANK_STATE);
	/* A killed process may have left some. */
	b->has_taken = true;
	return b;
}

void base_store_free(struct base_store *b)
{
	if (b)
		mutex_destroy(&b->sorting);
	g_free(b);
}

/* "ab/cdef…" */
static void name_of(const struct digest *d, char name[NAME_LEN])
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(d, hex);
	snprintf(name, NAME_LEN, "%.2s/%s", hex, hex + 2);
}

/* Whether FD may hold text that a merge could need. */
static int is_worth(int fd)
{
	char buf[SNIFF];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > TEXT_MERGE_LIMIT)
		return 0;
	n = pread(fd, buf, sizeof(buf), 0);
	if (n < 0)
		return -errno;
	return memchr(buf, '\0', (size_t)n) == NULL;
}

static int publish(struct base_store *b, const char *temp,
	const struct digest *d)
{
	char name[NAME_LEN];
	char dir[3];
	struct stat st;
	int r;

	name_of(d, name);
	if (beneath_stat(b->dir_fd, name, &st) == 0)
		return beneath_unlink(b->dir_fd, temp, 0);
	memcpy(dir, name, 2);
	dir[2] = '\0';
	r = beneath_mkdir_all(b->dir_fd, dir, 0700);
	if (r == 0)
		r = beneath_rename(b->dir_fd, temp, b->dir_fd, name, 0);
	return r;
}

int base_store_keep(struct base_store *b, int fd, struct digest *digest)
{
	g_autofree char *temp = NULL;
	autofd int to = -1;
	int r = is_worth(fd);

	if (r <= 0)
		return r < 0 ? r : 1;
	temp = io_temp_name();
	to = beneath_open(b->dir_fd, temp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return to;
	r = io_copy_file(fd, to, digest, NULL);
	if (r == 0)
		r = publish(b, temp, digest);
	if (r < 0)
		beneath_unlink(b->dir_fd, temp, 0);
	return r;
}

int base_store_take(struct base_store *b, int root_fd, const char *path,
	uint64_t ino)
{
	char name[40];
	int r;

	snprintf(name, sizeof(name), TAKEN "/%llu", (unsigned long long)ino);
	r = renameat(root_fd, path, b->dir_fd, name) < 0 ? -errno : 0;
	if (r == -ENOENT && mkdirat(b->dir_fd, TAKEN, 0700) == 0)
		r = renameat(root_fd, path, b->dir_fd, name) < 0 ? -errno : 0;
	if (r == 0)
		atomic_store(&b->has_taken, true);
	return r;
}

/* One taken file: under its digest, or off the disk. */
static void sort_one(struct base_store *b, const char *name)
{
	autofd int fd = -1;
	struct digest d;
	int r;

	/* Whatever its owner allowed: it is nobody's but ours now. */
	beneath_chmod(b->dir_fd, name, 0600);
	fd = beneath_open(b->dir_fd, name, O_RDONLY | O_NONBLOCK, 0);
	r = fd < 0 ? fd : is_worth(fd);
	if (r > 0)
		r = digest_fd(fd, &d, NULL) == 0 &&
			publish(b, name, &d) == 0;
	if (r <= 0)
		beneath_unlink(b->dir_fd, name, 0);
}

static void sort_all(struct base_store *b)
{
	g_autofree char *path = g_strdup_printf(
		"/proc/self/fd/%d/" TAKEN, b->dir_fd);
	g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *full = g_strconcat(TAKEN "/", name, NULL);

		sort_one(b, full);
	}
}

void base_store_sort(struct base_store *b)
{
	mutex_lock(&b->sorting);
	/* Cleared first: what is taken meanwhile is for the next time. */
	if (atomic_exchange(&b->has_taken, false))
		sort_all(b);
	mutex_unlock(&b->sorting);
}

int base_store_open(struct base_store *b, const struct digest *digest)
{
	char name[NAME_LEN];
	struct digest now;
	autofd int fd = -1;
	int r;

	base_store_sort(b);
	name_of(digest, name);
	fd = beneath_open(b->dir_fd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	/* Nothing here is fsynced: a power failure may have left a name
	 * without its bytes, and no merge may be made with those. */
	r = digest_fd(fd, &now, NULL);
	if (r == 0 && !digest_equal(&now, digest)) {
		beneath_unlink(b->dir_fd, name, 0);
		return -ENOENT;
	}
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : steal_fd(&fd);
}

static void add_digests(GHashTable *keep, const struct manifest *m)
{
	for (size_t i = 0; m && i < manifest_count(m); i++) {
		const struct entry *e = manifest_at(m, i);
		char name[NAME_LEN];

		if (!(e->flags & ENTRY_HASHED))
			continue;
		name_of(&e->digest, name);
		g_hash_table_add(keep, g_strdup(name));
	}
}

static int collect_dir(struct base_store *b, const char *dir,
	GHashTable *keep)
{
	g_autofree char *path = g_strdup_printf(
		"/proc/self/fd/%d/%s", b->dir_fd, dir);
	g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
	const char *name;
	int r = 0;

	while (d && r == 0 && (name = g_dir_read_name(d))) {
		g_autofree char *full = g_strconcat(dir, "/", name, NULL);

		if (!g_hash_table_contains(keep, full))
			r = beneath_unlink(b->dir_fd, full, 0);
	}
	return r;
}

int base_store_collect(struct base_store *b,
	const struct manifest *const *keep, size_t n)
{
	g_autoptr(GHashTable) names = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, NULL);
	g_autofree char *top = g_strdup_printf("/proc/self/fd/%d", b->dir_fd);
	g_autoptr(GDir) d = g_dir_open(top, 0, NULL);
	const char *name;
	int r = 0;

	base_store_sort(b);
	for (size_t i = 0; i < n; i++)
		add_digests(names, keep[i]);
	while (d && r == 0 && (name = g_dir_read_name(d)))
		if (strlen(name) == 2)
			r = collect_dir(b, name, names);
	return r;
}
