/*
 * More of Windows for the samples of exceptions and threads: declarations that clang has no SDK
 * for, and say(), which prints one line a step without any C runtime. Values and layouts:
 * Microsoft's documentation of winnt.h.
 */
#ifndef SAMPLE_WINAPI_H
#define SAMPLE_WINAPI_H

#include "sample.h"

typedef __INTPTR_TYPE__ LONG_PTR;
typedef __UINTPTR_TYPE__ ULONG_PTR;
typedef __SIZE_TYPE__ SIZE_T;

enum {
    MEM_COMMIT = 0x1000,
    MEM_RESERVE = 0x2000,
    MEM_RELEASE = 0x8000,
    PAGE_NOACCESS = 1,
    PAGE_READONLY = 2,
    PAGE_READWRITE = 4,
    PAGE_EXECUTE_READWRITE = 0x40,
    PAGE_GUARD = 0x100,
};

#define ACCESS_VIOLATION    0xC0000005u
#define GUARD_PAGE          0x80000001u
#define BREAKPOINT          0x80000003u
#define SINGLE_STEP         0x80000004u
#define ILLEGAL_INSTRUCTION 0xC000001Du
#define INT_DIVIDE_BY_ZERO  0xC0000094u
#define STACK_OVERFLOW      0xC00000FDu
#define NONCONTINUABLE      1u /* EXCEPTION_RECORD.ExceptionFlags */

enum {
    CONTINUE_EXECUTION = -1, /* what filters answer */
    CONTINUE_SEARCH = 0,
    EXECUTE_HANDLER = 1,
};

struct exception_record {
    DWORD code, flags;
    struct exception_record *nested;
    void *address;
    DWORD count;
    ULONG_PTR information[15];
};

#ifdef __x86_64__
struct context {
    unsigned long long home[6];
    DWORD flags, mxcsr;
    unsigned short segments[6];
    DWORD eflags;
    unsigned long long debug[6];
    unsigned long long ax, cx, dx, bx, sp, bp, si, di, r[8], pc;
    unsigned short fp_control, fp_status;
    BYTE fp_rest[20];
    DWORD fp_mxcsr, fp_mxcsr_mask;
    BYTE rest[0x4D0 - 0x120];
};
#else
struct context {
    DWORD flags, debug[6];
    DWORD fp_control, fp_status, fp_tag, fp_rest[25];
    DWORD gs, fs, es, ds, di, si, bx, dx, cx, ax, bp, pc, cs, eflags, sp, ss;
    BYTE extended[512];
};
#endif

struct exception_pointers {
    struct exception_record *record;
    struct context *context;
};

IMPORT HANDLE WINAPI GetStdHandle(DWORD which);
IMPORT BOOL WINAPI WriteFile(HANDLE file, const void *data, DWORD size, DWORD *written,
                             void *overlapped);
IMPORT const char *WINAPI GetCommandLineA(void);
IMPORT void WINAPI ExitProcess(DWORD code);
IMPORT void *WINAPI VirtualAlloc(void *address, SIZE_T size, DWORD type, DWORD protect);
IMPORT BOOL WINAPI VirtualFree(void *address, SIZE_T size, DWORD type);
IMPORT BOOL WINAPI VirtualProtect(void *address, SIZE_T size, DWORD protect, DWORD *old);
IMPORT void WINAPI RaiseException(DWORD code, DWORD flags, DWORD count, const ULONG_PTR *values);
IMPORT void *WINAPI AddVectoredExceptionHandler(DWORD first, void *handler);
IMPORT DWORD WINAPI RemoveVectoredExceptionHandler(void *handle);
IMPORT void *WINAPI SetUnhandledExceptionFilter(void *filter);
IMPORT HMODULE WINAPI LoadLibraryA(const char *name);
IMPORT BOOL WINAPI FreeLibrary(HMODULE module);
IMPORT void *WINAPI GetProcAddress(HMODULE module, const char *name);
IMPORT DWORD WINAPI GetLastError(void);
IMPORT HANDLE WINAPI CreateThread(void *security, SIZE_T stack, void *start, void *parameter,
                                  DWORD flags, DWORD *id);
IMPORT DWORD WINAPI WaitForSingleObject(HANDLE object, DWORD milliseconds);
IMPORT BOOL WINAPI GetExitCodeThread(HANDLE thread, DWORD *code);
IMPORT BOOL WINAPI CloseHandle(HANDLE handle);

static inline char *say_number(char *end, ULONG_PTR value, unsigned base)
{
    do
        *--end = "0123456789abcdef"[value % base];
    while (value /= base);
    return end;
}

/* %s, %d, %x (32 bits) and %p (an address); the new line is added. */
static void say(const char *format, ...)
{
    char line[400], digits[24];
    DWORD n = 0, written;
    __builtin_va_list ap;
    digits[sizeof digits - 1] = 0;
    __builtin_va_start(ap, format);
    for (; *format && n < sizeof line - 30; format++) {
        const char *text = digits + sizeof digits - 1;
        int value;
        if (*format != '%') {
            line[n++] = *format;
            continue;
        }
        switch (*++format) {
        case 's':
            text = __builtin_va_arg(ap, const char *);
            break;
        case 'd':
            value = __builtin_va_arg(ap, int);
            if (value < 0)
                line[n++] = '-';
            text = say_number((char *)text, value < 0 ? 0u - (DWORD)value : (DWORD)value, 10);
            break;
        case 'x':
            text = say_number((char *)text, __builtin_va_arg(ap, DWORD), 16);
            break;
        case 'p':
            text = say_number((char *)text, __builtin_va_arg(ap, ULONG_PTR), 16);
            break;
        }
        while (*text && n < sizeof line - 30)
            line[n++] = *text++;
    }
    __builtin_va_end(ap);
    line[n++] = '\n';
    WriteFile(GetStdHandle((DWORD)-11), line, n, &written, 0);
}

/* ---- programs: a table of cases, chosen by the last word of the command line -------------------
 */
struct sample_case {
    const char *name;
    void (*run)(void);
};

static inline int same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static inline void run_case(const struct sample_case *cases, int count)
{
    const char *last = GetCommandLineA();
    for (const char *p = last; *p; p++)
        if (*p == ' ')
            last = p + 1;
    for (int i = 0; i < count; i++)
        if (same_text(cases[i].name, last)) {
            cases[i].run();
            say("end");
            ExitProcess(0);
        }
    say("no case %s", last);
    ExitProcess(99);
}
#define RUN_CASE(cases) run_case(cases, (int)(sizeof(cases) / sizeof *(cases)))

#endif
