#ifndef TRANSPORT_SSH_ERROR_H
#define TRANSPORT_SSH_ERROR_H
/* What ssh's own messages mean, and what to do about them. */
#include <glib.h>

/* Sets *ERR for a connection to HOST that ended with STATUS before the other
 * side answered; TEXT is ssh's standard error. FAIL_REMOTE where trying again
 * cannot help, else FAIL_UNAVAILABLE. Returns -EIO. */
int ssh_explain(const char *host, int status, const char *text, GError **err);

#endif
