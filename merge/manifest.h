#ifndef MERGE_MANIFEST_H
#define MERGE_MANIFEST_H
/*
 * A manifest: the entries of one tree, sorted by path_compare(), each path
 * once. Built by adding entries in any order and sorting once; read-only
 * afterwards, then safe for any number of threads. Paths and targets are kept
 * in arenas of the manifest: 88 bytes an entry and the strings.
 */
#include <stddef.h>
#include <sys/types.h>

#include <glib.h>

#include "merge/entry.h"

struct manifest;

struct manifest *manifest_new(void);
void manifest_free(struct manifest *m);	/* NULL is fine */

/* Copies E, its path and its target. The path must have passed path_check().
 * Not after manifest_sort(). */
void manifest_add(struct manifest *m, const struct entry *e);

/* Sorts; of several entries with one path the last added stays. Must be
 * called once before any of the functions below. Adding "a/b" does not add
 * "a": the caller lists directories. */
void manifest_sort(struct manifest *m);

size_t manifest_count(const struct manifest *m);
const struct entry *manifest_at(const struct manifest *m, size_t i);
/* NULL if there is none. */
const struct entry *manifest_find(const struct manifest *m, const char *path);
/* Index of the first entry not before PATH in the order. */
size_t manifest_lower_bound(const struct manifest *m, const char *path);
/* Index just past everything at or below the directory at index I. */
size_t manifest_subtree_end(const struct manifest *m, size_t i);
/* The same for a DIR ("" holds everything) that need not have an entry: I is
 * the index of the first entry within it; I itself when that one is not. */
size_t manifest_within_end(const struct manifest *m, size_t i, const char *dir);

/* Bytes of heap held, for measurements. */
size_t manifest_memory(const struct manifest *m);

typedef struct manifest manifest_auto;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(manifest_auto, manifest_free)

#endif
