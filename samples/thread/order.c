/* A DLL that says when threads come and go; with and without DisableThreadLibraryCalls. */
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
