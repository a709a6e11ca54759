/* A DllMain that refuses to be attached: the load fails with STATUS_DLL_INIT_FAILED. */
#include "sample.h"

SAMPLE_NO_CRT

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return reason != DLL_PROCESS_ATTACH;
}

EXPORT int never(void)
{
    return 1;
}
