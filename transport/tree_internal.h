#ifndef TRANSPORT_TREE_INTERNAL_H
#define TRANSPORT_TREE_INTERNAL_H
/* What the files of the remote tree share. Not for others. */
#include "transport/tree.h"

struct tree {
	struct remote *remote;	/* borrowed */
	char *root, *runtime, *id, *userland;
	bool fresh, subsecond, has_printf, has_sha256, has_dd;
	uint64_t least;		/* atomic: the last batch known to be done */
	bool kept;		/* atomic: the sandbox has our script */
};

/* Runs SCRIPT with ROOT RUNTIME ID and MORE (NULL-terminated, may be NULL) as
 * arguments. A non-zero exit is an error, but for CODE_OK (then it is that). */
int tree_run(struct tree *t, const char *what, const char *script,
	const char *const *more, const struct call *call, struct source *in,
	struct sink *out, GError **err);

/* Collects a script's whole answer, at most LIMIT bytes, in a GString. */
struct answer {
	GString *text;
	size_t limit;
};
struct sink answer_sink(struct answer *a);

struct tree_request {
	const char *script;
	const char *const *more;	/* arguments; may be NULL */
	const GPtrArray *paths;		/* its input */
	const struct tree_progress *progress;	/* may be NULL */
};
/* Runs the script and unpacks the archives it prints into STAGING_FD. */
int tree_receive(struct tree *t, const struct tree_request *q, int staging_fd,
	const struct call *call, struct manifest **got, GError **err);

/* FAIL_GONE with what to do. */
int tree_gone(const struct tree *t, GError **err);
/* FAIL_PROTOCOL: an answer of WHAT that makes no sense. */
int tree_garbled(const struct tree *t, const char *what, GError **err);

/* PATHS of char * as "./PATH" words, each ending in NUL. */
GString *tree_path_list(const GPtrArray *paths);
/* A source that reads from TEXT (borrowed); *AT is its position. */
struct text_source {
	const char *text;
	size_t len, at;
};
struct source text_source(struct text_source *t);

#endif
