/*
 * Archives from a sandbox: whatever they say, entries that come out are legal,
 * nothing is made outside the staging directory, no set-id bit is set, and the
 * manifest that comes back describes files that are there.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/beneath.h"
#include "merge/lib/path.h"
#include "merge/manifest.h"
#include "transport/tar.h"

struct input {
	const uint8_t *data;
	size_t left;
};

static ssize_t take(void *ctx, void *buf, size_t len)
{
	struct input *in = ctx;
	/* Odd chunks, as a pipe gives them. */
	size_t n = MIN(MIN(len, in->left), 1009);

	memcpy(buf, in->data, n);
	in->data += n;
	in->left -= n;
	return (ssize_t)n;
}

static unsigned count_names(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	unsigned n = 0;

	FUZZ_CHECK(dir);
	while (g_dir_read_name(dir))
		n++;
	g_dir_close(dir);
	return n;
}

static void check_entry(int fd, const struct entry *e)
{
	struct stat st;
	int r = beneath_stat(fd, e->path, &st);

	FUZZ_CHECK(path_check(e->path, strlen(e->path)) == 0);
	FUZZ_CHECK(!(e->mode & ~0777));
	/* A later member may stand where an earlier one was. */
	if (r < 0 || e->type != ENTRY_FILE || !S_ISREG(st.st_mode))
		return;
	FUZZ_CHECK(!(st.st_mode & 07177));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct tar_limits limits = { .entries = 100, .bytes = 1 << 20 };
	struct input in = { .data = data, .left = len };
	struct source source = { .read = take, .ctx = &in };
	g_autofree char *stage = NULL;
	struct manifest *got = NULL;
	GError *why = NULL;
	int fd, r;

	stage = g_build_filename(fuzz_scratch(), "stage", NULL);
	FUZZ_CHECK(mkdir(stage, 0700) == 0);
	fd = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0);
	r = tar_extract(&source, &limits, fd, &got, &why);
	FUZZ_CHECK((r < 0) == (why != NULL) && (r == 0) == (got != NULL));
	for (size_t i = 0; got && i < manifest_count(got); i++)
		check_entry(fd, manifest_at(got, i));
	close(fd);
	FUZZ_CHECK(count_names(fuzz_scratch()) == 1);
	fd = open(fuzz_scratch(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(beneath_remove_all(fd, "stage") == 0);
	close(fd);
	manifest_free(got);
	g_clear_error(&why);
	return 0;
}
