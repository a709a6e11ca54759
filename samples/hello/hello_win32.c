/* A console program on KERNEL32 and the UCRT's API set, without start-up code of any runtime. */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT HANDLE WINAPI GetStdHandle(DWORD which);
IMPORT BOOL WINAPI WriteFile(HANDLE file, const void *data, DWORD size, DWORD *written,
                             void *overlapped);
IMPORT const char *WINAPI GetCommandLineA(void);
IMPORT void WINAPI ExitProcess(DWORD code);
/* api-ms-win-crt-string-l1-1-0.dll, which resolves to ucrtbase.dll */
IMPORT __SIZE_TYPE__ strlen(const char *text);
IMPORT char *strrchr(const char *text, int c);

static void print(const char *text)
{
    DWORD written;
    WriteFile(GetStdHandle((DWORD)-11), text, (DWORD)strlen(text), &written, 0);
}

void start(void)
{
    const char *last = strrchr(GetCommandLineA(), ' ');
    print("Hello from clang and lld-link");
    print(last ? last : "");
    print("\n");
    ExitProcess(5);
}
