/*
 * A DLL that says when threads come and go; with and without DisableThreadLibraryCalls,
 * which does nothing for an image with static TLS (mingw-w64's runtime brings a directory).
 */
#include "winapi.h"

SAMPLE_NO_CRT

IMPORT BOOL WINAPI DisableThreadLibraryCalls(HMODULE module);

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    static const char *const names[] = {"process detach", "process attach", "thread attach",
                                        "thread detach"};
    say("%s: %s", NAME, names[reason]);
#ifdef QUIET
    if (reason == DLL_PROCESS_ATTACH)
        DisableThreadLibraryCalls(module);
#endif
    return 1;
}
