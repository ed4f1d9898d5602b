/* The frame around answers: however the bytes are cut, the same comes out. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "transport/frame.h"

static int collect(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

struct outcome {
	GString *text;
	int result, code;
	bool started, ended;
};

static void feed(const uint8_t *data, size_t len, size_t step,
	struct outcome *o)
{
	struct sink out = { .write = collect };
	struct frame f;

	*o = (struct outcome){ .text = g_string_new(NULL) };
	out.ctx = o->text;
	frame_init(&f, "n", &out);
	for (size_t i = 0; i < len && o->result == 0; i += step)
		o->result = frame_feed(&f, data + i, MIN(step, len - i));
	o->started = f.started;
	o->ended = f.ended;
	o->code = f.ended ? f.code : 0;
	frame_release(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const size_t steps[] = { 1, 2, 7, 64 };
	struct outcome whole, cut;

	feed(data, len, len ? len : 1, &whole);
	FUZZ_CHECK(!whole.ended || whole.started);
	FUZZ_CHECK(whole.code >= 0 && whole.code <= 255);
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		feed(data, len, steps[i], &cut);
		FUZZ_CHECK(cut.ended == whole.ended &&
			cut.started == whole.started &&
			cut.code == whole.code && cut.result == whole.result);
		if (whole.result == 0)
			FUZZ_CHECK(g_string_equal(cut.text, whole.text));
		g_string_free(cut.text, TRUE);
	}
	g_string_free(whole.text, TRUE);
	return 0;
}
