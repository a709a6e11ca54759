/*
 * DLLs whose import descriptors share one lookup table, for tests of what a small file may cost.
 */
#ifndef TESTS_SHARED_TABLES_H
#define TESTS_SHARED_TABLES_H

#include <stdlib.h>

#include "tests/unit/graphimage.h"

struct shared_tables {
    const char *dll, *name; /* what is imported; a NULL name: by ordinal 1 */
    uint32_t descriptors, entries;
};

/*
 * Adds them to `b`. The lookup table is apart from the IAT so that snapping does not change it.
 */
static inline void shared_tables_add(struct pebuild *b, const struct shared_tables *spec)
{
    const uint32_t word = sizeof(void *);
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t dll_rva = pebuild_str(&buf, spec->dll);
    pebuild_align(&buf, 2);
    uintptr_t thunk = pebuild_u16(&buf, 0);
    pebuild_str(&buf, spec->name ? spec->name : "");
    if (!spec->name)
        thunk = ((uintptr_t)1 << (8 * word - 1)) | 1;
    pebuild_align(&buf, word);
    uintptr_t *thunks = calloc(spec->entries + 1, sizeof(*thunks));
    if (!thunks)
        abort();
    for (uint32_t i = 0; i < spec->entries; i++)
        thunks[i] = thunk;
    uint32_t lookup = pebuild_bytes(&buf, thunks, (spec->entries + 1) * word);
    free(thunks);
    uint32_t iat = pebuild_ptr(&buf, 1); /* an empty address table would be skipped */
    pebuild_zeroes(&buf, spec->entries * word);
    uint32_t directory = pebuild_here(&buf);
    for (uint32_t i = 0; i < spec->descriptors; i++) {
        pebuild_u32(&buf, lookup);
        pebuild_zeroes(&buf, 8);
        pebuild_u32(&buf, dll_rva);
        pebuild_u32(&buf, iat);
    }
    pebuild_zeroes(&buf, 20);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, directory, spec->descriptors * 20);
    pebuild_buffer_section(&buf, ".idata", PEBUILD_DATA);
}

#endif
