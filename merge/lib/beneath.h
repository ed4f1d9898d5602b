#ifndef MERGE_LIB_BENEATH_H
#define MERGE_LIB_BENEATH_H
/*
 * Reach files below a directory descriptor and nowhere else.
 *
 * Every function takes ROOT, an open directory, and PATH, a workspace path
 * (merge/lib/path.h): relative, no empty, "." or ".." component. "" names ROOT
 * itself where a function allows it. A path longer than a system call takes is
 * reached in pieces (merge/lib/reach.h). No symbolic link is followed, neither in
 * the middle (-ELOOP) nor at the end. With openat2(2) the kernel enforces this
 * (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS); where the
 * kernel or a seccomp filter refuses openat2 (ENOSYS, EPERM) components are
 * walked one by one with O_NOFOLLOW, to the same effect.
 *
 * All functions return 0 (or a descriptor, or a count) or a negative errno.
 * They keep no state but the cached answer whether openat2 works, and may be
 * called from any thread. They block on the local disk only.
 */
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Opens PATH with FLAGS | O_CLOEXEC | O_NOFOLLOW. MODE counts with O_CREAT and
 * O_TMPFILE. PATH "" reopens ROOT. A final symbolic link gives -ELOOP unless
 * FLAGS has O_PATH. */
int beneath_open(int root, const char *path, int flags, mode_t mode);

/* Opens the directory that holds PATH (O_PATH is not used: the descriptor can
 * be read and fsynced). *NAME points at the last component inside PATH. */
int beneath_open_parent(int root, const char *path, const char **name);

/* lstat(2) of PATH; "" is ROOT. */
int beneath_stat(int root, const char *path, struct stat *st);

/* *TARGET (owned by the caller, g_free) is the link's text, NUL-terminated. */
int beneath_readlink(int root, const char *path, char **target);

int beneath_mkdir(int root, const char *path, mode_t mode);

/* Creates PATH and its missing parents, each with MODE. An existing directory
 * is success; anything else in the way is -ENOTDIR. */
int beneath_mkdir_all(int root, const char *path, mode_t mode);

int beneath_symlink(int root, const char *path, const char *target);

/* FLAGS: 0 or AT_REMOVEDIR. */
int beneath_unlink(int root, const char *path, int flags);

/* renameat2(2) with FLAGS; roots may differ. -EXDEV across file systems. */
int beneath_rename(int from_root, const char *from, int to_root,
	const char *to, unsigned flags);

int beneath_link(int from_root, const char *from, int to_root, const char *to);

/* chmod of a regular file or directory (never through a link: -ELOOP). */
int beneath_chmod(int root, const char *path, mode_t mode);

/* Sets the modification time to the nanosecond, of a link itself too. */
int beneath_set_mtime(int root, const char *path, int64_t mtime_ns);

/* Removes PATH and everything below it; a missing PATH is success. Goes on
 * after an error and returns the first. Makes unreadable directories of ours
 * readable to get through them. */
int beneath_remove_all(int root, const char *path);

/* For tests: true makes every later call use the fallback walk. */
void beneath_force_walk(bool on);

#endif
