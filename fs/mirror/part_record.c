/*
 * Parts of stubs: what outlives the process. The record of the file NAME is the
 * value "part-NAME" in the state database:
 *
 *	1 SIZE MTIME INO CTIME FIRST-END,FIRST-END…
 *
 * numbers in decimal, times in nanoseconds, inode and ctime as the sandbox has
 * them, then the runs of chunks that are here (END is behind the last).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/part_internal.h"
#include "fs/mirror/state.h"
#include "merge/lib/io.h"
#include "merge/plan.h"

static char *key_of(const char *name)
{
	return g_strconcat("part-", name, NULL);
}

void part_unlink(struct mirror *m, struct part *p)
{
	g_autofree char *key = p->name ? key_of(p->name) : NULL;

	if (!key)
		return;
	unlinkat(m->parts->dir_fd, p->name, 0);
	state_set(m->config.state, key, NULL, NULL);
	g_clear_pointer(&p->name, g_free);
}

static char *format(const struct part *p)
{
	GString *s = g_string_new(NULL);
	const char *before = " ";

	g_string_printf(s, "1 %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRId64,
		p->size, p->mtime_ns, p->remote_ino, p->remote_ctime_ns);
	for (size_t at = 0; at < p->chunks; at++) {
		size_t first = at;

		while (at < p->chunks && p->state[at] == CHUNK_HERE)
			at++;
		if (at == first)
			continue;
		g_string_append_printf(s, "%s%zu-%zu", before, first, at);
		before = ",";
	}
	return g_string_free(s, FALSE);
}

void mirror_part_save(struct mirror *m, struct part *p)
{
	g_autofree char *key = NULL;
	g_autofree char *text = NULL;

	mutex_lock(&m->lock);
	if (p->name && p->fd >= 0) {
		key = key_of(p->name);
		text = format(p);
	}
	mutex_unlock(&m->lock);
	/* Without a record they are fetched again, that is all. */
	if (text && fdatasync(p->fd) == 0)
		state_set(m->config.state, key, text, NULL);
}

/* "FIRST-END,…" */
static bool parse_runs(struct part *p, const char *at)
{
	while (*at) {
		char *end;
		uint64_t first = strtoull(at, &end, 10), stop;

		if (end == at || *end != '-')
			return false;
		at = end + 1;
		stop = strtoull(at, &end, 10);
		if (end == at || first >= stop || stop > p->chunks)
			return false;
		memset(p->state + first, CHUNK_HERE, stop - first);
		at = end + (*end == ',');
	}
	p->here = 0;
	for (size_t i = 0; i < p->chunks; i++)
		p->here += p->state[i] == CHUNK_HERE;
	return true;
}

/* Whether the rows stand for the version of P. */
static bool is_of_rows(struct mirror *m, const struct part *p)
{
	struct entry own = { 0 }, remote = { 0 };
	g_autofree char *path = state_find_inode(
		m->config.state, p->stub_ino, &own);
	bool same = path && state_find(m->config.state, STATE_ACK_REMOTE, path,
				    &remote);

	same = same && remote.type == ENTRY_FILE &&
		remote.size == (int64_t)p->size && own.size == remote.size &&
		remote.mtime_ns == p->mtime_ns &&
		own.mtime_ns == remote.mtime_ns && remote.ino == p->remote_ino;
	plan_entry_clear(&remote);
	return same;
}

/* The part that TEXT records of the stub N, or NULL. */
static struct part *parse(struct mirror *m, const struct node *n,
	const char *text)
{
	struct part *p = part_new(n->id, n->ino, n->size, n->mtime_ns);
	uint64_t size, ino;
	int64_t mtime_ns, ctime_ns;
	int at = 0;

	if (sscanf(text, "1 %" SCNu64 " %" SCNd64 " %" SCNu64 " %" SCNd64 "%n",
		    &size, &mtime_ns, &ino, &ctime_ns, &at) == 4 &&
		size == n->size && mtime_ns == n->mtime_ns && ino) {
		p->remote_ino = ino;
		p->remote_ctime_ns = ctime_ns;
		if (parse_runs(p, text + at + (text[at] == ' ')) &&
			is_of_rows(m, p))
			return p;
	}
	part_unref(p);
	return NULL;
}

static bool take_file(struct mirror *m, const char *name, const char *text)
{
	uint64_t ino = strtoull(name, NULL, 10);
	const struct node *n = g_hash_table_lookup(m->stubs, &ino);
	struct part *p = n && text && part_is_for(m, n) && !part_find(m, n)
		? parse(m, n, text) : NULL;
	struct stat st;

	if (!p)
		return false;
	p->fd = openat(m->parts->dir_fd, name,
		O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (p->fd < 0 || fstat(p->fd, &st) < 0 ||
		st.st_size != (off_t)p->size) {
		part_unref(p);
		return false;
	}
	/* The first chunk is asked for again, by the first open: with it the
	 * sandbox says whether the others are still of its version. */
	p->here -= p->state[0] == CHUNK_HERE;
	p->state[0] = CHUNK_MISSING;
	p->name = g_strdup(name);
	g_hash_table_insert(m->parts->of, &p->node, p);
	return true;
}

void mirror_serve_parts(struct mirror *m, int parts_fd)
{
	int fd = openat(parts_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	mutex_lock(&m->lock);
	m->parts->dir_fd = parts_fd;
	while ((e = readdir(d))) {
		g_autofree char *key = key_of(e->d_name);
		g_autofree char *text = NULL;

		if (*e->d_name == '.')
			continue;
		text = state_get(m->config.state, key);
		if (take_file(m, e->d_name, text))
			continue;
		unlinkat(parts_fd, e->d_name, 0);
		if (text)
			state_set(m->config.state, key, NULL, NULL);
	}
	mutex_unlock(&m->lock);
	closedir(d);
}
