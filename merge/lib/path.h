#ifndef MERGE_LIB_PATH_H
#define MERGE_LIB_PATH_H
/*
 * Workspace paths: relative, '/'-separated bytes, checked once where they
 * enter the program. Names are bytes; nothing here assumes an encoding.
 */
#include <stdbool.h>
#include <stddef.h>

/* A tree may be deeper than the 4095 bytes that one system call takes; what is
 * still deeper is no tree that anybody works in. */
enum { PATH_LIMIT = 65535, NAME_LIMIT = 255 };

/* 0 when the LEN bytes at PATH are a workspace path: not empty, no leading or
 * trailing or doubled '/', no "." or ".." component, no NUL, components of at
 * most NAME_LIMIT bytes, PATH_LIMIT in all. -EINVAL or -ENAMETOOLONG else. */
int path_check(const char *path, size_t len);

/* Order of a manifest: bytewise, but '/' sorts before every other byte, so
 * that a directory is followed directly by everything below it. */
int path_compare(const char *a, const char *b);

/* Whether PATH is DIR itself or below it; DIR "" holds everything. */
bool path_is_within(const char *path, const char *dir);

/* Last component, inside PATH. */
const char *path_name(const char *path);

/* The path of the directory that holds PATH, "" at the top; g_free it. */
char *path_parent(const char *path);

/* DIR/NAME, or NAME when DIR is ""; g_free it. */
char *path_join(const char *dir, const char *name);

/* PATH with the leading directory FROM replaced by TO (PATH is within FROM);
 * g_free it. */
char *path_rebase(const char *path, const char *from, const char *to);

/* PATH as a person may see it: valid UTF-8, control characters, terminal
 * escapes, backslashes and invalid bytes as \n, \t, \xHH; g_free it. */
char *path_display(const char *path);

#endif
