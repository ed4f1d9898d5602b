#ifndef FS_MIRROR_NODE_H
#define FS_MIRROR_NODE_H
/*
 * The node table: inodes and their names, in memory. Not for other folders.
 *
 * A node is an inode; a place is one name of it in a directory. What the
 * sandbox has is known by place:
 *
 *	acked	the sandbox has something there; where it has it is the
 *		place's own path as the sandbox names it (the acknowledged path
 *		of the directory plus the name), unless `moved` says otherwise
 *	dirty	the sandbox has not what is there now
 *	content	the bytes may differ from what the sandbox has
 *
 * Invariants, with the tree lock held:
 *	- every place is in its directory's children, and in its node's names
 *	- a directory has exactly one place; the root has none
 *	- a dirty place is in `dirty`, a clean one is not
 *	- a place in `moved` is acked and dirty
 *	- a node without places has lookups or open files
 *	- a node is in `stubs`, by its inode, exactly when its content is not
 *	  complete; a filling one is pinned
 */
#include <sys/stat.h>
#include <glib.h>

#include "fs/mirror/mirror.h"
#include "merge/lib/mutex.h"
#include "merge/lib/reach.h"

struct node;

struct place {
	struct node *node, *parent;
	struct place *next;	/* next name of the same node */
	uint64_t seq;		/* of the first change since clean */
	int64_t since_ns;	/* when that was */
	uint32_t flight;	/* index + 1 in the collection under way */
	bool acked : 1, dirty : 1, content : 1;
	char name[];
};

/* fs/mirror/content.h; fetching is a stub that a job asks for. */
enum content_state {
	CONTENT_COMPLETE, CONTENT_STUB, CONTENT_FETCHING, CONTENT_FILLING,
};

struct node {
	uint64_t id;
	uint64_t lookups;	/* references the kernel holds */
	struct place *names;
	GHashTable *children;	/* name -> struct place; directories only */
	struct mirror_file *files;	/* open ones */
	uint64_t ino, size, blocks;
	int64_t atime_ns, mtime_ns, ctime_ns;
	int64_t used_ns;	/* io_now_ns() of the last open or close */
	uint32_t mode, nlink, uid, gid;
	uint32_t rdev;		/* as Linux numbers devices: 12 + 20 bits */
	uint32_t pins;		/* fetches under way */
	uint32_t writing;	/* writes of data under way */
	bool stale : 1;		/* the kernel has pages of earlier content */
	bool cached : 1;		/* the kernel's pages are of this content */
	bool sticky : 1;		/* a file to which a user gave that bit: shown,
				 * never in `mode`, not on disk */
	bool outdated : 1;		/* a directory in which names changed since its
				 * attributes were read: node_current() */
	bool unasked : 1;		/* its bytes came unasked and were not opened */
	uint8_t content;	/* enum content_state */
};

struct gone {
	uint64_t seq;
	int64_t since_ns;
};

/* A complete file that the next quiet creation of PATH takes. */
struct offer {
	const char *path, *name;	/* borrowed; path NULL: none */
	int dir_fd;
};

/* fs/mirror/dir.c: the names of a directory that is being listed. */
struct listing {
	uint64_t node;
	GArray *names;		/* owned; NULL: unused */
	uint64_t used;		/* when, in uses */
	bool ended;		/* somebody reached the end */
	bool lacks;		/* a name that is there by now */
};

enum { LISTINGS = 8 };

struct mirror {
	struct mirror_config config;	/* const after open */
	struct node *root;		/* const after open */
	dev_t dev;			/* const after open */
	struct mutex lock;		/* RANK_TREE; guards all below */
	GHashTable *nodes;		/* &id -> struct node */
	GHashTable *dirty;		/* set of struct place */
	GHashTable *moved;		/* struct place -> acked path */
	GHashTable *gone;		/* acked path -> struct gone */
	uint64_t seq;			/* of the newest change */
	uint64_t next_id;		/* of the high range */
	GPtrArray *flight;		/* struct place or NULL, by change */
	struct mirror_changes *collected; /* the collection under way */
	uint64_t special;		/* FIFOs, sockets, devices */
	struct offer offer;
	struct listing listings[LISTINGS];
	uint64_t listing_uses;
	bool warned;			/* that base bytes could not be kept */
	GHashTable *stubs;		/* &ino -> struct node */
	struct wants *wants;		/* fs/mirror/want.c; const after open */
	struct parts *parts;		/* fs/mirror/part.c; const after open */
};

