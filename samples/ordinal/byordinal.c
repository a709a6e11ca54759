/* Imports by ordinal from ordinal.dll. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT int five(void);
IMPORT int seven(void);

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

EXPORT int thirty_five(void)
{
    return five() * seven();
}
