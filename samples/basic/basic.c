/*
 * The plainest DLL: code, constants, initialised data, zeroed data, and pointers that need fixups.
 * Loading it must show .text execute-read, .rdata read-only, .data copy-on-write and a zero tail.
 */
#include "sample.h"

SAMPLE_NO_CRT

static const int primes[] = {2, 3, 5, 7, 11, 13};
static const char *const names[] = {"two", "three", "five"}; /* one fixup each */
EXPORT int counter = 41;
EXPORT int zeroed[5000];
static int attached;

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    if (reason == DLL_PROCESS_ATTACH)
        attached++;
    return 1;
}

EXPORT int add(int a, int b)
{
    return a + b;
}

EXPORT int prime(unsigned i)
{
    return i < sizeof primes / sizeof *primes ? primes[i] : -1;
}

EXPORT const char *name_of(unsigned i)
{
    return i < sizeof names / sizeof *names ? names[i] : "none";
}

EXPORT int bump(void)
{
    return ++counter;
}

EXPORT int times_attached(void)
{
    return attached;
}

EXPORT int sum_zeroed(void)
{
    int sum = 0;
    for (unsigned i = 0; i < sizeof zeroed / sizeof *zeroed; i++)
        sum += zeroed[i];
    return sum;
}

EXPORT double half(double x)
{
    return x / 2;
}

EXPORT long long multiply(long long a, long long b)
{
    return a * b;
}

EXPORT int WINAPI subtract_stdcall(int a, int b)
{
    return a - b;
}

EXPORT void fill(char *buffer, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        buffer[i] = (char)('a' + i % 26);
}

EXPORT unsigned wide_length(const WCHAR *text)
{
    unsigned n = 0;
    while (text[n])
        n++;
    return n;
}
