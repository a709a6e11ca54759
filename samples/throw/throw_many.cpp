/*
 * Throws and catches, counted: for the stress test and for the benchmark, which builds the same
 * source for Linux. Between throw and catch lie frames with something to destroy.
 */
#include "sample.h"

#ifdef _MSC_VER
#include "cxx_msvc/runtime.h"
#endif
#ifdef _WIN32
#define PLAIN extern "C" __declspec(dllexport)
#else
#define PLAIN extern "C" __attribute__((visibility("default")))
#endif
#define NOINLINE __attribute__((noinline))

static volatile int step = 1;

struct Counter {
    int *count;
    explicit Counter(int *count) : count(count)
    {
    }
    ~Counter()
    {
        *count += step;
    }
};

struct Payload {
    int value, check;
};

static NOINLINE int thrower(int value, int depth, int *count)
{
    Counter counter(count);
    if (depth == 0) {
        Payload payload = {value, ~value};
        throw payload;
    }
    return thrower(value, depth - step, count) + 1;
}

/* 0, or the number of the first throw that went wrong. */
PLAIN int throw_many(int rounds, int depth)
{
    for (int i = 1; i <= rounds; i++) {
        int destroyed = 0, caught = 0;
        try {
            caught = -thrower(i, depth, &destroyed);
        } catch (const Payload &payload) {
            caught = payload.value == i && payload.check == ~i;
        }
        if (caught != 1 || destroyed != depth + 1)
            return i;
    }
    return 0;
}
