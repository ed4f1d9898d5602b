#ifndef TRANSPORT_SPEC_INTERNAL_H
#define TRANSPORT_SPEC_INTERNAL_H
/* What spec.c and spec_config.c share. */
#include "transport/spec.h"

struct json;

bool spec_is_key(const char *key);
/* An object whose keys all are a spec's. */
struct spec *spec_from_json(const struct json *j, const char *where,
	GError **err);
/* Normalises remote_cwd; FAIL_USAGE unless it is absolute. */
int spec_check_cwd(struct spec *s, const char *where, GError **err);

/* The keys that only some providers have (spec_options.c). */
bool spec_option_is_key(const char *key);
int spec_options_take(struct spec *s, const struct json *j, const char *where,
	GError **err);
void spec_options_copy(struct spec *to, const struct spec *from);
void spec_options_clear(struct spec *s);

#endif
