#ifndef TRANSPORT_SH_GROUP_H
#define TRANSPORT_SH_GROUP_H
/*
 * Shell commands that take many words each: one command a key (a directory, a
 * mode), in the order in which the keys first came, cut into several where the
 * words would be too many for one.
 *
 *	sh_group_new; sh_group_add, ...; sh_group_end
 */
#include <glib.h>

struct sh_group;

struct sh_group *sh_group_new(void);

/* Adds the path WORD, quoted, to the command that BEGIN starts; BEGIN is the key
 * and the command's text up to the words, without the blank before them. */
void sh_group_add(struct sh_group *g, const char *begin, const char *word);

/* Appends all commands to SCRIPT, each followed by END and a newline, and frees
 * G. */
void sh_group_end(struct sh_group *g, GString *script, const char *end);

#endif
