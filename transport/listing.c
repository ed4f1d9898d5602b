#include "transport/listing.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "merge/lib/path.h"

void record_clear(struct record *r)
{
	g_free(r->path);
	g_free(r->target);
	*r = (struct record){ 0 };
}

/* A place in one record's text. */
struct cursor {
	const char *at, *end;
};

static bool take_char(struct cursor *c, char want)
{
	if (c->at == c->end || *c->at != want)
		return false;
	c->at++;
	return true;
}

static bool take_number(struct cursor *c, unsigned base, uint64_t *out)
{
	const char *start = c->at;
	uint64_t n = 0;

	for (; c->at < c->end; c->at++) {
		int digit = g_ascii_xdigit_value(*c->at);

		if (digit < 0 || (unsigned)digit >= base)
			break;
		if (n > (UINT64_MAX - (unsigned)digit) / base)
			return false;
		n = n * base + (unsigned)digit;
	}
	*out = n;
	return c->at > start && c->at - start <= 20;
}

/* "YYYY-MM-DD HH:MM:SS[.NNNNNNNNN] +0000 " */
static bool take_time(struct cursor *c, int64_t *ns)
{
	uint64_t v[6], fraction = 0;
	static const char after[] = "-- ::";
	struct tm tm = { 0 };
	bool negative = take_char(c, '-');

	for (size_t i = 0; i < 6; i++)
		if (!take_number(c, 10, &v[i]) || v[i] > 99999 ||
			(i < 5 && !take_char(c, after[i])))
			return false;
	if (take_char(c, '.')) {
		const char *start = c->at;

		if (!take_number(c, 10, &fraction))
			return false;
		for (long n = c->at - start; n < 9; n++)
			fraction *= 10;
		if (c->at - start > 9)
			return false;
	}
	tm.tm_year = (negative ? -(int)v[0] : (int)v[0]) - 1900;
	tm.tm_mon = (int)v[1] - 1;
	tm.tm_mday = (int)v[2];
	tm.tm_hour = (int)v[3];
	tm.tm_min = (int)v[4];
	tm.tm_sec = (int)v[5];
	*ns = entry_time_ns((int64_t)timegm(&tm), (int64_t)fraction);
	return take_char(c, ' ') && take_char(c, '+') &&
		take_char(c, '0') && take_char(c, '0') && take_char(c, '0') &&
		take_char(c, '0') && take_char(c, ' ');
}

static enum entry_type type_of(uint64_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIR;
	case S_IFLNK:
		return ENTRY_LINK;
	default:
		return ENTRY_SPECIAL;
	}
}

/* "./PATH" up to END, checked; NULL when it is none. */
static char *take_path(struct cursor *c, const char *end)
{
	const char *path = c->at + 2;

	if (end - c->at < 3 || c->at[0] != '.' || c->at[1] != '/' ||
		path_check(path, (size_t)(end - path)) < 0)
		return NULL;
	c->at = end;
	return g_strndup(path, (gsize)(end - path));
}

static bool take_mode(struct cursor *c, struct entry *e)
{
	uint64_t mode;

	if (!take_number(c, 16, &mode) || !take_char(c, ' '))
		return false;
	e->type = (uint8_t)type_of(mode);
	e->mode = mode & 07777;
	return true;
}

static bool take_entry(struct cursor *c, struct record *r)
{
	struct entry *e = &r->e;
	uint64_t size, ino;

	if (!take_mode(c, e) || !take_number(c, 10, &size) ||
		size > INT64_MAX || !take_char(c, ' ') ||
		!take_time(c, &e->mtime_ns) || !take_time(c, &e->ctime_ns) ||
		!take_number(c, 10, &ino) || !take_char(c, ' '))
		return false;
	e->size = e->type == ENTRY_FILE ? (int64_t)size : 0;
	e->ino = ino;
	r->path = take_path(c, c->end);
	e->path = r->path;
	return r->path != NULL;
}

