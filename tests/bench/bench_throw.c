/*
 * The cost of a C++ throw and catch through frames with destructors: the same source compiled for
 * Linux (an ELF library) and as DLLs that peldr loads, as ratios in one run. The contenders take
 * turns and the minimum over the rounds counts: these machines are noisy.
 *
 *   bench_throw TWIN.so|- DLL...            the table; - = no twin
 *   bench_throw --steady DLL...             100 000 throws: neither leak nor slow down
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loader/peldr.h"
#include "tests/samples.h"

enum { ROUNDS = 30, THROWS = 1000, DEPTH = 4, CONTENDERS_MAX = 8, BLOCK = 10000, BLOCKS = 10 };

typedef int (*host_fn)(int rounds, int depth);
typedef int(PELDR_CDECL *image_fn)(int rounds, int depth);

static struct contender {
    const char *name;
    host_fn host;
    image_fn image;
    double best;
} contenders[CONTENDERS_MAX];

/* Microseconds of processor time a throw; ends the program at a wrong result. */
static double cost(const struct contender *contender, int throws)
{
    struct timespec a, b;
    int wrong;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    wrong = contender->host ? contender->host(throws, DEPTH) : contender->image(throws, DEPTH);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    if (wrong) {
        fprintf(stderr, "%s: throw %d went wrong\n", contender->name, wrong);
        exit(1);
    }
    return ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) / throws;
}

/* The runtime DLLs lie beside the image. */
static image_fn load(const char *path)
{
    peldr_module *module = peldr_open(path, PELDR_ALTERED_SEARCH_PATH);
    image_fn function = module ? (image_fn)peldr_sym(module, "throw_many") : NULL;
    if (!function) {
        fprintf(stderr, "%s: %s\n", path, peldr_error());
        exit(1);
    }
    return function;
}

static int compare(int count)
{
    for (int i = 0; i < count; i++)
        contenders[i].best = cost(&contenders[i], THROWS); /* and warms up */
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++) {
            struct contender *contender = &contenders[(i + round) % count];
            double t = cost(contender, THROWS);
            if (t < contender->best)
                contender->best = t;
        }
    printf("%-40s %10s %8s\n", "throw + catch", "min us", "ratio");
    for (int i = 0; i < count; i++)
        printf("%-40s %10.2f %8.2f\n", contenders[i].name, contenders[i].best,
               contenders[i].best / contenders[0].best);
    return 0;
}

/* The bounds are generous: what counts is that nothing grows with the number of throws. */
static int steady(const struct contender *contender)
{
    double first, last = 0;
    struct held warm, now;
    cost(contender, BLOCK / 10);
    warm = held_now();
    first = cost(contender, BLOCK);
    for (int i = 1; i < BLOCKS; i++)
        last = cost(contender, BLOCK);
    now = held_now();
    printf("%s: first %.2f us, last %.2f us; heap %zu -> %zu, mappings %zu -> %zu\n",
           contender->name, first, last, warm.heap, now.heap, warm.maps, now.maps);
    if (now.fds > warm.fds ||
        (HELD_IS_EXACT &&
         (last > 3 * first + 5 || now.heap > warm.heap + 16384 || now.maps > warm.maps + 2))) {
        fprintf(stderr, "%s: throws leak or slow down\n", contender->name);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int count = 0, failed = 0;
    bool is_steady = argc > 1 && strcmp(argv[1], "--steady") == 0;
    if (argc < 3 || argc - 1 > CONTENDERS_MAX)
        return 2;
    for (int i = is_steady || strcmp(argv[1], "-") == 0 ? 2 : 1; i < argc; i++) {
        struct contender *contender = &contenders[count++];
        size_t length = strlen(argv[i]);
        contender->name = length > 40 ? argv[i] + length - 40 : argv[i];
        if (i > 1) {
            contender->image = load(argv[i]);
        } else {
            void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
            contender->host = library ? (host_fn)dlsym(library, "throw_many") : NULL;
            if (!contender->host) {
                fprintf(stderr, "%s\n", dlerror());
                return 1;
            }
        }
    }
    if (!is_steady)
        return compare(count);
    for (int i = 0; i < count; i++)
        failed |= steady(&contenders[i]);
    return failed;
}