struct mirror_file {
	struct node *node;
	struct mirror_file *next;
	int fd;
	bool writable;
	struct part *part;	/* a reference; opened as one, NULL: not */
	uint64_t read_to, ahead;	/* fs/mirror/part.c: the furthest byte,
				 * and how many chunks come ahead */
};

static inline bool is_dir(const struct node *n)
{
	return S_ISDIR(n->mode);
}

/* --- fs/mirror/want.c, fill.c: all with the lock held ------------------ */
struct wants *wants_new(void);
void wants_free(struct wants *w);
/* Somebody's content arrived, or cannot: R. */
void wants_end(struct mirror *m, const struct node *n, int r);
/* Waits until nobody writes into N. */
void fill_wait(struct mirror *m, const struct node *n) REQUIRES(m->lock);
/* N's content is complete from now on. */
void stub_end(struct mirror *m, struct node *n);
/* Enters N, if it is a stub. */
void stub_take(struct mirror *m, struct node *n);

/* --- fs/mirror/dir.c --------------------------------------------------- */
void dir_free_listings(struct mirror *m);
/* A name came into DIR, or DIR itself goes. */
void dir_outdate_listing(struct mirror *m, const struct node *dir);

/* All with the lock held. */
struct node *node_find(struct mirror *m, uint64_t id);
/* The node of ST: an existing one (a hard link) or a new one. */
struct node *node_take(struct mirror *m, const struct stat *st);
void node_set_stat(struct node *n, const struct stat *st);
/* As N says; of a directory node_current() first. */
void node_get_stat(const struct node *n, struct stat *st);
/* Frees N if nothing holds it. */
void node_release(struct mirror *m, struct node *n);
struct place *place_add(struct mirror *m, struct node *parent,
	const char *name, struct node *n);
struct place *place_find(const struct node *parent, const char *name);
/* Takes the place out of everything and frees it; not its node. */
void place_remove(struct mirror *m, struct place *p);
/* --- reaching the disk ------------------------------------------------- */

/* A path in the mirror as system calls take it: (at.dir, at.path). */
struct spot {
	char *path;		/* owned; NULL: there is none */
	struct reach at;
};
#define SPOT_NONE { .path = NULL, .at = REACH_NONE }
#define autospot __attribute__((cleanup(spot_end)))
/* Takes over PATH. -ENOENT when it is NULL, -ENAMETOOLONG beyond what a
 * manifest can hold. */
int spot_init(struct mirror *m, struct spot *s, char *path);
void spot_end(struct spot *s);

/* Path in the mirror; g_free it. */
char *place_path(const struct place *p);
/* Path of a node by its first name, "" for the root; NULL when it has none. */
char *node_path(const struct node *n);
/* Path of NAME in directory N; g_free it. */
char *child_path(const struct node *n, const char *name);
/* lstat of PATH into N. 0 or negative errno. */
int node_refresh(struct mirror *m, struct node *n, const char *path);
/* Reads the attributes again if names changed in the directory N: so that a
 * thousand files made in it cost one such call. */
void node_current(struct mirror *m, struct node *n);
/* The place at PATH, or NULL. */
struct place *place_at(struct mirror *m, const char *path);

/* --- fs/mirror/exchange.c --------------------------------------------- */

/* Puts the file on offer for PATH there and opens it with FLAGS; a descriptor.
 * -ENOENT: nothing is offered. */
int take_offer(struct mirror *m, const char *path, int flags);

/* --- fs/mirror/dirty.c ------------------------------------------------ */

/* Where the sandbox has P, or NULL; g_free it. */
char *acked_path(const struct mirror *m, const struct place *p);
void mark_dirty(struct mirror *m, struct place *p, bool content);
void mark_node_dirty(struct mirror *m, struct node *n, bool content);
void mark_clean(struct mirror *m, struct place *p);
/* P's acknowledged path will be without anything of ours. */
void note_gone(struct mirror *m, const struct place *p);
void note_gone_path(struct mirror *m, const char *path, uint64_t seq,
	int64_t since_ns);
/* Before the content of N changes for the first time since acknowledged. */
void keep_base(struct mirror *m, struct node *n);
/* Tells the uploader; without the lock. */
void wake(struct mirror *m, const struct mirror_caller *c);

#endif
