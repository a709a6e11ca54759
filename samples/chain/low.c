/* The end of a chain of imports: top.dll -> mid.dll -> low.dll. */
#include "sample.h"

SAMPLE_NO_CRT

static int order;
EXPORT int low_data = 7;

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

/* Each DLL of the chain asks for its number at attach: Windows initialises dependencies first. */
EXPORT int next_in_order(void)
{
    return ++order;
}

EXPORT int low_value(void)
{
    return low_data;
}
