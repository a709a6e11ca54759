/* Loads libm (libm.h). Its name is the same for as long as glibc keeps its ABI. */
#include "loader/win32/crt/libm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY(name)   {#name, offsetof(struct crt_libm, name)},
#define ENTRIES(name) ENTRY(name) ENTRY(name##f)
static const struct {
    const char *name;
    size_t offset;
} entries[] = {CRT_LIBM_NAMES(ENTRIES, ENTRY)};

static struct crt_libm functions;

static void load(void)
{
    void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
        void *address = library != NULL ? dlsym(library, entries[i].name) : NULL;

        if (address == NULL) {
            fprintf(stderr, "peldr: an image calculates, and libm cannot be loaded: %s\n",
                    dlerror());
            abort();
        }
        /* What POSIX asks of dlsym(): a function's address passes through an object pointer. */
        *(void **)((char *)&functions + entries[i].offset) = address;
    }
}

const struct crt_libm *crt_libm(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return &functions;
}
