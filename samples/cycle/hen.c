/* The other half of the cycle. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT int egg_value(void);

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

EXPORT int hen_value(void)
{
    return 1 + egg_value();
}
