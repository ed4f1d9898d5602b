#ifndef FS_CTL_WIRE_H
#define FS_CTL_WIRE_H
/* Lines on a socket; what both ends of the control socket share. */
#include <stdint.h>
#include <glib.h>

#define CTL_HELLO "sandmount 1"

struct wire_reader {
	int fd;
	GString *held;	/* bytes read beyond the last line */
};
void wire_reader_release(struct wire_reader *r);

/* LINE and a newline. 0 or a negative errno. */
int wire_write_line(int fd, const char *line);
/* Next line without its newline (g_free), NULL at the end. NULL with *ERR: too
 * long, a NUL, an error, or WAIT_MS (negative: for ever) passed. */
char *wire_read_line(struct wire_reader *r, int64_t wait_ms, GError **err);

#endif
