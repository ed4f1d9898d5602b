#ifndef FS_MIRROR_CONTENT_H
#define FS_MIRROR_CONTENT_H
/*
 * Content states of the mirror's files, on disk.
 *
 *	complete	an ordinary file
 *	stub		a regular file with the sticky bit (which has no meaning
 *			on files): right size, mtime and permission bits, but
 *			its bytes are still in the sandbox. What can be read in
 *			it is zeros, or part of a fill that was interrupted
 *	filling		a stub into which fs/mirror/fill.c is writing; in memory
 *			only, on disk it is a stub
 *
 * The mark is in the inode, so it is as durable as the file, moves with it and
 * holds for all its names. It is set by the same call that creates the file
 * and cleared when all bytes are on the disk: a kill or a power cut leaves a
 * stub or a complete file, never zeros that pass for content. Nobody outside
 * sees it: fs/mirror/node.h keeps the bit out of the mode that is shown, and a
 * user's chmod +t on a file is remembered there and not on disk.
 *
 * Which bytes a stub stands for: those of the acknowledged row (table
 * STATE_ACK_MIRROR) that has its inode; the row's path is where the sandbox has
 * them. The row is there before the stub is in its place, so it is the one row
 * of that inode. Names, place and mode of a stub may change; its size and mtime
 * are the row's: what an interrupted fill made of them is put right when the
 * mirror is opened.
 *
 * Whoever reads the mirror outside fs/mirror's own open files goes through
 * content_open() (or a scan with `stubs` set, merge/scan.h).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct entry;

bool content_is_stub(const struct stat *st);

/* Opens the complete regular file PATH for reading. -ENODATA: a stub; -EISDIR:
 * not a regular file; else as beneath_open(). A file without read permission
 * for its owner, us, is opened all the same. */
int content_open(int root_fd, const char *path);

/* Makes the stub PATH (nothing may be there) as E says: size, mtime, nine
 * permission bits; *ST is its state. An empty file is complete at once. Not
 * synced. -ENOTSUP: the file system does not keep the mark. */
int content_make_stub(int root_fd, const char *path, const struct entry *e,
	struct stat *st);

/* Opens the stub PATH for writing its bytes, whatever its mode; -ENODATA when
 * it is no stub (any more). */
int content_open_stub(int root_fd, const char *path);

/* Gives the stub open at FD a size and an mtime, and drops what an interrupted
 * fill left in it. It stays a stub. */
int content_reset_stub(int fd, int64_t size, int64_t mtime_ns);

int content_set_mtime(int fd, int64_t mtime_ns);

/* Clears the mark. The bytes must be there. */
int content_clear_mark(int fd);

#endif
