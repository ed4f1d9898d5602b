#include "merge/lib/path.h"

#include <errno.h>
#include <string.h>

#include <glib.h>

static int check_component(const char *name, size_t len)
{
	if (len == 0 || (len == 1 && name[0] == '.') ||
		(len == 2 && name[0] == '.' && name[1] == '.'))
		return -EINVAL;
	return len > NAME_LIMIT ? -ENAMETOOLONG : 0;
}

int path_check(const char *path, size_t len)
{
	size_t start = 0;

	if (len == 0 || memchr(path, '\0', len))
		return -EINVAL;
	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	for (size_t i = 0; i <= len; i++) {
		int r;

		if (i < len && path[i] != '/')
			continue;
		r = check_component(path + start, i - start);
		if (r < 0)
			return r;
		start = i + 1;
	}
	return 0;
}

/* '/' becomes 1 and every byte from 1 on moves up; the end is 0. */
static unsigned order_of(unsigned char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : c + 1u;
}

int path_compare(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	unsigned x = order_of((unsigned char)*a);
	unsigned y = order_of((unsigned char)*b);

	return (x > y) - (x < y);
}

bool path_is_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 0)
		return true;
	return strncmp(path, dir, len) == 0 &&
		(path[len] == '\0' || path[len] == '/');
}

const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *path_parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? g_strndup(path, (gsize)(slash - path)) : g_strdup("");
}

char *path_join(const char *dir, const char *name)
{
	return *dir ? g_strconcat(dir, "/", name, NULL) : g_strdup(name);
}

char *path_rebase(const char *path, const char *from, const char *to)
{
	const char *rest = path + strlen(from);

	if (*from == '\0')
		return path_join(to, path);
	if (*to == '\0' && *rest == '/')
		return g_strdup(rest + 1);
	return g_strconcat(to, rest, NULL);
}

static void display_byte(GString *out, unsigned char c)
{
	switch (c) {
	case '\n':
		g_string_append(out, "\\n");
		break;
	case '\t':
		g_string_append(out, "\\t");
		break;
	case '\r':
		g_string_append(out, "\\r");
		break;
	case '\\':
		g_string_append(out, "\\\\");
		break;
	default:
		g_string_append_printf(out, "\\x%02X", c);
	}
}

char *path_display(const char *path)
{
	GString *out = g_string_sized_new(strlen(path) + 8);

	while (*path) {
		gunichar c = g_utf8_get_char_validated(path, -1);
		bool valid = c != (gunichar)-1 && c != (gunichar)-2;
		const char *next = valid ? g_utf8_next_char(path) : path + 1;

		if (valid && c != '\\' && g_unichar_isprint(c))
			g_string_append_len(out, path, next - path);
		else
			for (; path < next; path++)
				display_byte(out, (unsigned char)*path);
		path = next;
	}
	return g_string_free(out, FALSE);
}
