/* egg.dll and hen.dll import from each other. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT int hen_value(void);

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

EXPORT int egg_value(void)
{
    return 1;
}

EXPORT int egg_and_hen(void)
{
    return egg_value() * 10 + hen_value();
}
