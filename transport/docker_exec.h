#ifndef TRANSPORT_DOCKER_EXEC_H
#define TRANSPORT_DOCKER_EXEC_H
/* One command in a container: create, start with streams both ways, wait for
 * its exit code. */
#include "transport/docker_engine.h"

struct docker_command {
	const char *id;		/* of the container */
	const char *line;	/* for sh -c, ASCII */
	struct source *in;	/* may be NULL, as both sinks */
	struct sink *out, *err_out;
};

/* *STATUS: the exit code. Errors as remote_ops.run; a container that stopped or
 * went away meanwhile as docker_engine_find(). FAIL_REMOTE: it has no sh. */
int docker_exec(struct docker_engine *e, const struct docker_command *c,
	const struct call *call, struct remote_stats *stats, int *status,
	GError **err);

#endif
