#ifndef FS_MIRROR_PART_H
#define FS_MIRROR_PART_H
/*
 * Large stubs, read by ranges while they are stubs.
 *
 * Opened for reading, a stub of PART_LEAST bytes or more is open as soon as its
 * first chunk is here. What is read from then on is waited for, chunks around
 * it come with it, and more of them ahead of a handle that reads on. Whatever
 * needs all the bytes (writing, truncating, sending, merging) has the file
 * fetched whole, as any stub.
 *
 * The ranges are not in the mirror but in a file of their own below the
 * directory given to mirror_serve_parts(): to everybody else the stub is a stub.
 * That file is named "INODE.WORD" (the stub's inode, a random word) and is worth
 * something only with the record of that name in the state database: which
 * version of the sandbox's file it holds (size, mtime, its inode and ctime
 * there) and which chunks of it. The record is written after the bytes are on
 * the disk; a kill between the two, or of one that never came there, costs those
 * bytes and nothing else. WORD makes sure that a record is never taken for that
 * of another file.
 *
 * A part is of one version. The sandbox says with each range which version it is
 * of, before and after reading it:
 *
 *	the same		the range counts
 *	only the ctime is new	what was here is fetched again (a chmod, a
 *				rename there, or bytes with the time put back)
 *	another			the part is over: its handles get -ESTALE from
 *				then on, the stub stands for the new version
 *
 * When all chunks are here the whole is checked and becomes the file's content;
 * handles go on with that.
 *
 * Threads: as fs/mirror/want.h.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

struct entry;
struct mirror;
struct mirror_file;
struct part;

enum {
	PART_CHUNK = 1 << 20,
	PART_LEAST = 16 << 20,
};

/* From now on large stubs are read by ranges, which are kept below PARTS_FD
 * (borrowed until mirror_close()). Takes over what an earlier mirror left there
 * and removes what is of no use. */
void mirror_serve_parts(struct mirror *m, int parts_fd);

/* --- reading ----------------------------------------------------------- */

/* Whether F must be read by mirror_read_begin(); constant while it is open. */
bool mirror_file_is_partial(const struct mirror_file *f);

/* Whether mirror_file_fd() has all bytes by now. */
bool mirror_file_is_whole(struct mirror *m, const struct mirror_file *f);

/* Whether a version that is over is still open beside F, which was opened
 * without keep_cache: F's bytes must not become the kernel's pages. */
bool mirror_file_is_beside_old(struct mirror *m, const struct mirror_file *f);

struct part_read {
	int fd;			/* to read from, at the same offset */
	struct part *part;	/* internal */
};
/* The SIZE bytes at OFF of F are at OUT->fd until mirror_read_end(), whatever
 * happens meanwhile. -EINPROGRESS: they have been asked for (wait for them);
 * -ESTALE: they are of a version that the sandbox does not have any more. */
int mirror_read_begin(struct mirror *m, struct mirror_file *f, uint64_t off,
	uint64_t size, struct part_read *out);
void mirror_read_end(struct mirror *m, struct part_read *r);

/* --- fetching: for a job's want_file with a part ------------------------ */

/* Where the bytes are to be written, at their own offset; of the version that
 * ROW_REMOTE describes. -ECANCELED: nobody needs them; -EAGAIN: the row and the
 * stub are of different versions (one of them is just being changed). */
int mirror_part_fd(struct mirror *m, struct part *p,
	const struct entry *row_remote);
/* They were written; SEEN is the file as the sandbox has it, of the size and
 * mtime that the stub has. 1: the part is whole now (mirror_part_claim()). */
int mirror_part_arrived(struct mirror *m, struct part *p, uint64_t off,
	uint64_t len, const struct entry *seen);
/* Nothing came: waits for them end with R. */
void mirror_part_failed(struct mirror *m, struct part *p, uint64_t off,
	uint64_t len, int r);
/* SEEN is another version than the rows': it is theirs from now on, and the
 * stub's. Its waits end with -ESTALE. */
void mirror_part_changed(struct mirror *m, struct part *p,
	const struct entry *row_mirror, const struct entry *row_remote,
	const struct entry *seen);
/* Makes durable what is here. Blocks on the disk. */
void mirror_part_save(struct mirror *m, struct part *p);
/* The stub is as if a job had asked for it (want.h): to be ended by
 * mirror_fill() with *FD, or by mirror_fill_failed(). *INO: the stub's. False:
 * it is no stub any more, or somebody else fetches it. */
bool mirror_part_claim(struct mirror *m, struct part *p, uint64_t *node,
	int *fd);
/* What is here is not what the sandbox has: from the beginning. */
void mirror_part_reset(struct mirror *m, struct part *p);
/* The job has ended: P is not used any more. */
void mirror_part_put(struct mirror *m, struct part *p);

#endif
