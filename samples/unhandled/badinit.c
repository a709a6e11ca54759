/* A DLL that raises while it is initialised: in DllMain, or in a TLS callback (BAD_TLS). */
#include "winapi.h"

SAMPLE_NO_CRT

#ifdef BAD_TLS
typedef void(WINAPI *tls_callback)(HMODULE module, DWORD reason, void *reserved);

static void WINAPI on_attach(HMODULE module, DWORD reason, void *reserved)
{
    if (reason == DLL_PROCESS_ATTACH)
        *(volatile int *)(ULONG_PTR)8 = 1;
}

#ifdef _MSC_VER /* no runtime that brings the directory */
unsigned _tls_index;
static char tls_start[4];
static tls_callback callbacks[] = {on_attach, 0};
const struct {
    void *start, *end, *index, *callbacks;
    DWORD zero_fill, characteristics;
} _tls_used = {tls_start, tls_start + 4, &_tls_index, callbacks, 0, 0};
#else
__attribute__((section(".CRT$XLC"), used)) static tls_callback xl_c = on_attach;
#endif
#endif

static void *handle;

/* Takes itself off the list: the image is gone after the load has failed. */
static int WINAPI seen(struct exception_pointers *pointers)
{
    say("vectored handler: %x", pointers->record->code);
    RemoveVectoredExceptionHandler(handle);
    return CONTINUE_SEARCH;
}

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
#ifndef BAD_TLS
    if (reason == DLL_PROCESS_ATTACH) {
        handle = AddVectoredExceptionHandler(1, seen);
        say("DllMain raises");
        RaiseException(0xE0000021, 0, 0, 0);
    }
#else
    (void)seen;
    (void)handle;
    if (reason == DLL_PROCESS_ATTACH)
        say("DllMain");
#endif
    return 1;
}
