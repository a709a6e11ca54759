/*
 * What every fuzz target defines: one run over one input. The target copies the input into a block
 * of its exact size, so that a sanitizer sees the first byte read beyond it.
 *
 * A target that stands for a version of Windows takes it from byte 2 of the input, which is a field
 * that Windows does not look at (e_cblp): so the targets share their corpora, and a mutation can
 * change the version. main_replay.c tries all of them.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "pe/image.h"

#define FUZZ_VERSION_AT 2
#define FUZZ_VERSIONS   3u

static inline enum pe_windows fuzz_windows(const uint8_t *data, size_t size)
{
    static const enum pe_windows versions[FUZZ_VERSIONS] = {PE_WINDOWS_10, PE_WINDOWS_7,
                                                            PE_WINDOWS_XP};
    return versions[size > FUZZ_VERSION_AT ? data[FUZZ_VERSION_AT] % FUZZ_VERSIONS : 0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
