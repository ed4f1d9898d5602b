#ifndef TRANSPORT_CREDENTIAL_H
#define TRANSPORT_CREDENTIAL_H
/*
 * Where the key of an account comes from: the spec's apiKey, its apiKeyFile (a
 * regular file of this user that nobody else may read), its apiKeyCommand
 * (what it prints, within 30 s), or the environment variable ENV; the first of
 * these that the spec names counts. Surrounding white space goes; what is left
 * must be one line of printable ASCII. From the first question on this process
 * leaves no core file, in which the key would be.
 */
#include <glib.h>

struct spec;
struct call;

/* The key, to be given to credential_free(). FAIL_USAGE, saying what to do,
 * when there is none or it is not safe; FAIL_LOCAL when the command fails. */
char *credential_get(const struct spec *s, const char *env,
	const struct call *call, GError **err);
void credential_free(char *key);	/* wipes it; NULL is fine */

#endif
