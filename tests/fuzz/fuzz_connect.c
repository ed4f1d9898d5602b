/* Connect frames and the process events in them: however the bytes are cut, the
 * same comes out. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "transport/connect_frames.h"
#include "transport/e2b.h"

struct outcome {
	GString *text;
	struct e2b_run run;
	int result;
	bool ended;
};

static int collect(void *ctx, const void *buf, size_t len)
{
	g_string_append_len(ctx, buf, (gssize)len);
	return 0;
}

static int on_message(void *ctx, const char *text, size_t len)
{
	struct outcome *o = ctx;
	bool ping;

	return e2b_take_event(&o->run, text, len, &ping);
}

static void feed(const uint8_t *data, size_t len, size_t step,
	struct outcome *o)
{
	struct sink out = { .write = collect };
	struct connect_frames f;

	*o = (struct outcome){ .text = g_string_new(NULL) };
	out.ctx = o->text;
	o->run.out = &out;
	connect_frames_init(&f, on_message, o);
	for (size_t i = 0; i < len && o->result == 0; i += step)
		o->result = connect_frames_feed(
			&f, data + i, MIN(step, len - i));
	o->ended = f.ended;
	FUZZ_CHECK(f.ended || !f.code);
	connect_frames_release(&f);
	o->run.out = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const size_t steps[] = { 1, 3, 64 };
	struct outcome whole, cut;

	feed(data, len, len ? len : 1, &whole);
	FUZZ_CHECK(whole.run.status >= 0 && whole.run.status <= 255);
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		feed(data, len, steps[i], &cut);
		FUZZ_CHECK(cut.result == whole.result &&
			cut.ended == whole.ended &&
			cut.run.ended == whole.run.ended &&
			cut.run.status == whole.run.status &&
			cut.run.pid == whole.run.pid &&
			g_string_equal(cut.text, whole.text));
		g_string_free(cut.text, TRUE);
	}
	g_string_free(whole.text, TRUE);
	return 0;
}
