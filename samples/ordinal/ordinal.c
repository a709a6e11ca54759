/* Exports without names: only their ordinals, with a hole between them. */
#include "sample.h"

SAMPLE_NO_CRT

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

int five(void)
{
    return 5;
}

int seven(void)
{
    return 7;
}
