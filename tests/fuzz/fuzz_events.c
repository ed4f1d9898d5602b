/* Server-sent events: however the bytes are cut, the same comes out. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "transport/event_stream.h"

static int collect(void *ctx, const char *name, const char *data, size_t len)
{
	FUZZ_CHECK(*name);
	g_string_append(ctx, name);
	g_string_append_c(ctx, '\0');
	g_string_append_len(ctx, data, (gssize)len);
	g_string_append_c(ctx, '\0');
	return 0;
}

static GString *feed(const uint8_t *data, size_t len, size_t step)
{
	GString *got = g_string_new(NULL);
	struct event_stream s;

	event_stream_init(&s, collect, got);
	for (size_t i = 0; i < len; i += step)
		FUZZ_CHECK(event_stream_feed(
			&s, data + i, MIN(step, len - i)) == 0);
	FUZZ_CHECK(event_stream_finish(&s) == 0);
	event_stream_release(&s);
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const size_t steps[] = { 1, 3, 64 };
	GString *whole = feed(data, len, len ? len : 1);

	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		GString *cut = feed(data, len, steps[i]);

		FUZZ_CHECK(g_string_equal(cut, whole));
		g_string_free(cut, TRUE);
	}
	g_string_free(whole, TRUE);
	return 0;
}
