#ifndef FS_CLI_PICK_ASK_H
#define FS_CLI_PICK_ASK_H
/*
 * The questions of restore -p, with the keys of `git add -p`. Answers are lines
 * of standard input, from a terminal or not; its end is the answer q.
 */
#include <stdbool.h>
#include <stddef.h>

struct json;

/* Asks about each item of OFFER (session.h). The picks for the restore;
 * json_free them. *TAKEN: how many of them take something. */
struct json *pick_ask(const struct json *offer, size_t *taken);
/* Whether anybody can answer: a terminal, a pipe or a file, not /dev/null. */
bool pick_can_ask(void);

#endif
