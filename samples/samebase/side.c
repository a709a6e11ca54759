/*
 * Built twice with the same /BASE (left.dll, right.dll): the second one loaded has to move. Built
 * twice more with /FIXED (fixed_left.dll, fixed_right.dll): then the second one cannot be loaded.
 */
#include "sample.h"

SAMPLE_NO_CRT

static int value = SIDE_VALUE;
static int *const pointer = &value; /* a fixup */
EXPORT int *const *pointers[1024] = {&pointer, [1023] =
                                                   &pointer}; /* fixups in .data, two pages apart */

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

EXPORT int side_value(void)
{
    return **pointers[1023];
}
