#ifndef TRANSPORT_PROVIDER_H
#define TRANSPORT_PROVIDER_H
/* The providers of this build, for the table in remote.c. */
#include "transport/remote.h"

extern const struct remote_ops provider_local;
extern const struct remote_ops provider_command;
extern const struct remote_ops provider_ssh;
extern const struct remote_ops provider_docker;
extern const struct remote_ops provider_e2b;
extern const struct remote_ops provider_cloudflare;

#endif
