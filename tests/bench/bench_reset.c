/*
 * Executions per second of a function of a DLL that is called again and again: with the DLL put
 * back after each call (peldr_reset), loaded anew for each, and left as it is, which is the bound.
 * The contenders take turns in rounds; the best round of each counts.
 *
 *     bench_reset notes.dll [zlib1.dll]
 *
 * And what going back costs by the pages that were written, in an image of 128 MiB.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/peldr.h"
#include "tests/pebuild.h"

enum { ROUNDS = 15, CALLS = 400 };

static uint8_t packed[256], unpacked[4096];
static uint32_t packed_size;

static void fail(const char *what)
{
    fprintf(stderr, "bench_reset: %s: %s\n", what, peldr_error() ? peldr_error() : "failed");
    exit(1);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static void *symbol(peldr_module *dll, const char *name)
{
    void *found = peldr_sym(dll, name);
    if (!found)
        fail(name);
    return found;
}

/* ---- what is called ---- */

static void call_notes(peldr_module *dll)
{
    static const char message[] = "N\5helloT\3abcS\2\0\0\0\7N\1x";
    uint32_t(PELDR_CDECL * decode)(const void *, uint32_t) = symbol(dll, "decode");
    decode(message, sizeof(message) - 1);
}

static void call_zlib(peldr_module *dll)
{
    int32_t(PELDR_CDECL * uncompress)(void *, uint32_t *, const void *, uint32_t) =
        symbol(dll, "uncompress");
    uint32_t size = sizeof(unpacked);
    if (uncompress(unpacked, &size, packed, packed_size) != 0)
        fail("uncompress");
}

static void pack(peldr_module *zlib)
{
    int32_t(PELDR_CDECL * compress)(void *, uint32_t *, const void *, uint32_t) =
        symbol(zlib, "compress");
    uint8_t text[1024];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i % 26 + 'a');
    packed_size = sizeof(packed);
    if (compress(packed, &packed_size, text, sizeof(text)) != 0)
        fail("compress");
}

/* ---- the ways ---- */

static peldr_module *load(const char *path)
{
    peldr_module *dll = peldr_open(path, 0);
    if (!dll)
        fail(path);
    return dll;
}

static double plainly(const char *path, void (*call)(peldr_module *), int reset)
{
    peldr_module *dll = load(path);
    double begun, each;
    call(dll);
    if (reset && peldr_snapshot() != 0)
        fail("snapshot");
    begun = now();
    for (int i = 0; i < CALLS; i++) {
        call(dll);
        if (reset && peldr_reset() != 0)
            fail("reset");
    }
    each = (now() - begun) / CALLS;
    peldr_snapshot_drop();
    peldr_close(dll);
    return each;
}

static double reloading(const char *path, void (*call)(peldr_module *))
{
    double begun = now();
    for (int i = 0; i < CALLS; i++) {
        peldr_module *dll = load(path);
        call(dll);
        peldr_close(dll);
    }
    return (now() - begun) / CALLS;
}

static void compare(const char *path, const char *what, void (*call)(peldr_module *))
{
    double best[3] = {1e9, 1e9, 1e9};
    for (int round = 0; round < ROUNDS; round++) {
        for (int way = 0; way < 3; way++) {
            double each = way == 2 ? reloading(path, call) : plainly(path, call, way);
            best[way] = each < best[way] ? each : best[way];
        }
    }
    printf("%-12s %12.0f %12.0f %12.0f %16.1f\n", what, 1e6 / best[0], 1e6 / best[1], 1e6 / best[2],
           best[2] / best[1]);
}

/* ---- by pages written ---- */

static uint64_t data_of(peldr_module *dll)
{
    struct peldr_region region;
    uint32_t cursor = 0;
    while (peldr_next_region(dll, &cursor, &region) == 1)
        if (strcmp(region.section, ".data") == 0)
            return region.address;
    fail("no .data");
    return 0;
}

static double best_reset(char *data, uint64_t size, uint32_t pages)
{
    double best = 1e9;
    for (int i = 0; i < 200; i++) {
        double begun;
        for (uint32_t page = 0; page < pages; page++)
            data[page * (size / pages) / 4096 * 4096] = 1;
        begun = now();
        if (peldr_reset() != 0)
            fail("reset");
        begun = now() - begun;
        best = begun < best ? begun : best;
    }
    return best;
}

static void by_pages(uint32_t mebibytes)
{
    static const uint8_t bytes[512] = {1};
    const uint32_t counts[] = {1, 3, 10, 100, 1000};
    char path[] = "/tmp/bench-reset-XXXXXX";
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0));
    peldr_module *dll;
    uint64_t data;
    pebuild_section(b, ".data", PEBUILD_DATA, bytes, sizeof(bytes), mebibytes << 20);
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || !pebuild_finish_file(b, path))
        fail(path);
    dll = load(path);
    unlink(path);
    data = data_of(dll);
    if (peldr_snapshot() != 0)
        fail("snapshot");
    printf("%-12u", mebibytes);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        printf(" %10.1f",
               best_reset((char *)(uintptr_t)data, (uint64_t)mebibytes << 20, counts[i]));
    printf("\n");
    peldr_snapshot_drop();
    peldr_close(dll);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_reset notes.dll [zlib1.dll]\n");
        return 2;
    }
    printf("calls per second     no reset        reset       reload  reset : reload\n");
    compare(argv[1], "notes.dll", call_notes);
    if (argc > 2 && access(argv[2], R_OK) == 0) {
        peldr_module *zlib = load(argv[2]);
        pack(zlib);
        peldr_close(zlib);
        compare(argv[2], "zlib1.dll", call_zlib);
    }
    printf("\nus a reset, by pages written:\nimage, MiB            1          3         10        "
           "100       1000\n");
    by_pages(1);
    by_pages(16);
    by_pages(128);
    return 0;
}
