/*
 * CreateProcess for the builtin modules themselves: KERNEL32's functions and the C runtimes'
 * _spawn.
 */
#ifndef WIN32_CREATEPROCESS_H
#define WIN32_CREATEPROCESS_H

#include "loader/win32/types.h"

enum {
    DEBUG_PROCESS = 0x1,
    DEBUG_ONLY_THIS_PROCESS = 0x2,
    CREATE_SUSPENDED_PROCESS = 0x4,
    DETACHED_PROCESS = 0x8,
    CREATE_NEW_CONSOLE = 0x10,
    CREATE_NEW_PROCESS_GROUP = 0x200,
    CREATE_UNICODE_ENVIRONMENT = 0x400,
    EXTENDED_STARTUPINFO_PRESENT = 0x80000,
    CREATE_NO_WINDOW = 0x8000000,
};
enum { STARTF_USESHOWWINDOW = 0x1, STARTF_USESTDHANDLES = 0x100 };

/* STARTUPINFOA and STARTUPINFOW differ in what the strings are. */
struct startup_info {
    DWORD cb;
    void *lpReserved, *lpDesktop, *lpTitle;
    DWORD dwX, dwY, dwXSize, dwYSize, dwXCountChars, dwYCountChars, dwFillAttribute, dwFlags;
    WORD wShowWindow, cbReserved2;
    void *lpReserved2;
    HANDLE hStdInput, hStdOutput, hStdError;
};

struct startup_info_ex {
    struct startup_info info;
    struct attribute_list *attributes;
};

struct process_information {
    HANDLE hProcess, hThread;
    DWORD dwProcessId, dwThreadId;
};

struct win32_create {
    const WCHAR *application, *line; /* one of them may be NULL */
    bool inherit;
    bool inherit_process, inherit_thread; /* the new handles */
    DWORD flags;
    const void *environment; /* a block, UTF-16 with CREATE_UNICODE_ENVIRONMENT; NULL = ours */
    const WCHAR *directory;  /* NULL = ours */
    const struct startup_info *startup; /* strings in UTF-16 */
};
/* A Win32 error. */
uint32_t win32_create_process(const struct win32_create *how, struct process_information *out);

/* The values that UpdateProcThreadAttribute was given for an attribute; false: it was not. */
bool win32_attribute(const struct attribute_list *list, DWORD_PTR attribute, const void **value,
                     SIZE_T *size);
enum {
    ATTRIBUTE_PARENT_PROCESS = 0x20000,
    ATTRIBUTE_HANDLE_LIST = 0x20002,
};

/* The priority class that comes nearest to a nice value, and the other way round. */
DWORD win32_priority_class(int nice_value);
bool win32_priority_nice(DWORD class, int *nice_value);

#endif
