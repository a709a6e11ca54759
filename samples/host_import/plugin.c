/* A plug-in: imports functions of the program that loads it, by the program's file name. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT int host_add(int a, int b);
IMPORT const char *host_name(void);

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

EXPORT int plugin_run(int n)
{
    return host_add(n, 100);
}

EXPORT const char *plugin_host(void)
{
    return host_name();
}
