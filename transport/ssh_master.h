#ifndef TRANSPORT_SSH_MASTER_H
#define TRANSPORT_SSH_MASTER_H
/*
 * One connection of the system's ssh to a host, shared by all commands: a
 * control master of our own, apart from any the user has, with its socket in a
 * private directory. The user's configuration, agent and known hosts apply.
 *
 * The master's own session runs reap.sh as a lifeline: it knows the calls by
 * their token, and when the connection ends for whatever reason (closed, cut,
 * this process killed) it ends what they left running.
 *
 * Any thread may call; a connection that was cut is made again by the next
 * call that needs it.
 */
#include <glib.h>

#include "transport/remote.h"

struct ssh_master;

/* HOST: what `ssh HOST` takes; FAIL_USAGE when it begins with "-" or is not
 * one word. The environment's SANDMOUNT_SSH (words as a shell splits them) is
 * the program and its first options, default "ssh". TOKEN is copied. */
struct ssh_master *ssh_master_new(const char *host, const char *token,
	GError **err);
/* Closes the connection. NULL is fine. */
void ssh_master_free(struct ssh_master *m);

/* Returns once the connection is up. FAIL_UNAVAILABLE: not reached, and why;
 * FAIL_REMOTE: reached, but it does not let us in (key, host key, no shell),
 * with what to do; FAIL_DEADLINE, FAIL_CANCELLED. Blocks for the network. */
int ssh_master_ensure(struct ssh_master *m, const struct call *call,
	GError **err);

/* The words that run COMMAND (a command line for the login shell) through the
 * connection; borrowed parts, free the array. */
GPtrArray *ssh_master_argv(const struct ssh_master *m, const char *command);

#endif
