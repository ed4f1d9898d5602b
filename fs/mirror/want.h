#ifndef FS_MIRROR_WANT_H
#define FS_MIRROR_WANT_H
/*
 * Between those who need the bytes of a stub and whoever fetches them.
 *
 * An operation that needs content (an open, a truncation to some length) gets
 * -EINPROGRESS, makes a wait and returns its thread; when the bytes are there,
 * or cannot be had, the wait's DONE is called on the thread that runs
 * mirror_serve_waits(). So any number of operations may wait while the mount
 * goes on. Each wait ends by itself at the mirror's content timeout.
 *
 * The fetcher's threads take jobs: the files that are waited for, and with
 * them neighbours that are likely to be asked for next: first a few of the same
 * directory, and more, across directories in the order of a walk, as long as
 * what was brought unasked was then opened.
 *
 * Threads: any, but as said.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

struct mirror;
struct entry;
struct part;

/* --- waiting ---------------------------------------------------------- */

struct want {
	uint64_t node;
	/* LEN > 0: only these bytes, where the stub is read by ranges
	 * (fs/mirror/part.h); else, and else there, all. */
	uint64_t off, len;
	/* RESULT 0: try again, it is complete; -ESTALE: it is complete, but of
	 * another size or time than was shown before; -ETIMEDOUT, -EINTR; else
	 * why the fetch failed. */
	void (*done)(void *ctx, int result);
	/* After an interruption: whether whoever waits has really to stop (a
	 * signal that ends it, not any signal). Asked with the tree locked, now
	 * and then; must not call back. */
	bool (*give_up)(void *ctx);
	void *ctx;
};

/* Registers a wait, so that it can be interrupted; its id. */
uint64_t mirror_want_new(struct mirror *m, const struct want *want);
/* Begins to wait. Negative, and DONE is never called: nobody fetches. */
int mirror_want_start(struct mirror *m, uint64_t id);
/* From any thread, also for an id that is over. */
void mirror_want_interrupt(struct mirror *m, uint64_t id);

/* The stub at PATH is to be fetched, though nobody waits for it. */
void mirror_want_ahead(struct mirror *m, const char *path);

/* Calls DONE of waits that are over, until mirror_stop_wants(). */
void mirror_serve_waits(struct mirror *m);

/* --- fetching --------------------------------------------------------- */

struct want_file {
	uint64_t node, ino;
	int64_t size;
	bool asked;	/* not a neighbour only */
	/* A job of one range of one file, which is ended as fs/mirror/part.h
	 * says; NULL: whole files. */
	struct part *part;
	uint64_t off, len;
};

/* The next job: GArray of struct want_file, owned by the caller, each being
 * fetched from now on: end it with mirror_fill() or mirror_fill_failed(), or
 * it is the one range of a part.
 * Blocks until there is one; NULL after mirror_stop_wants(). */
GArray *mirror_next_job(struct mirror *m);
/* A job of any N stubs at most, of MAX_BYTES in all (but one at least), without
 * blocking; NULL when there are none that nobody fetches. */
GArray *mirror_any_job(struct mirror *m, guint n, uint64_t max_bytes);
/* The stub NODE as a job of one. NULL when it is complete by now; waits while
 * somebody else fetches it. */
GArray *mirror_job_of(struct mirror *m, uint64_t node);

/* Ends every wait with -EIO and every job's thread; no wait begins from now
 * on. */
void mirror_stop_wants(struct mirror *m);

/* --- filling ---------------------------------------------------------- */

struct fill {
	uint64_t node;
	int staged_fd;			/* the bytes; borrowed */
	/* The acknowledged rows of the place where the sandbox has the file,
	 * their path included. */
	const struct entry *row_mirror, *row_remote;
	/* What the sandbox says of what was fetched, with its digest. Another
	 * size or mtime than row_remote's: the stub becomes that version. */
	const struct entry *remote;
	int result;	/* out: 0; or the negative errno who waits got */
};

/* Makes the stubs complete: writes the bytes below the mark, syncs, records
 * them, clears the mark, ends the waits. Blocks on the local disk. Those that
 * are no stubs any more (truncated, removed meanwhile) are left alone. */
void mirror_fill(struct mirror *m, struct fill *fills, size_t n);
/* The fetch of NODE goes on: whoever waits for it does so from now again. */
void mirror_fill_goes_on(struct mirror *m, uint64_t node);
/* Nothing came: it is a stub as before; waits end with R, or go on with another
 * fetch (-EAGAIN). */
void mirror_fill_failed(struct mirror *m, uint64_t node, int r);

bool mirror_is_complete(struct mirror *m, uint64_t node);	/* or gone */

/* --- counters --------------------------------------------------------- */

/* Files whose bytes are not here, and how many bytes that is. */
void mirror_stub_count(struct mirror *m, uint64_t *files, uint64_t *bytes);
/* A stub (any of its names now in *PATH, g_free) by its inode; its node, 0
 * when there is none with a name. PATH may be NULL. */
uint64_t mirror_find_stub(struct mirror *m, uint64_t ino, char **path);
/* The node at PATH if it is a stub, else 0. */
uint64_t mirror_stub_at(struct mirror *m, const char *path);

#endif
