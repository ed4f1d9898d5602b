#ifndef TRANSPORT_SH_QUOTE_H
#define TRANSPORT_SH_QUOTE_H
/* Words for a POSIX shell. */
#include <glib.h>

/* Appends a blank and WORD in single quotes: any bytes but NUL. */
void sh_append_word(GString *script, const char *word);
/* The same for a workspace path, with "./" before it, so that no name looks
 * like an option. */
void sh_append_path(GString *script, const char *path);
/* The same without the blank: the rest of a word already begun. */
void sh_join_path(GString *script, const char *path);

/* `sh -c SCRIPT sh ARGS...` as a command line of plain characters that a login
 * shell of any kind (sh, csh, fish) hands on unchanged. The sh leads a process
 * group of its own where the other side has setsid. g_free it. */
char *sh_any_login(const char *script, const char *const *args);

/*
 * Arguments that are to travel as JSON, which holds UTF-8 only: NULL when they
 * can, else all of them as one word of base64, which the script gets instead
 * and unpacks by beginning with sh_unpack_args. g_free it.
 */
char *sh_pack_args(const char *const *args);
extern const char sh_unpack_args[];

#endif
