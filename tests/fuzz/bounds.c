#include "tests/fuzz/bounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define CPU_NS          UINT64_C(5000000000)
#define CPU_NS_PER_BYTE 20000u
/* A fixup of two bytes may write to a page of its own, in each of a few views. */
#define MEMORY          (UINT64_C(192) << 20)
#define MEMORY_PER_BYTE (16u << 10)

static uint64_t cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t peak_now(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss << 10 : 0;
}

struct fuzz_bounds fuzz_bounds_begin(void)
{
    return (struct fuzz_bounds){cpu_now(), peak_now()};
}

void fuzz_bounds_end(const struct fuzz_bounds *begin, size_t size)
{
    uint64_t ns = cpu_now() - begin->cpu_ns, memory = peak_now() - begin->peak;
    if (ns <= CPU_NS + (uint64_t)size * CPU_NS_PER_BYTE &&
        memory <= MEMORY + (uint64_t)size * MEMORY_PER_BYTE)
        return;
    fprintf(stderr, "an input of %zu bytes took %llu ms and %llu MiB\n", size,
            (unsigned long long)(ns / 1000000), (unsigned long long)(memory >> 20));
    abort();
}
