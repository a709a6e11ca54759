/* The head of the chain: opening this one loads all three. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT int mid_value(void);
IMPORT int mid_order(void);
IMPORT int next_in_order(void);
IMPORT extern int low_data; /* a data import: the address, not a function */
static int my_order;

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    if (reason == DLL_PROCESS_ATTACH)
        my_order = next_in_order();
    return 1;
}

EXPORT int top_value(void)
{
    return mid_value() + low_data;
}

/* 12: mid.dll was initialised first, then this one. */
EXPORT int init_order(void)
{
    return mid_order() * 10 + my_order;
}
