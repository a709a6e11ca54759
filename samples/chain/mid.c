/* The middle of the chain. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT int low_value(void);
IMPORT int next_in_order(void);
static int my_order;

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    if (reason == DLL_PROCESS_ATTACH)
        my_order = next_in_order();
    return 1;
}

EXPORT int mid_value(void)
{
    return low_value() * 10;
}

EXPORT int mid_order(void)
{
    return my_order;
}