static bool take_link(struct cursor *c, struct record *r)
{
	const char *sep = memmem(c->at, (size_t)(c->end - c->at), "//", 2);

	if (!sep)
		return false;
	r->path = take_path(c, sep);
	if (!r->path || memchr(sep, '\0', (size_t)(c->end - sep)) ||
		c->end - sep - 2 >= PATH_MAX)
		return false;
	r->target = g_strndup(sep + 2, (gsize)(c->end - sep - 2));
	return true;
}

static bool take_body(struct cursor *c, struct record *r)
{
	switch (r->kind) {
	case 'E':
	case 'O':
		return take_entry(c, r);
	case 'D':
		if (!take_mode(c, &r->e))
			return false;
		r->e.path = r->path = take_path(c, c->end);
		return r->path != NULL;
	case 'L':
		return take_link(c, r);
	case 'U':
		r->e.path = r->path = take_path(c, c->end);
		return r->path != NULL;
	case 'X':
		r->target = g_strndup(c->at, (gsize)(c->end - c->at));
		return true;
	default:
		return false;
	}
}

static bool begins_record(const char *text, size_t left, bool delta)
{
	if (left && *text == 'Z')
		return left >= 2 && text[1] == '\n';
	if (delta) {
		if (!left || !strchr("+-", *text))
			return false;
		text++;
		left--;
	}
	return left >= 2 && memchr("EODLUXZ", text[0], 7) &&
		(text[1] == ' ' || (text[0] == 'Z' && text[1] == '\n'));
}

/* End of the record that begins at TEXT: the newline before the next. */
static const char *find_end(const char *text, size_t left, bool delta)
{
	const char *end = text + left, *at = text;

	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		if (at + 1 == end ||
			begins_record(at + 1, (size_t)(end - at - 1), delta))
			return at;
		at++;
	}
	return NULL;
}

int record_parse(const char **text, size_t *left, bool delta,
	struct record *r)
{
	struct cursor c = { .at = *text };

	*r = (struct record){ 0 };
	if (*left == 2 && !memcmp(*text, "Z\n", 2))
		return 0;
	c.end = find_end(*text, *left, delta);
	if (!c.end || !begins_record(*text, *left, delta))
		return -EPROTO;
	*left -= (size_t)(c.end + 1 - *text);
	*text = c.end + 1;
	if (delta)
		r->sign = *c.at++;
	r->kind = *c.at++;
	if (r->kind == 'Z')	/* the end record inside a sorted listing */
		return 1;
	if (take_char(&c, ' ') && take_body(&c, r))
		return 1;
	record_clear(r);
	return -EPROTO;
}

static mode_t raw_mode(const struct entry *e)
{
	static const mode_t types[] = {
		[ENTRY_FILE] = S_IFREG,
		[ENTRY_DIR] = S_IFDIR,
		[ENTRY_LINK] = S_IFLNK,
	};

	return (e->type < G_N_ELEMENTS(types) ? types[e->type] : 0) | e->mode;
}

static void append_time(GString *out, int64_t ns)
{
	int64_t s = ns / 1000000000, part = ns % 1000000000;
	struct tm tm;
	time_t t;
	char text[40];

	if (part < 0) {
		part += 1000000000;
		s--;
	}
	t = (time_t)s;
	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	g_string_append_printf(out, "%s.%09d +0000 ", text, (int)part);
}

void record_format(GString *out, const struct entry *e, const char *path)
{
	/* A link's size is its target's. */
	int64_t size = e->type == ENTRY_LINK
		? (int64_t)strlen(e->target ? e->target : "") : e->size;

	g_string_append_printf(out, "E %x %" G_GINT64_FORMAT " ",
		(unsigned)raw_mode(e), size);
	append_time(out, e->mtime_ns);
	append_time(out, e->ctime_ns);
	g_string_append_printf(out, "%" G_GUINT64_FORMAT " ./%s\n",
		(guint64)e->ino, path);
}

void record_format_dir(GString *out, const struct entry *e, const char *path)
{
	g_string_append_printf(
		out, "D %x ./%s\n", (unsigned)raw_mode(e), path);
}
