/*
 * Fuzzes a function of a Windows DLL in one process: the DLL is loaded once, and put back to what
 * it was after each input, so that no input sees what another one has left behind.
 *
 *     fuzz_dll DLL [FILE...]
 *
 * The function is the DLL's `decode(bytes, size)` (samples/fuzzing/notes.c) or else zlib's
 * `uncompress`. With files each is run once: one line a file, exit status 1 when one of them ended
 * in an exception. Without files it waits for AFL++ (persistent mode, inputs in shared memory) when
 * it was compiled with afl-clang-fast, and reads one input from standard input otherwise. An
 * exception that the DLL does not handle is reported and becomes abort(), which is what AFL++ takes
 * for a crash.
 *
 * Another DLL needs another `struct target`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/peldr.h"

#define MAX_INPUT (1u << 20)
#define OUT_SIZE  (1u << 20)

/* One call of the DLL: what to call it with, and what came of it. */
struct call {
    const uint8_t *bytes;
    uint32_t size, answer;
};

static void *function; /* of the DLL */
static uint8_t *out;

static void call_decode(void *user)
{
    struct call *call = user;
    uint32_t(PELDR_CDECL * decode)(const void *, uint32_t) = function;
    call->answer = decode(call->bytes, call->size);
}

/* `unsigned long` of Windows has 32 bits. */
static void call_uncompress(void *user)
{
    struct call *call = user;
    int32_t(PELDR_CDECL * uncompress)(void *, uint32_t *, const void *, uint32_t) = function;
    uint32_t size = OUT_SIZE;
    call->answer = (uint32_t)uncompress(out, &size, call->bytes, call->size);
}

static const struct target {
    const char *export;
    void (*call)(void *user);
} targets[] = {{"decode", call_decode}, {"uncompress", call_uncompress}};
static const struct target *target;

static void die(const char *what)
{
    fprintf(stderr, "fuzz_dll: %s: %s\n", what, peldr_error() ? peldr_error() : "failed");
    exit(2);
}

static void prepare(const char *path)
{
    peldr_module *dll = peldr_open(path, 0);
    if (!dll)
        die(path);
    for (size_t i = 0; !function && i < sizeof(targets) / sizeof(targets[0]); i++) {
        target = &targets[i];
        function = peldr_sym(dll, target->export);
    }
    if (!function)
        die(path);
    out = malloc(OUT_SIZE);
    if (!out || peldr_snapshot() != 0)
        die("snapshot");
}

/* Whether the call returned; the DLL is as it was before. */
static int run(struct call *call, struct peldr_exception *exception)
{
    int raised = peldr_call_guarded(target->call, call, exception);
    if (peldr_reset() != 0)
        die("reset");
    return raised == 0;
}

static size_t read_all(FILE *f, uint8_t *bytes)
{
    return f ? fread(bytes, 1, MAX_INPUT, f) : 0;
}

static int run_file(const char *path, uint8_t *bytes)
{
    FILE *f = fopen(path, "rb");
    struct call call = {bytes, (uint32_t)read_all(f, bytes), 0};
    struct peldr_exception e;
    int returned;
    if (!f) {
        perror(path);
        return 2;
    }
    fclose(f);
    returned = run(&call, &e);
    if (returned)
        printf("%s: 0x%08x\n", path, call.answer);
    else
        printf("%s: %s 0x%08x at %s\n", path, e.name, e.code, e.where);
    return !returned;
}

static void run_or_abort(const uint8_t *bytes, uint32_t size)
{
    struct call call = {bytes, size, 0};
    struct peldr_exception e;
    if (run(&call, &e))
        return;
    fprintf(stderr, "fuzz_dll: %s 0x%08x at %s\n", e.name, e.code, e.where);
    abort();
}

#ifdef __AFL_FUZZ_TESTCASE_LEN
__AFL_FUZZ_INIT();

static void run_afl(uint8_t *unused)
{
    __AFL_INIT();
    const uint8_t *bytes = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(1000000))
        run_or_abort(bytes, (uint32_t)__AFL_FUZZ_TESTCASE_LEN);
}
#else
static void run_afl(uint8_t *bytes)
{
    run_or_abort(bytes, (uint32_t)read_all(stdin, bytes));
}
#endif

int main(int argc, char **argv)
{
    static uint8_t bytes[MAX_INPUT];
    int status = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s DLL [FILE...]\n", argv[0]);
        return 2;
    }
    prepare(argv[1]);
    for (int i = 2; i < argc; i++) {
        int one = run_file(argv[i], bytes);
        status = one > status ? one : status;
    }
    if (argc == 2)
        run_afl(bytes);
    return status;
}
