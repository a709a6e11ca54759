/* Forwarders are text in the export directory; see the two .def files. */
#include "sample.h"

SAMPLE_NO_CRT

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

int own(void)
{
    return 3;
}
