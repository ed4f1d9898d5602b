#ifndef FS_MIRROR_MIRROR_H
#define FS_MIRROR_MIRROR_H
/*
 * The mirror: a real directory tree on this machine's disk that is what the
 * mount shows. This module keeps a node table in memory equal to it (names,
 * attributes, hard links), does every change on the tree, and remembers what
 * the sandbox does not have yet (the dirty set). No FUSE, no network.
 *
 * Calling sequence: mirror_open() scans the tree into nodes; the adapter calls
 * the operations; the uploader mirror_collect()s changes, sends them and
 * mirror_settle()s them; mirror_close().
 *
 * Nodes. A node is an inode: attributes, and one or more names. Its id is what
 * the kernel knows it by: 1 for the root, else the backing inode's number
 * (another one, from a high range, when that number is still in use by an
 * unlinked node), so that inode numbers stay the same across mounts. No
 * descriptor is held per node. A node lives while it has a name, a kernel
 * reference (lookups minus forgets) or an open file.
 *
 * Threads: every function may be called from any thread. One mutex (RANK_TREE)
 * guards names and attributes and is held over calls to the local disk, never
 * over callbacks. Reading and writing of file data holds no lock.
 *
 * Content safety: before a file whose bytes the sandbox or the baseline knows
 * is changed for the first time (write, truncate, replaced by a rename,
 * unlinked), its bytes are kept in the base store (fs/mirror/base.h) when they
 * may be needed to merge text.
 *
 * Results are 0 or a negative errno, as POSIX names them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <glib.h>

#include "merge/manifest.h"

struct mirror;
struct mirror_file;	/* an open file */
struct state;
struct base_store;

enum { MIRROR_ROOT = 1 };

struct mirror_callbacks {
	/* Something became dirty (called without locks, often): wake the
	 * uploader. */
	void (*dirty)(void *ctx);
	void *ctx;
};

struct mirror_config {
	int root_fd;		 /* mirror/; borrowed until mirror_close */
	struct base_store *base; /* borrowed */
	struct state *state;	 /* borrowed: acknowledged rows */
	const char *runtime_dir; /* reserved top-level name: -EACCES on use */
	struct mirror_callbacks callbacks;
	int64_t content_timeout_ms; /* of a wait for a stub's bytes */
	bool read_only;		 /* changes give -EROFS, except quiet ones */
};

/* Scans the mirror, compares it with the acknowledged manifest in STATE and
 * marks as dirty whatever differs: so what a crash left unsent is found. */
struct mirror *mirror_open(const struct mirror_config *c, GError **err);
void mirror_close(struct mirror *m);

/* On whose behalf. QUIET: the session itself writes (refresh): nothing becomes
 * dirty. uid, gid, umask as the kernel tells; files are created with them when
 * the daemon is root. */
struct mirror_caller {
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool quiet;
};

struct mirror_attr {
	uint64_t node;
	uint64_t generation;
	struct stat st;		/* st_ino as shown to users */
};

/* Finds NAME ("." and ".." not) in directory PARENT and adds one kernel
 * reference to the node. */
int mirror_lookup(struct mirror *m, uint64_t parent, const char *name,
	struct mirror_attr *out);
void mirror_forget(struct mirror *m, uint64_t node, uint64_t count);

int mirror_getattr(struct mirror *m, uint64_t node, struct stat *st);

enum mirror_set {
	MIRROR_SET_MODE = 1, MIRROR_SET_UID = 2, MIRROR_SET_GID = 4,
	MIRROR_SET_SIZE = 8, MIRROR_SET_ATIME = 16, MIRROR_SET_MTIME = 32,
	MIRROR_SET_ATIME_NOW = 64, MIRROR_SET_MTIME_NOW = 128,
};
/* WANT holds the values for the bits of WHICH. FILE may be NULL. -EINPROGRESS:
 * the file is a stub and its bytes are needed first (fs/mirror/want.h). A
 * quiet caller changes size and mtime of a stub, which stays one. */
