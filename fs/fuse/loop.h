#ifndef FS_FUSE_LOOP_H
#define FS_FUSE_LOOP_H
/*
 * Serves the requests of one mounted session until it is unmounted.
 *
 * One thread leads: it reads a request, answers it and reads the next, so that
 * a request costs no hand-over between threads. Another stands by: when the
 * leader has been in one request for a few milliseconds (its disk is slow, or a
 * content comes over the network) the other takes the lead, and the first one
 * rests when it is done. So whatever blocks, the mount goes on. Where there are
 * more processors and the leaders are busy all the time, more of them lead.
 *
 * The leader keeps to the processor of whoever calls: waking a thread on
 * another, sleeping one costs ten times what the request itself does.
 */
struct fuse_session;

/* Blocks until the mount has ended. 0 or a negative errno. */
int loop_run(struct fuse_session *session);

#endif
