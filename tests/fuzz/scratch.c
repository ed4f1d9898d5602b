#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>
#include <glib.h>

#include "merge/lib/beneath.h"

static char *scratch;

static void remove_scratch(void)
{
	g_autofree char *parent = g_path_get_dirname(scratch);
	g_autofree char *name = g_path_get_basename(scratch);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		beneath_remove_all(fd, name);
		close(fd);
	}
	g_clear_pointer(&scratch, g_free);
}

const char *fuzz_scratch(void)
{
	if (!scratch) {
		scratch = g_strdup(access("/dev/shm", W_OK) == 0
				? "/dev/shm/sandmount-fuzz-XXXXXX"
				: "/tmp/sandmount-fuzz-XXXXXX");
		FUZZ_CHECK(g_mkdtemp(scratch));
		atexit(remove_scratch);
	}
	return scratch;
}

char *fuzz_scratch_file(const char *name, const void *data, size_t len)
{
	char *path = g_build_filename(fuzz_scratch(), name, NULL);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0);
	if (len)
		FUZZ_CHECK(write(fd, data, len) == (ssize_t)len);
	close(fd);
	return path;
}
