#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
/*
 * What the fuzz targets share. A target is one file fuzz_NAME.c with
 * LLVMFuzzerTestOneInput(): it gives the bytes to one parser of outside bytes
 * and checks what the parser's header promises, not only that it survives.
 * Seeds are in corpus/NAME/; inputs that once failed stay there.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_CHECK(cond)                                              \
	do {                                                          \
		if (!(cond)) {                                        \
			fprintf(stderr, "%s:%d: not so: %s\n",        \
				__FILE__, __LINE__, #cond);           \
			abort();                                      \
		}                                                     \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The input in a block of its exact size, so that a read beyond it is seen;
 * never NULL; free it. */
static inline char *fuzz_copy(const uint8_t *data, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	for (size_t i = 0; i < len; i++)
		copy[i] = (char)data[i];
	return copy;
}

/* A directory of this process, made at the first call and removed at exit;
 * in memory where /dev/shm can be used. Borrowed. */
const char *fuzz_scratch(void);

/* Writes DATA as the file NAME in the scratch directory; g_free the path. */
char *fuzz_scratch_file(const char *name, const void *data, size_t len);

#endif
