/*
 * Functions that crash, each in its own way, for hosts that call them under a guard. Built without
 * any handler of its own.
 */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT void WINAPI RaiseException(DWORD code, DWORD flags, DWORD count, const void *parameters);

EXPORT int add(int a, int b)
{
    return a + b;
}

EXPORT int read_from(const volatile int *address)
{
    return *address;
}

EXPORT void write_to(volatile int *address, int value)
{
    *address = value;
}

EXPORT int divide(volatile int a, volatile int b)
{
    return a / b;
}

EXPORT void raise_software(DWORD code)
{
    RaiseException(code, 0, 0, 0);
}

EXPORT void illegal(void)
{
    __asm__ volatile("ud2");
}

/* Frames of 1 KiB each, until the stack is used up. */
EXPORT int overflow(int depth)
{
    volatile BYTE frame[1024];
    frame[0] = (BYTE)depth;
    return depth <= 0 ? frame[0] : overflow(depth - 1) + frame[0];
}

EXPORT int call(int (*function)(int), int value)
{
    return function(value);
}

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}
