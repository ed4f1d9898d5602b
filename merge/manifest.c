/*
 * One array of entries and an arena of strings. The array is contiguous so
 * that an index is a number and a search is a binary one; the strings stay
 * where they were put, so that entries can move. Sorting works on an array of
 * indices: entries of 88 bytes would be costly to move at every comparison and
 * the order of addition, which decides between duplicates, is not lost.
 */
#include "merge/manifest.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "merge/lib/path.h"

enum {
	FIRST_CHUNK = 1 << 10, /* a small manifest shall be small */
	LAST_CHUNK = 1 << 18,
	FIRST_ENTRIES = 16,
};

struct manifest {
	struct entry *entries; /* owned */
	size_t count, room;
	GPtrArray *chunks;     /* of char *, owned: the strings */
	size_t chunk_room;     /* bytes of the last chunk */
	size_t chunk_used;
	size_t chunk_total;    /* bytes of all */
	bool sorted;
};

struct manifest *manifest_new(void)
{
	struct manifest *m = g_new0(struct manifest, 1);

	m->chunks = g_ptr_array_new_with_free_func(g_free);
	return m;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	g_free(m->entries);
	g_ptr_array_free(m->chunks, TRUE);
	g_free(m);
}

static void add_chunk(struct manifest *m, size_t need)
{
	size_t size = m->chunk_room ? MIN(m->chunk_room * 2, LAST_CHUNK)
				    : FIRST_CHUNK;

	size = MAX(size, need);
	g_ptr_array_add(m->chunks, g_malloc(size));
	m->chunk_room = size;
	m->chunk_used = 0;
	m->chunk_total += size;
}

static const char *keep(struct manifest *m, const char *s)
{
	size_t size = strlen(s) + 1;
	char *to;

	if (m->chunk_room - m->chunk_used < size)
		add_chunk(m, size);
	to = (char *)g_ptr_array_index(m->chunks, m->chunks->len - 1) +
		m->chunk_used;
	memcpy(to, s, size);
	m->chunk_used += size;
	return to;
}

void manifest_add(struct manifest *m, const struct entry *e)
{
	struct entry *to;

	assert(!m->sorted);
	assert(m->count < UINT32_MAX);
	if (m->count == m->room) {
		m->room = MAX(m->room + m->room / 2, FIRST_ENTRIES);
		m->entries = g_renew(struct entry, m->entries, m->room);
	}
	to = &m->entries[m->count++];
	*to = *e;
	to->path = keep(m, e->path);
	to->target = e->target ? keep(m, e->target) : NULL;
}

static int compare_index(const void *a, const void *b, void *ctx)
{
	const struct manifest *m = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int order = path_compare(m->entries[i].path, m->entries[j].path);

	/* The last added of equal paths comes first. */
	return order ? order : i > j ? -1 : i < j;
}

static bool is_in_order(const struct manifest *m)
{
	for (size_t i = 1; i < m->count; i++)
		if (path_compare(m->entries[i - 1].path, m->entries[i].path) >=
			0)
			return false;
	return true;
}

/* Moves entry FROM[i] to place i for all i, cycle by cycle, so that no second
 * array of entries is needed. FROM is the identity afterwards. */
static void permute(struct entry *entries, uint32_t *from, size_t count)
{
	for (size_t start = 0; start < count; start++) {
		struct entry first = entries[start];
		size_t at = start;

		if (from[start] == start)
			continue;
		while (from[at] != start) {
			size_t next = from[at];

			entries[at] = entries[next];
			from[at] = at;
			at = next;
		}
		entries[at] = first;
		from[at] = at;
	}
}

static void drop_duplicates(struct manifest *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (kept && strcmp(m->entries[kept - 1].path,
				    m->entries[i].path) == 0)
			continue;
		m->entries[kept++] = m->entries[i];
	}
	m->count = kept;
}

void manifest_sort(struct manifest *m)
{
	assert(!m->sorted);
	if (!is_in_order(m)) {
		g_autofree uint32_t *order = g_new(uint32_t, m->count);

		for (size_t i = 0; i < m->count; i++)
			order[i] = i;
		g_qsort_with_data(order, m->count, sizeof(*order),
			compare_index, m);
		permute(m->entries, order, m->count);
		drop_duplicates(m);
	}
	m->entries = g_renew(struct entry, m->entries, m->count);
	m->room = m->count;
	m->sorted = true;
}

size_t manifest_count(const struct manifest *m)
{
	return m->count;
}

const struct entry *manifest_at(const struct manifest *m, size_t i)
{
	assert(m->sorted && i < m->count);
	return &m->entries[i];
}

size_t manifest_lower_bound(const struct manifest *m, const char *path)
{
	size_t low = 0, high = m->count;

	assert(m->sorted);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (path_compare(m->entries[mid].path, path) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct entry *manifest_find(const struct manifest *m, const char *path)
{
	size_t i = manifest_lower_bound(m, path);

	if (i == m->count || strcmp(m->entries[i].path, path) != 0)
		return NULL;
	return &m->entries[i];
}

/* Steps that double first: most directories are small, and a walk that asks at
 * each of them must not pay for the size of the manifest. */
size_t manifest_within_end(const struct manifest *m, size_t i, const char *dir)
{
	size_t low = i, step = 1, high;

	assert(m->sorted && i <= m->count);
	while (low < m->count && path_is_within(m->entries[low].path, dir)) {
		i = low + 1;
		low = MIN(low + step, m->count);
		step *= 2;
	}
	high = low;
	low = i;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (path_is_within(m->entries[mid].path, dir))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t manifest_subtree_end(const struct manifest *m, size_t i)
{
	assert(i < m->count);
	return manifest_within_end(m, i, m->entries[i].path);
}

size_t manifest_memory(const struct manifest *m)
{
	return sizeof(*m) + m->room * sizeof(*m->entries) + m->chunk_total +
		m->chunks->len * sizeof(void *);
}
