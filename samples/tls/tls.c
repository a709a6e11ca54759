/*
 * Static TLS with a template, zero fill and callbacks, written out as the C runtime of MSVC would
 * (PE specification, .tls), since clang has no runtime here. mingw-w64 brings the directory itself.
 */
#include "sample.h"

SAMPLE_NO_CRT

typedef void(WINAPI *tls_callback)(HMODULE module, DWORD reason, void *reserved);

static int callback_calls, callback_before_main, main_seen;

static void WINAPI on_thread(HMODULE module, DWORD reason, void *reserved)
{
    callback_calls++;
    if (reason == DLL_PROCESS_ATTACH && !main_seen)
        callback_before_main = 1;
}

#ifdef _MSC_VER
__declspec(thread) int tls_value = 5;
__declspec(thread) int tls_zero[100];

unsigned _tls_index;
#ifdef __i386__
__asm__(".globl __tls_array\n__tls_array = 0x2c\n"); /* offset of the slot array in the TEB */
#endif
#pragma section(".tls", read, write)
#pragma section(".tls$ZZZ", read, write)
__declspec(allocate(".tls")) char _tls_start = 0;
__declspec(allocate(".tls$ZZZ")) char _tls_end = 0;

#pragma section(".CRT$XLA", read)
#pragma section(".CRT$XLC", read)
#pragma section(".CRT$XLZ", read)
__declspec(allocate(".CRT$XLA")) tls_callback xl_a = 0;
__declspec(allocate(".CRT$XLC")) tls_callback xl_c = on_thread;
__declspec(allocate(".CRT$XLZ")) tls_callback xl_z = 0;

struct tls_directory {
    void *start, *end, *index, *callbacks;
    DWORD zero_fill, characteristics;
};
#pragma section(".rdata$T", read)
__declspec(allocate(".rdata$T")) const
    struct tls_directory _tls_used = {&_tls_start, &_tls_end, &_tls_index, &xl_a + 1, 0, 0};
#else
/* GCC keeps thread variables in emulated TLS; only the callbacks are the loader's business. */
static __thread int tls_value = 5;
static __thread int tls_zero[100];
__attribute__((section(".CRT$XLC"), used)) tls_callback xl_c = on_thread;
#endif

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    main_seen = 1;
    return 1;
}

EXPORT int tls_get(void)
{
    return tls_value;
}

EXPORT int tls_set(int value)
{
    int old = tls_value;
    tls_value = value;
    return old;
}

EXPORT int tls_zero_sum(void)
{
    int sum = 0;
    for (int i = 0; i < 100; i++)
        sum += tls_zero[i];
    tls_zero[3] = 1;
    return sum;
}

EXPORT int callbacks_seen(void)
{
    return callback_calls;
}

EXPORT int callback_came_first(void)
{
    return callback_before_main;
}
