#ifndef MERGE_SCAN_POOL_H
#define MERGE_SCAN_POOL_H
/*
 * The part of scan that hands out work; for scan.c only.
 *
 * A job is a directory to list or a few files to hash; the caller's thread and
 * a handful of others take jobs until none is left and none is running that
 * could bring more. Files come before directories, and the directory found last
 * comes first, so that what waits stays small.
 *
 * What a worker finds goes to a batch of its own and from there, a thousand
 * entries at a time, to the manifest, whose sorting makes the order of work
 * irrelevant.
 *
 *	pool_init(&s, root_fd, options);
 *	worker_init(&w, &s);
 *	look at the root with W, which pushes the first jobs
 *	pool_run(&w);			 calls s.run_job in all threads
 *	worker_release(&w);
 *	pool_release(&s);
 */
#include <stdint.h>
#include <sys/stat.h>

#include <glib.h>

#include "merge/lib/mutex.h"
#include "merge/manifest.h"
#include "merge/scan.h"

struct batch {
	GArray *entries;    /* of struct entry; strings in text */
	GStringChunk *text; /* owned */
	int64_t bytes;	    /* sum of sizes */
};

struct job {
	char *path;	     /* of a directory, owned; NULL: hash files */
	struct stat st;	     /* of that directory, as its parent saw it */
	struct batch *files; /* owned */
	unsigned tries;	     /* how often it was something else before */
};

struct worker;

struct scan {
	int root_fd;
	const struct scan_options *o;
	int64_t start_ns;
	dev_t dev; /* of the root */
	void (*run_job)(struct worker *w, const struct job *j);
	struct mutex lock;
	struct cond wake;	 /* a job came, or the last one ended */
	/* Guarded by lock: */
	GQueue files, dirs;	 /* of struct job *, owned */
	unsigned busy;		 /* workers that run a job */
	struct manifest *out;	 /* owned; may be taken (NULL left) */
	struct scan_stats stats; /* sums of the workers' */
};

/* One thread's own. */
struct worker {
	struct scan *s;
	struct batch *done;	/* for the manifest */
	struct batch *unhashed; /* for the next job */
	unsigned tries;		/* of the job at hand */
	struct scan_stats stats;
};

void pool_init(struct scan *s, int root_fd, const struct scan_options *o);
/* Frees jobs that were not run, and the manifest. */
void pool_release(struct scan *s);

void worker_init(struct worker *w, struct scan *s);
/* Delivers what W still has. */
void worker_release(struct worker *w);

/* Runs all jobs, here and in other threads, or stops early on cancel. */
void pool_run(struct worker *w);

/* The three copy E and its strings. An entry for the manifest; a file that is
 * to be hashed first, as part of a later job; a directory, whose stat is ST, to
 * be listed. */
void add_done(struct worker *w, const struct entry *e);
void add_unhashed(struct worker *w, const struct entry *e);
void push_dir(struct worker *w, const char *path, const struct stat *st);

/* Makes a job of what add_unhashed() gathered. To be called before w->tries
 * changes and at the end of a job. */
void flush_unhashed(struct worker *w);

#endif
