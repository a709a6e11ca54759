/*
 * Windows's integer and handle types, under Windows's names, for the functions that images call.
 *
 * LONG and DWORD are 32 bits in both word sizes (LLP64), WCHAR is a UTF-16 unit. Structures that
 * cross the API have the layout that Microsoft's documentation gives, natural alignment in both
 * word sizes.
 */
#ifndef WIN32_TYPES_H
#define WIN32_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int32_t BOOL;
typedef uint8_t BOOLEAN;
typedef uint8_t BYTE;
typedef char CHAR;
typedef uint16_t WCHAR;
typedef uint16_t WORD;
typedef int16_t SHORT;
typedef uint16_t USHORT;
typedef int32_t INT;
typedef uint32_t UINT;
typedef int32_t LONG;
typedef uint32_t ULONG;
typedef uint32_t DWORD;
typedef int64_t LONGLONG;
typedef uint64_t ULONGLONG;
typedef uint64_t DWORD64;
typedef intptr_t INT_PTR;
typedef intptr_t LONG_PTR;
typedef uintptr_t UINT_PTR;
typedef uintptr_t ULONG_PTR;
typedef uintptr_t DWORD_PTR;
typedef uintptr_t SIZE_T;
typedef intptr_t SSIZE_T;
typedef void *HANDLE;
typedef void
    *HMODULE; /* the image's base address; bit 0 set = a data file, bit 1 = image resource */
typedef void *HLOCAL;
typedef void *HGLOBAL;
typedef void *HRSRC;
typedef int32_t HRESULT;
typedef uint32_t LCID;
typedef uint16_t LANGID;
typedef uint32_t LCTYPE;
typedef uint16_t ATOM;

#ifndef FALSE
#define FALSE 0
#define TRUE  1
#endif

#define MAX_PATH             260
#define INVALID_HANDLE_VALUE ((HANDLE)(intptr_t)-1)
#define CURRENT_PROCESS      ((HANDLE)(intptr_t)-1) /* GetCurrentProcess() */
#define CURRENT_THREAD       ((HANDLE)(intptr_t)-2) /* GetCurrentThread() */

typedef union {
    struct {
        DWORD LowPart;
        LONG HighPart;
    } u;
    LONGLONG QuadPart;
} LARGE_INTEGER;

typedef union {
    struct {
        DWORD LowPart;
        DWORD HighPart;
    } u;
    ULONGLONG QuadPart;
} ULARGE_INTEGER;

typedef struct {
    DWORD dwLowDateTime;
    DWORD dwHighDateTime;
} FILETIME; /* 100 ns since 1601-01-01 UTC; 4-byte aligned */

typedef struct {
    WORD wYear, wMonth, wDayOfWeek, wDay, wHour, wMinute, wSecond, wMilliseconds;
} SYSTEMTIME;

typedef struct {
    USHORT Length, MaximumLength; /* bytes */
    WCHAR *Buffer;
} UNICODE_STRING;

typedef struct {
    USHORT Length, MaximumLength;
    CHAR *Buffer;
} ANSI_STRING;

typedef struct {
    DWORD nLength;
    void *lpSecurityDescriptor;
    BOOL bInheritHandle;
} SECURITY_ATTRIBUTES;

typedef struct {
    ULONG_PTR Internal;     /* the NTSTATUS of the finished operation */
    ULONG_PTR InternalHigh; /* bytes transferred */
    DWORD Offset, OffsetHigh;
    HANDLE hEvent;
} OVERLAPPED;

typedef struct {
    union {
        int32_t Status;
        void *Pointer;
    } u;
    ULONG_PTR Information;
} IO_STATUS_BLOCK;

/* A handle as ob/ counts it. Pseudo handles are the caller's business. What has more than 32 bits
 * is none (0), so that a pointer is not taken for one. */
static inline uint32_t win32_ob_handle(HANDLE handle)
{
    intptr_t value = (intptr_t)handle;
    return value == (int32_t)value ? (uint32_t)value : 0;
}

/* An ob/ handle as images see it: sign-extended, as Windows does between word sizes. */
static inline HANDLE win32_handle(uint32_t handle)
{
    return (HANDLE)(intptr_t)(int32_t)handle;
}

#endif
