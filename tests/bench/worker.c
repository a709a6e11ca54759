/*
 * Times one way to load and unload one image. A coordinator (bench.py) runs many of these by turns:
 * each contender has a process of its own, so that none pays for what another one needs or has left
 * behind. There are two such programs: without libpeldr (host_contenders.c), so that dlopen works
 * in as small a process as there is, and with it (worker_peldr.c).
 *
 *   worker [options] CONTENDER FILE...
 *
 * Writes "ready", then for each number N on a line of standard input runs N times and writes the
 * page faults of all and the nanoseconds of each. --hold loads, touches every page and writes the
 * image's addresses (base and size, hexadecimal). Anything that goes wrong ends it with status 1.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/worker.h"

enum { PAGE = 4096, RUNS_MAX = 100000 };

/* Pages that are mapped besides, apart from each other: some low, where images lie, some where the
 * kernel puts libraries. */
enum { LOW_PAGES = 8, HIGH_PAGES = 7, LOW_BEGIN = 0x4000000, APART = 0x10000 };

static struct options options;

void fail(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("worker: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static unsigned touch(const struct contender *contender)
{
    unsigned sum = 0;
    struct range range = contender->range();
    for (size_t at = 0; at < range.size; at += PAGE)
        sum += (unsigned char)range.base[at];
    return sum;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t timed(const struct contender *contender)
{
    uint64_t begin, end;
    static volatile unsigned sink;
    if (contender->before)
        contender->before();
    begin = now();
    contender->load();
    if (options.touch)
        sink = touch(contender);
    contender->unload();
    end = now();
    (void)sink;
    return end - begin;
}

/* The same in a child that has loaded nothing yet but what --keep names. */
static uint64_t timed_in_child(const struct contender *contender)
{
    int pipe_ends[2], status;
    uint64_t result;
    pid_t child;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0 || (child = fork()) < 0)
        fail("no child");
    if (child == 0) {
        if (!contender->inherited)
            contender->prepare(&options);
        result = timed(contender);
        _exit(write(pipe_ends[1], &result, sizeof result) != sizeof result);
    }
    if (waitpid(child, &status, 0) != child || status != 0 ||
        read(pipe_ends[0], &result, sizeof result) != sizeof result)
        fail("a child failed");
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return result;
}

static void check(const struct contender *contender)
{
    void *function;
    int value;
    if (!options.symbol)
        return;
    if (contender->before)
        contender->before();
    contender->load();
    function = contender->find(options.symbol);
    value = function ? contender->call(function) : 0;
    if (!function || value != options.value)
        fail("%s of %s: %d, not %d", options.symbol, options.arguments[0], value, options.value);
    contender->unload();
}

/* The preferred base of the image is taken: it has to move. */
static void take(void)
{
    void *wanted = (void *)(uintptr_t)options.taken;
    if (options.taken &&
        mmap(wanted, (size_t)options.taken_size, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != wanted)
        fail("%s: its base cannot be taken", options.arguments[0]);
}

static void map_pages(void **pages, unsigned count, unsigned wanted, uintptr_t hint)
{
    for (unsigned i = 0; i < count; i++) {
        if ((i < wanted) == (pages[i] != NULL))
            continue;
        if (pages[i])
            munmap(pages[i], PAGE);
        /* Neighbours differ, and stay apart. */
        pages[i] = i < wanted ? mmap((void *)(hint + (hint ? i * APART : 0)), PAGE,
                                     i % 2 ? PROT_READ : PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                              : NULL;
        if (pages[i] == MAP_FAILED)
            fail("no memory");
    }
}

/* The nodes of the kernel's tree of mappings are split and joined at every load or at none (2 us
 * each), depending on how many mappings lie nearby: in every burst it is another number, so that
 * each contender meets the trees that suit it and those that do not. */
static void change_tree(void)
{
    static void *low[LOW_PAGES], *high[HIGH_PAGES];
    static unsigned burst;

    map_pages(low, LOW_PAGES, burst % LOW_PAGES, LOW_BEGIN);
    map_pages(high, HIGH_PAGES, burst % HIGH_PAGES, 0);
    burst++;
}

static void serve(const struct contender *contender)
{
    static uint64_t results[RUNS_MAX];
    char line[64];
    if (!options.fresh)
        check(contender);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        unsigned long count = strtoul(line, NULL, 10);
        struct rusage before, after;
        if (count > RUNS_MAX)
            fail("at most %d runs", RUNS_MAX);
        change_tree();
        getrusage(RUSAGE_SELF, &before);
        for (unsigned long i = 0; i < count; i++)
            results[i] = options.fresh ? timed_in_child(contender) : timed(contender);
        getrusage(RUSAGE_SELF, &after);
        printf("%ld", after.ru_minflt - before.ru_minflt); /* page faults come first */
        for (unsigned long i = 0; i < count; i++)
            printf(" %llu", (unsigned long long)results[i]);
        putchar('\n');
        fflush(stdout);
    }
}

static void hold(const struct contender *contender)
{
    struct range range;
    char line[64];
    if (contender->before)
        contender->before();
    contender->load();
    range = contender->range();
    printf("%llx %zx %u\n", (unsigned long long)(uintptr_t)range.base, range.size,
           touch(contender));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
}

static const struct contender *parse(int argc, char **argv, bool *is_hold)
{
    static const struct option longs[] = {{"keep", required_argument, NULL, 'k'},
                                          {"forget", no_argument, NULL, 'd'},
                                          {"symbol", required_argument, NULL, 's'},
                                          {"value", required_argument, NULL, 'v'},
                                          {"take", required_argument, NULL, 't'},
                                          {"wander", no_argument, NULL, 'w'},
                                          {"fixups", no_argument, NULL, 'x'},
                                          {"touch", no_argument, NULL, 'p'},
                                          {"fresh", no_argument, NULL, 'f'},
                                          {"hold", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1)
        switch (c) {
        case 'k':
            options.keep = optarg;
            break;
        case 'd':
            options.forget = true;
            break;
        case 's':
            options.symbol = optarg;
            break;
        case 'v':
            options.value = atoi(optarg);
            break;
        case 't':
            options.taken = strtoull(optarg, &optarg, 0);
            options.taken_size = strtoull(optarg + 1, NULL, 0);
            break;
        case 'w':
            options.wander = true;
            break;
        case 'x':
            options.fixups = true;
            break;
        case 'p':
            options.touch = true;
            break;
        case 'f':
            options.fresh = true;
            break;
        case 'h':
            *is_hold = true;
            break;
        default:
            return NULL;
        }
    options.arguments = argv + optind + 1;
    options.argument_count = argc - optind - 1;
    for (size_t i = 0; optind < argc && contenders[i]; i++)
        if (strcmp(contenders[i]->name, argv[optind]) == 0)
            return contenders[i];
    return NULL;
}

int main(int argc, char **argv)
{
    bool is_hold = false;
    const struct contender *contender = parse(argc, argv, &is_hold);
    if (!contender || options.argument_count < 1) {
        fputs("usage: worker [options] CONTENDER FILE...; see worker.c\n", stderr);
        return 2;
    }
    take();
    if (!options.fresh || contender->inherited)
        contender->prepare(&options);
    if (is_hold)
        hold(contender);
    else
        serve(contender);
    return 0;
}
