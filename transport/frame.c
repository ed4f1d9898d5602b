#include "transport/frame.h"

#include <errno.h>
#include <string.h>

/* The script runs in a subshell, so that its exit cannot skip the end. Shells
 * that lack UTF-8 locales stay byte-clean in C. The process id is kept for
 * reap.sh in a file that must not exist yet. */
const char frame_script[] =
	"sm_n=$1 sm_f=$2 sm_s=$3; shift 3; LC_ALL=C; export LC_ALL; "
	"[ -z \"$sm_f\" ] || { sm_f=${TMPDIR:-/tmp}/.sandmount-$sm_f; set -C; "
	"{ echo $$ >\"$sm_f\"; } 2>/dev/null || sm_f=; set +C; }; "
	"printf 'sandmount:%s:start\\n' \"$sm_n\"; "
	"( eval \"$sm_s\" ); sm_c=$?; "
	"[ -z \"$sm_f\" ] || rm -f \"$sm_f\"; "
	"printf 'sandmount:%s:end:%d\\n' \"$sm_n\" \"$sm_c\"";

const char frame_script_both[] =
	"sm_n=$1 sm_s=$2; shift 2; "
	"printf 'sandmount:%s:start\\n' \"$sm_n\"; "
	"printf 'sandmount:%s:start\\n' \"$sm_n\" >&2; "
	"( eval \"$sm_s\" ); sm_c=$?; "
	"printf 'sandmount:%s:end:%d\\n' \"$sm_n\" $sm_c >&2; "
	"printf 'sandmount:%s:end:%d\\n' \"$sm_n\" $sm_c";

enum { CODE_LIMIT = 8, CODE_LAST = 255 };

void frame_init(struct frame *f, const char *nonce, struct sink *out)
{
	*f = (struct frame){
		.start = g_strdup_printf("sandmount:%s:start\n", nonce),
		.end = g_strdup_printf("sandmount:%s:end:", nonce),
		.held = g_byte_array_new(),
		.out = out,
	};
}

void frame_release(struct frame *f)
{
	g_free(f->start);
	g_free(f->end);
	g_byte_array_free(f->held, TRUE);
}

static void drop(struct frame *f, size_t n)
{
	g_byte_array_remove_range(f->held, 0, (guint)n);
}

static int emit(struct frame *f, size_t n)
{
	int r = 0;

	if (n && f->out)
		r = f->out->write(f->out->ctx, f->held->data, n);
	drop(f, n);
	return r;
}

/* All of HELD but the end that may be the beginning of MARKER: nothing else is
 * held back, so that output shows as it comes. */
static size_t safe_length(const struct frame *f, const char *marker)
{
	size_t len = f->held->len;
	size_t keep = MIN(strlen(marker) - 1, len);

	while (keep && memcmp(f->held->data + len - keep, marker, keep))
		keep--;
	return len - keep;
}

static int find_start(struct frame *f)
{
	char *at = memmem(f->held->data, f->held->len, f->start,
		strlen(f->start));

	if (!at) {
		drop(f, safe_length(f, f->start));
		return 0;
	}
	drop(f, (size_t)(at - (char *)f->held->data) + strlen(f->start));
	f->started = true;
	return 1;
}

/* HELD begins with the end marker: its number, once the line is whole. */
static int take_code(struct frame *f)
{
	const char *text = (char *)f->held->data + strlen(f->end);
	size_t len = f->held->len - strlen(f->end);
	const char *newline = memchr(text, '\n', len);

	if (!newline)
		return len > CODE_LIMIT ? -EPROTO : 0;
	if (newline == text || newline - text > CODE_LIMIT)
		return -EPROTO;
	f->code = 0;
	for (; text < newline; text++) {
		if (!g_ascii_isdigit(*text))
			return -EPROTO;
		f->code = f->code * 10 + (*text - '0');
	}
	if (f->code > CODE_LAST)
		return -EPROTO;
	f->ended = true;
	return 0;
}

static int find_end(struct frame *f)
{
	char *at = memmem(
		f->held->data, f->held->len, f->end, strlen(f->end));
	int r;

	if (!at)
		return emit(f, safe_length(f, f->end));
	r = emit(f, (size_t)(at - (char *)f->held->data));
	return r < 0 ? r : take_code(f);
}

int frame_feed(struct frame *f, const void *buf, size_t len)
{
	if (f->ended)
		return 0;	/* nothing after the end counts */
	g_byte_array_append(f->held, buf, (guint)len);
	if (!f->started && find_start(f) == 0)
		return 0;
	return find_end(f);
}
