#ifndef TRANSPORT_SPEC_H
#define TRANSPORT_SPEC_H
/*
 * The sandbox spec: which sandbox, spoken to how. A JSON object, the name of
 * one in the config file, or PROVIDER:ID[:REMOTE_CWD].
 *
 * Rules of the object: transport is "sandbox"; provider, sandboxId and
 * remoteCwd are strings, not empty after trimming; timeoutMs is a finite number
 * > 0; apiKey is an optional string, trimmed, empty is none. A missing or
 * wrong key is FAIL_USAGE naming the key and what it must be. Unknown keys are
 * an error too, so that a typing mistake does not pass; so are keys that the
 * provider does not have.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

enum spec_flag { SPEC_UNSET, SPEC_NO, SPEC_YES };

struct spec {
	char *provider;	  /* all owned */
	char *sandbox_id;
	char *remote_cwd; /* absolute, normalised: no trailing '/', no "//" */
	char *api_key;	  /* or NULL; wiped by spec_free; never printed */
	int64_t timeout_ms;
	char **command;	  /* argv prefix of provider "command", or NULL */
	/* Of some providers only (spec_options.c), NULL or 0 when not given;
	 * saved with the session. */
	char *api_key_file;	/* 0600, holds the key */
	char **api_key_command;	/* argv that prints the key */
	char *base_url;		/* of the control plane, or of the bridge */
	char *sandbox_url;	/* of the sandboxes themselves */
	char *domain;
	char *template;		/* what a new sandbox is made of */
	char *user;		/* whom commands run as in the sandbox */
	int64_t lifetime_ms;	/* how long the sandbox lives from each renewal;
				 * 0: SPEC_DEFAULT_LIFETIME_MS */
	enum spec_flag resume;	/* may a paused sandbox be woken */
};

enum { SPEC_DEFAULT_TIMEOUT_MS = 300000, SPEC_DEFAULT_LIFETIME_MS = 3600000,
	 SPEC_FILE_LIMIT = 1 << 20 };

void spec_free(struct spec *s);	/* wipes the key; NULL is fine */
struct spec *spec_copy(const struct spec *s);	/* without the key */

/* Parses LEN bytes of JSON. WHERE names the source in messages. */
struct spec *spec_parse(const char *json, size_t len, const char *where,
	GError **err);

/* SANDBOX as on the command line: an existing file, a name in CONFIG_FILE (may
 * not exist), or PROVIDER:ID[:REMOTE_CWD] ("local:/path" has the path as id
 * and remote cwd). OPTIONS (may be NULL) receives the config entry's further
 * keys (long options without "--") as a string -> GPtrArray of char * table,
 * transfer full. "command:NAME:/path" and provider "command" take their argv
 * from the config's "commands"; an unknown NAME is FAIL_USAGE. A relative
 * remote cwd of "local" is made absolute. */
struct spec *spec_resolve(const char *sandbox, const char *config_file,
	GHashTable **options, GError **err);

/* The normalised spec as JSON text (no key), with its identity:
 * {"transport","provider","sandboxId","remoteCwd","timeoutMs","identity":{…}};
 * g_free it. */
char *spec_to_json(const struct spec *s);
/* Adds the keys that only some providers have to object J, as a spec has
 * them; no key of an account is among them. */
struct json;
void spec_options_put(const struct spec *s, struct json *j);
/* The identity object alone. */
char *spec_identity_json(const struct spec *s);
/* Equal (transport, provider, sandboxId, remoteCwd). */
bool spec_same_sandbox(const struct spec *a, const struct spec *b);
/* Default session name: the last component of the id, or, of the provider
 * "local" and the id "new", of the remote cwd, reduced to [A-Za-z0-9._-], not
 * beginning with '.' or '-', at most 64 bytes; g_free it. */
char *spec_default_name(const struct spec *s);

#endif
