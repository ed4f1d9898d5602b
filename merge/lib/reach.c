#include "merge/lib/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "merge/lib/beneath.h"

enum { PIECE_MAX = PATH_MAX - 1 };

/* Opens the longest beginning of *PATH that fits and moves *PATH behind it. */
static int open_piece(int dir, const char **path)
{
	char piece[PATH_MAX];
	size_t len = PIECE_MAX;

	while (len && (*path)[len] != '/')
		len--;
	if (!len)
		return -ENAMETOOLONG;
	memcpy(piece, *path, len);
	piece[len] = '\0';
	*path += len + 1;
	return beneath_open(dir, piece, O_PATH | O_DIRECTORY, 0);
}

int reach_path(struct reach *at, int root, const char *path)
{
	int own = -1;

	while (strlen(path) > PIECE_MAX) {
		int next = open_piece(own < 0 ? root : own, &path);

		if (own >= 0)
			close(own);
		if (next < 0)
			return next;
		own = next;
	}
	*at = (struct reach){
		.dir = own < 0 ? root : own, .path = *path ? path : ".",
		.own = own,
	};
	return 0;
}

void reach_end(struct reach *at)
{
	if (at->own >= 0)
		close(at->own);
	at->own = -1;
}
