/*
 * Records of listings: a record that is taken is legal and printing it gives a
 * record that reads the same; the parser always moves on.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "merge/lib/path.h"
#include "transport/listing.h"

static void check_again(const struct record *r)
{
	GString *text = g_string_new(NULL);
	const char *at;
	size_t left;
	struct record again;

	record_format(text, &r->e, r->path);
	at = text->str;
	left = text->len;
	FUZZ_CHECK(record_parse(&at, &left, false, &again) == 1);
	FUZZ_CHECK(again.kind == 'E' && again.e.type == r->e.type);
	FUZZ_CHECK(again.e.mtime_ns == r->e.mtime_ns &&
		again.e.ctime_ns == r->e.ctime_ns && again.e.ino == r->e.ino);
	FUZZ_CHECK(r->e.type != ENTRY_FILE || again.e.size == r->e.size);
	record_clear(&again);
	g_string_free(text, TRUE);
}

static void check_record(struct record *r)
{
	FUZZ_CHECK(r->kind && strchr("EODLUXZ", r->kind));
	if (r->path)
		FUZZ_CHECK(path_check(r->path, strlen(r->path)) == 0);
	if (r->kind == 'E' || r->kind == 'O' || r->kind == 'D')
		FUZZ_CHECK(r->path && r->e.path == r->path &&
			r->e.type != ENTRY_ABSENT && r->e.size >= 0);
	/* A name with a newline may end where the next record seems to begin. */
	if (r->kind == 'E' && r->e.type != ENTRY_SPECIAL &&
		r->e.type != ENTRY_LINK && !strchr(r->path, '\n'))
		check_again(r);
}

static void parse(const char *text, size_t len, bool delta)
{
	const char *at = text;
	size_t left = len;
	struct record r;
	int ret;

	while ((ret = record_parse(&at, &left, delta, &r)) == 1) {
		FUZZ_CHECK(at > text && at + left == text + len);
		text = at;
		len = left;
		check_record(&r);
		record_clear(&r);
	}
	FUZZ_CHECK(ret <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* The exact size, so that a read beyond it is seen. */
	g_autofree char *text = fuzz_copy(data, len);

	parse(text, len, false);
	parse(text, len, true);
	return 0;
}
