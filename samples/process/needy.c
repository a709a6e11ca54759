/* A program that cannot start: the DLL that it imports from is nowhere. */
#include "winapi.h"

SAMPLE_NO_CRT

IMPORT int WINAPI absent_function(void);

void start(void)
{
    ExitProcess((DWORD)absent_function());
}