int mirror_setattr(struct mirror *m, const struct mirror_caller *c,
	uint64_t node, struct mirror_file *file, const struct stat *want,
	unsigned which, struct stat *out);

int mirror_readlink(struct mirror *m, uint64_t node, char **target);

/* Creations add one kernel reference, as mirror_lookup. MODE is already masked
 * by the caller's umask. mknod: regular files, FIFOs and sockets (kept local,
 * listed as not sent); devices only as root. */
int mirror_mknod(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, mode_t mode, dev_t rdev,
	struct mirror_attr *out);
int mirror_mkdir(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, mode_t mode,
	struct mirror_attr *out);
int mirror_symlink(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, const char *target,
	struct mirror_attr *out);
int mirror_link(struct mirror *m, const struct mirror_caller *c, uint64_t node,
	uint64_t parent, const char *name, struct mirror_attr *out);
int mirror_unlink(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name);
int mirror_rmdir(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name);
/* FLAGS as renameat2: 0, RENAME_NOREPLACE, RENAME_EXCHANGE. */
int mirror_rename(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, uint64_t new_parent,
	const char *new_name, unsigned flags);

/* Open FLAGS as open(2) (O_CREAT never in open). *KEEP_CACHE (may be NULL):
 * the kernel's pages of the file are still good. -EINPROGRESS: as
 * mirror_setattr(); -ENODATA: the same for a quiet caller, who is not to
 * wait. */
int mirror_open_file(struct mirror *m, const struct mirror_caller *c,
	uint64_t node, int flags, struct mirror_file **out, bool *keep_cache);
int mirror_create(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, const char *name, int flags, mode_t mode,
	struct mirror_attr *attr, struct mirror_file **out);
/* A file without a name in directory PARENT (O_TMPFILE); mirror_link() gives it
 * one. Not dirty before that. */
int mirror_tmpfile(struct mirror *m, const struct mirror_caller *c,
	uint64_t parent, int flags, mode_t mode, struct mirror_attr *attr,
	struct mirror_file **out);
/* The backing descriptor: read from it freely. */
int mirror_file_fd(const struct mirror_file *f);
/* Around a change of data through the descriptor: begin may keep base bytes;
 * end refreshes attributes and marks dirty. */
int mirror_write_begin(struct mirror *m, struct mirror_file *f);
void mirror_write_end(struct mirror *m, struct mirror_file *f);
int mirror_fallocate(struct mirror *m, struct mirror_file *f, int mode,
	off_t offset, off_t length);
ssize_t mirror_copy_range(struct mirror *m, struct mirror_file *in,
	off_t in_off, struct mirror_file *out, off_t out_off, size_t len);
int mirror_fsync(struct mirror *m, struct mirror_file *f, bool data_only);
void mirror_release(struct mirror *m, struct mirror_file *f);

/* The entry of directory NODE at offset OFF (0: first; "." and ".." come first),
 * the offset of the next one, attributes as now; -ENOENT at the end. There are
 * no handles: offsets belong to names, so each entry that is there all the time
 * is given once, by whomever and whenever a listing is continued. What comes
 * meanwhile may be missed; what goes is skipped. WITH_REF adds a kernel
 * reference to it ("." and ".." never get one): undo with mirror_forget when
 * it could not be passed on. */
struct mirror_dirent {
	char name[256];
	off_t next;
	struct mirror_attr attr;
};
int mirror_read_dir(struct mirror *m, uint64_t node, off_t off, bool with_ref,
	struct mirror_dirent *out);
int mirror_sync_dir(struct mirror *m, uint64_t node);

int mirror_statfs(struct mirror *m, struct statvfs *out);

/* --- content from outside (fs/mirror/exchange.c) ----------------------- */

/* The file NAME in DIR_FD (of the mirror's file system, complete, with mode and
 * mtime) takes the place of the file at PATH, which must be as EXPECT says
 * (inode, size, ctime) and not being written, with one name; NAME is the old file then. The
 * node and its open handles stay, with the new content; the next open drops
 * the kernel's pages. NAME may be a stub: then nobody may have PATH open, or
 * have changed it. -EBUSY: it is not as expected; nothing is changed. */
