#ifndef MERGE_LIB_IO_H
#define MERGE_LIB_IO_H
/*
 * Small I/O that libc and GLib do not have: whole reads and writes, copies
 * that keep holes and share blocks where the file system can, durable
 * publication. 0 (or a count) or a negative errno; short transfers and EINTR
 * are handled inside.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "merge/lib/digest.h"

/* `autofd int fd = -1;` closes on scope end; hand over with steal_fd(). */
static inline void autofd_close(int *fd);
#define autofd __attribute__((cleanup(autofd_close)))
int steal_fd(int *fd);

ssize_t io_read_full(int fd, void *buf, size_t len);	/* less only at EOF */
int io_write_full(int fd, const void *buf, size_t len);

/* Copies all of FROM (offset 0 to its end) into the empty file TO: by reflink
 * where possible, else data extents only, so that holes stay holes. OUT (may
 * be NULL) receives the digest of the bytes copied, SIZE (may be NULL) their
 * count; asking for OUT means the bytes are read. */
int io_copy_file(int from, int to, struct digest *out, uint64_t *size);

/* fsync of a file; errno is set as well. */
int io_sync(int fd);
/* fsync of the directory DIR_FD. */
int io_sync_dir(int dir_fd);

/* A name for a temporary file beside a target: ".sandmount-XXXXXXXXXXXX.tmp"
 * with random letters; g_free it. io_is_temp_name() tells such leftovers. */
char *io_temp_name(void);
int io_is_temp_name(const char *name);

/* 2 * BYTES random hexadecimal digits, lower case; g_free it. */
char *io_random_hex(size_t bytes);

/* Nanoseconds: CLOCK_MONOTONIC, CLOCK_REALTIME. */
int64_t io_now_ns(void);
int64_t io_wall_ns(void);

#include <unistd.h>
static inline void autofd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif
