/*
 * What every fuzz target defines: one run over one input. The target copies the input into a block
 * of its exact size, so that a sanitizer sees the first byte read beyond it.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