int mirror_exchange(struct mirror *m, const char *path,
	const struct entry *expect, int dir_fd, const char *name);
/* Whether PATH is as the sandbox has it, at that path; of a directory: it and
 * everything below it. */
bool mirror_is_settled(struct mirror *m, const char *path);
/* … and nobody has any of it open. */
bool mirror_is_at_rest(struct mirror *m, const char *path);
/* What the next quiet mirror_create() of PATH takes instead of an empty file.
 * PATH and NAME are borrowed until then, or until withdrawn with PATH NULL. */
void mirror_offer(struct mirror *m, const char *path, int dir_fd,
	const char *name);

/* --- the dirty set ---------------------------------------------------- */

/* Number of the newest change; every change made before the call has a number
 * at most this. */
uint64_t mirror_sequence(struct mirror *m);
/* Whether anything with a number <= SEQ is dirty or collected but not settled.
 */
bool mirror_is_clean(struct mirror *m, uint64_t seq);

struct mirror_pending {
	uint64_t files;	/* entries not in the sandbox yet, in flight included */
	uint64_t bytes;	/* of their contents */
	int64_t oldest_ns;	/* io_now_ns() of the oldest; 0: none */
};
void mirror_pending(struct mirror *m, struct mirror_pending *out);

/* One changed place. */
struct mirror_change {
	char *path;	  /* now; NULL: gone */
	char *acked_path; /* where the sandbox has it, NULL: it has not */
	struct entry now; /* path NULL; target owned */
	bool content;	  /* bytes may differ from the acknowledged ones */
	bool special;	  /* FIFO, socket, device: never sent */
	uint64_t node;
	uint64_t seq;
	unsigned index;	  /* of this change in its list */
};

struct mirror_changes {
	GPtrArray *list;	/* struct mirror_change, owned; parents before
				 * children; gone ones last, children first */
	bool more;		/* limits were reached: collect again */
};

/* Takes up to the limits of dirty places out of the set (a whole rename is
 * never split). They are in flight until settled; places that change again
 * become dirty anew. Only one collection at a time. */
struct mirror_changes *mirror_collect(struct mirror *m, uint64_t max_entries,
	uint64_t max_bytes);
/* True while the file at the change still is as collected (asked while it is
 * sent). */
bool mirror_change_is_current(struct mirror *m, const struct mirror_change *c);
/* Says in C what the file is by now; its bytes must not have changed but by
 * being fetched. */
void mirror_describe(struct mirror *m, struct mirror_change *c);
/* Ends a collection and frees it. OK[i] says whether list[i] is in the sandbox
 * now; the others are dirty again, and their acked_path must say where the
 * sandbox has them by now: after a move was confirmed the caller has rebased
 * it. OK NULL: none is. */
void mirror_settle(struct mirror *m, struct mirror_changes *changes,
	const bool *ok);
/* Forgets what was observed (moves) and finds the dirty set anew, by comparing
 * every place with the acknowledged rows, as mirror_open() does: slower to send,
 * but right whatever happened. Not during a collection. */
int mirror_recompare(struct mirror *m, GError **err);
/* After the session changed PATH itself and the acknowledged rows with it: the
 * sandbox has (or lacks) what is there. DIRTY: it does not. */
void mirror_mark(struct mirror *m, const char *path, bool dirty);
/* The sandbox has what was at PATH when SEEN was read: clean, unless it has
 * changed since (another inode or ctime); then it is dirty. */
void mirror_mark_same(struct mirror *m, const char *path,
	const struct entry *seen);

/* --- for the session's flows ------------------------------------------ */

/* THE way to read content outside the adapter: a descriptor of the file at
 * PATH, complete bytes only. -ENODATA: a stub; -ENOENT, -EISDIR, … */
int mirror_open_content(struct mirror *m, const char *path);
/* FIFOs, sockets, devices in the mirror: number, for status. */
uint64_t mirror_special_count(struct mirror *m);
uint64_t mirror_node_count(struct mirror *m);

#endif
