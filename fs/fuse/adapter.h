#ifndef FS_FUSE_ADAPTER_H
#define FS_FUSE_ADAPTER_H
/*
 * One FUSE session over one mirror, by libfuse's low-level API. Each operation
 * is three steps: resolve, act in fs/mirror, reply exactly once. Only this
 * folder knows libfuse.
 *
 *	a = adapter_mount(mirror, &options, &err);
 *	adapter_loop(a, &err);		until unmounted
 *	adapter_free(a);
 */
#include <stdbool.h>
#include <glib.h>

struct adapter;
struct mirror;

struct adapter_options {
	const char *mountpoint;
	const char *name;	/* shown as the file system's source */
	bool read_only, allow_other, debug;
	char *const *fuse_options;	/* further -o words; NULL: none */
	/* --fsync remote: called by fsync(2) after the local fsync; a negative
	 * errno is what the caller gets. NULL: local only. May block. */
	int (*flush)(void *ctx);
	/* Whether thread TID writes on the session's own behalf (refresh). */
	bool (*is_quiet)(void *ctx, int tid);
	void *ctx;
};

/* Mounts. FAIL_LOCAL when /dev/fuse or fusermount3 is missing or refuses, with
 * what to do. Requests wait until adapter_loop(). */
struct adapter *adapter_mount(struct mirror *m,
	const struct adapter_options *o, GError **err);

/* Serves with several threads until the mount has ended, by whomever it was
 * unmounted. */
int adapter_loop(struct adapter *a, GError **err);

/* Unmounts if still mounted (lazily when busy). NULL is fine. */
void adapter_free(struct adapter *a);

/* "NAME VERSION" of the library in use, for --version; g_free it. */
char *adapter_library(void);

#endif
