/*
 * Runs a fuzz target under AFL++ in persistent mode: thousands of inputs, which arrive in shared
 * memory, in one process. With compilers of AFL++ that have no persistent mode for the word size
 * (afl-gcc -m32), a process an input, from standard input. Given files, it runs those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define MAX_INPUT (1u << 20)
#define RUNS      2000u /* then a fresh process, lest leaks of one input pass for another's */

static int run_stream(FILE *f)
{
    uint8_t *bytes = f ? malloc(MAX_INPUT) : NULL;
    size_t size = bytes ? fread(bytes, 1, MAX_INPUT, f) : 0;
    int result = bytes ? LLVMFuzzerTestOneInput(bytes, size) : 1;
    free(bytes);
    return result;
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    int result = run_stream(f);
    if (f)
        fclose(f);
    return result;
}

#ifdef FUZZ_PERSISTENT
__AFL_FUZZ_INIT();

static int run_afl(void)
{
    __AFL_INIT();
    const uint8_t *bytes = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(RUNS))
        LLVMFuzzerTestOneInput(bytes, (size_t)__AFL_FUZZ_TESTCASE_LEN);
    return 0;
}
#else
static int run_afl(void)
{
    return run_stream(stdin);
}
#endif

int main(int argc, char **argv)
{
    int result = 0;
    for (int i = 1; i < argc; i++)
        result |= run_file(argv[i]);
    return argc > 1 ? result : run_afl();
}
