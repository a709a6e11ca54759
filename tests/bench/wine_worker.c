/*
 * The worker that runs inside Wine: LoadLibrary and FreeLibrary by the same protocol as worker.c.
 *
 *   wine_worker.exe [--hold] [--take BASE SIZE] [--keep DLL] [--touch] [--symbol NAME VALUE] DLL
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum { PAGE = 4096 };

static const char *path;
static BOOL touches;

static void fail(const char *what)
{
    fprintf(stderr, "wine_worker: %s: error %lu\n", what, GetLastError());
    exit(1);
}

static HMODULE load(const char *file)
{
    HMODULE module = LoadLibraryA(file);
    if (!module)
        fail(file);
    return module;
}

/* SizeOfImage lies at the same place in both kinds of optional header. */
static DWORD image_size(HMODULE module)
{
    const char *base = (const char *)module;
    return ((const IMAGE_NT_HEADERS *)(base + ((const IMAGE_DOS_HEADER *)base)->e_lfanew))
        ->OptionalHeader.SizeOfImage;
}

static unsigned touch(HMODULE module)
{
    unsigned sum = 0;
    DWORD size = image_size(module);
    for (DWORD at = 0; at < size; at += PAGE)
        sum += ((volatile unsigned char *)module)[at];
    return sum;
}

static double timed(void)
{
    LARGE_INTEGER begin, end, frequency;
    HMODULE module;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&begin);
    module = load(path);
    if (touches)
        touch(module);
    FreeLibrary(module);
    QueryPerformanceCounter(&end);
    return (double)(end.QuadPart - begin.QuadPart) * 1e9 / (double)frequency.QuadPart;
}

static void serve(void)
{
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        fputs("0", stdout);
        for (unsigned long i = 0, count = strtoul(line, NULL, 10); i < count; i++)
            printf(" %.0f", timed());
        putchar('\n');
        fflush(stdout);
    }
}

static void hold(void)
{
    char line[64];
    HMODULE module = load(path);
    unsigned sum = touch(module);
    printf("%llx %lx %u\n", (unsigned long long)(UINT_PTR)module, image_size(module), sum);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
}

static void check(const char *symbol, int value)
{
    HMODULE module = load(path);
    FARPROC function = GetProcAddress(module, symbol);
    if (!function || (int)function() != value)
        fail(symbol);
    FreeLibrary(module);
}

int main(int argc, char **argv)
{
    BOOL holds = FALSE;
    const char *symbol = NULL;
    int i = 1, value = 0;
    for (; i < argc - 1; i++) {
        if (strcmp(argv[i], "--hold") == 0)
            holds = TRUE;
        else if (strcmp(argv[i], "--touch") == 0)
            touches = TRUE;
        else if (strcmp(argv[i], "--keep") == 0)
            load(argv[++i]);
        else if (strcmp(argv[i], "--symbol") == 0)
            symbol = argv[++i], value = atoi(argv[++i]);
        else if (strcmp(argv[i], "--take") == 0) {
            void *base = (void *)(UINT_PTR)strtoull(argv[++i], NULL, 0);
            if (!VirtualAlloc(base, strtoul(argv[++i], NULL, 0), MEM_RESERVE, PAGE_NOACCESS))
                fail("the base cannot be taken");
        }
    }
    if (i >= argc)
        return 2;
    path = argv[i];
    if (symbol)
        check(symbol, value);
    if (holds)
        hold();
    else
        serve();
    return 0;
}
