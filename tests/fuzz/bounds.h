/*
 * What one run of a fuzz target may cost: its CPU time and the memory it adds to the process's peak
 * are bounded by the input's size, or the run aborts. The bounds are far above what sanitizers and
 * a loaded machine make of an ordinary run.
 */
#ifndef TESTS_FUZZ_BOUNDS_H
#define TESTS_FUZZ_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_bounds {
    uint64_t cpu_ns; /* at the begin */
    uint64_t peak;   /* bytes */
};

struct fuzz_bounds fuzz_bounds_begin(void);
void fuzz_bounds_end(const struct fuzz_bounds *begin, size_t size);

#endif
