/*
 * Fuzz target: everything that pe/ parses, over the input as a file and as a mapped image. A second
 * walk must tell the same, because parsers keep no state.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/bounds.h"
#include "tests/fuzz/fuzz.h"
#include "tests/pewalk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bounds bounds = fuzz_bounds_begin();
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    struct pe_span bytes = {copy, size};
    uint64_t digest = pewalk(bytes, PE_LAYOUT_FILE);
    if (size < 4096 && pewalk(bytes, PE_LAYOUT_FILE) != digest)
        abort();
    pewalk(bytes, PE_LAYOUT_MAPPED);
    free(copy);
    fuzz_bounds_end(&bounds, size);
    return 0;
}
