/* Finding the sample images in a test, and counting what a process holds. */
#ifndef TESTS_SAMPLES_H
#define TESTS_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

#define SAMPLE_PATH_MAX 4096

/* The sets of this word size that were built ("clang64", ...); NULL ends. */
extern const char *const sample_sets[];
/* False when the set was not built. `name` like "basic.dll". */
bool sample_path(const char *set, const char *name, char path[SAMPLE_PATH_MAX]);
/* Names of the set's DLLs, NULL-terminated, in static memory. */
char *const *sample_dlls(const char *set);
/* Copies a file, so that the test has its SHARED PE sections for itself. */
void sample_copy(const char *from, const char *to);
/* A whole file in malloc'ed memory. */
void *sample_read(const char *path, size_t *size);

/* What must not grow: mappings, descriptors, heap bytes in use. */
struct held {
    size_t maps, fds, heap;
};
struct held held_now(void);
/* What is held of more than `before` is looked at again for two seconds: on a busy machine a
 * process that asks this one for something keeps it waiting, with a connection open. */
struct held held_since(const struct held *before);
/* Sanitizers keep memory of their own: their runs can compare descriptors only. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HELD_IS_EXACT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HELD_IS_EXACT 0
#endif
#endif
#ifndef HELD_IS_EXACT
#define HELD_IS_EXACT 1
#endif

#endif
