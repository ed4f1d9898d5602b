#ifndef FS_MIRROR_PART_INTERNAL_H
#define FS_MIRROR_PART_INTERNAL_H
/* What part.c, part_fetch.c, part_record.c and want.c share. All functions with
 * the tree's lock held. */
#include "fs/mirror/node.h"
#include "fs/mirror/part.h"

enum chunk { CHUNK_MISSING, CHUNK_COMING, CHUNK_HERE };

struct part {
	unsigned refs;		/* the table's, handles, jobs, reads */
	uint64_t node, stub_ino;
	/* The version. */
	uint64_t size;
	int64_t mtime_ns;
	uint64_t remote_ino;	/* 0: no range came yet */
	int64_t remote_ctime_ns;
	uint8_t *state;		/* enum chunk, one each */
	size_t chunks, here;
	int fd;			/* -1: not made yet */
	char *name;		/* of its file; NULL: none */
	bool over;		/* the stub stands for something else */
};

struct parts {
	int dir_fd;		/* -1: no ranges */
	GHashTable *of;		/* &node -> struct part, one reference each */
};

struct parts *parts_new(void);
void parts_free(struct parts *ps);

/* Whether N is a stub that is read by ranges. */
bool part_is_for(const struct mirror *m, const struct node *n);
/* N's part; NULL: it has none. */
struct part *part_find(const struct mirror *m, const struct node *n);
/* The same, made if need be. Borrowed. */
struct part *part_get(struct mirror *m, const struct node *n);
struct part *part_ref(struct part *p);
void part_unref(struct part *p);
struct part *part_new(uint64_t node, uint64_t ino, uint64_t size,
	int64_t mtime_ns);
/* N's part is of no use any more. OVER: nor to its handles. */
void part_forget(struct mirror *m, const struct node *n, bool over);

bool part_has(const struct part *p, uint64_t off, uint64_t len);
/* Whether nothing of it is missing but what was asked for already. */
bool part_is_coming(const struct part *p, uint64_t off, uint64_t len);
/* Asks for what is missing of LEN bytes at OFF, with AHEAD chunks of what
 * follows on. */
void part_ask(struct mirror *m, struct part *p, uint64_t off, uint64_t len,
	size_t ahead);
/* How many bytes parts take that nobody reads; DROP: they go. */
uint64_t parts_idle(struct mirror *m, bool drop);
uint64_t part_bytes(const struct part *p);
/* Its file and record. */
void part_unlink(struct mirror *m, struct part *p);

#endif
