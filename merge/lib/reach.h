#ifndef MERGE_LIB_REACH_H
#define MERGE_LIB_REACH_H
/*
 * Paths longer than a system call takes (PATH_MAX counts the bytes of one
 * call, not of a tree, which may be deeper): the directory in front is opened
 * piece by piece and the rest goes with it. A path that fits, nearly every one,
 * stays as it is and costs no call.
 *
 *	autoreach struct reach at = REACH_NONE;
 *	r = reach_path(&at, root, path);
 *	if (r == 0 && unlinkat(at.dir, at.path, 0) < 0) ...
 *
 * Any thread; blocks on the local disk only.
 */
struct reach {
	int dir;	  /* ROOT, or own */
	const char *path; /* borrowed from PATH: the whole, or its end */
	int own;	  /* -1: none */
};

#define REACH_NONE { .dir = -1, .own = -1 }

/* PATH is relative, without empty components; "" becomes ".". No link is
 * followed in the pieces that are opened (-ELOOP, -ENOTDIR). On an error AT is
 * as it was, and a call with it fails with EBADF. */
int reach_path(struct reach *at, int root, const char *path);
void reach_end(struct reach *at);
#define autoreach __attribute__((cleanup(reach_end)))

#endif
