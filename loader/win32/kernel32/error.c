/*
 * Last errors, error modes, messages and debug output.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/message.h"
#include "loader/win32/strings.h"

static DWORD WINAPI_DEF k32_GetLastError(void)
{
    return ke_last_error();
}

static void WINAPI_DEF k32_SetLastError(DWORD error)
{
    ke_set_last_error(error);
}

/* ---- error modes: there are no error boxes to suppress, but programs read the mode back
 * ------------ */

static UINT process_error_mode;

static UINT WINAPI_DEF k32_SetErrorMode(UINT mode)
{
    return __atomic_exchange_n(&process_error_mode, mode, __ATOMIC_RELAXED);
}

static UINT WINAPI_DEF k32_GetErrorMode(void)
{
    return __atomic_load_n(&process_error_mode, __ATOMIC_RELAXED);
}

static BOOL WINAPI_DEF k32_SetThreadErrorMode(DWORD mode, DWORD *old)
{
    struct ke_teb *teb = ke_teb();
    if (mode & ~0x8003u) /* FAILCRITICALERRORS, NOGPFAULTERRORBOX, NOOPENFILEERRORBOX */
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (old)
        *old = teb->HardErrorMode;
    teb->HardErrorMode = mode;
    return TRUE;
}

static DWORD WINAPI_DEF k32_GetThreadErrorMode(void)
{
    return ke_teb()->HardErrorMode;
}

/* ---- messages
 * --------------------------------------------------------------------------------------- */

static DWORD WINAPI_DEF k32_FormatMessageW(DWORD flags, const void *source, DWORD id,
                                           DWORD language, WCHAR *buffer, DWORD size,
                                           void *arguments)
{
    WCHAR *text = NULL;
    size_t length = 0;
    uint32_t error = win32_format_message(flags, source, id, true, arguments, &text, &length);
    if (!error && (flags & FORMAT_MESSAGE_ALLOCATE_BUFFER)) {
        size_t units = length + 1 > size ? length + 1 : size;
        WCHAR *out = win32_heap_alloc(0, units * sizeof(WCHAR));
        if (out)
            win32_return_wide(text, length, out, (DWORD)units);
        *(WCHAR **)buffer = out;
        error = out ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
    } else if (!error && win32_return_wide(text, length, buffer, size) > length) {
        error = ERROR_INSUFFICIENT_BUFFER;
    }
    free(text);
    return error ? (DWORD)win32_fail(error) : (DWORD)length;
}

static DWORD WINAPI_DEF k32_FormatMessageA(DWORD flags, const void *source, DWORD id,
                                           DWORD language, char *buffer, DWORD size,
                                           void *arguments)
{
    WCHAR *text = NULL;
    size_t length = 0;
    uint32_t error = win32_format_message(flags, source, id, false, arguments, &text, &length);
    if (!error && (flags & FORMAT_MESSAGE_ALLOCATE_BUFFER)) {
        size_t units = length + 1 > size ? length + 1 : size;
        char *out = win32_heap_alloc(0, units);
        if (out)
            win32_return_ansi(text, length, out, (DWORD)units);
        *(char **)buffer = out;
        error = out ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
    } else if (!error && win32_return_ansi(text, length, buffer, size) > length) {
        error = ERROR_INSUFFICIENT_BUFFER;
    }
    free(text);
    return error ? (DWORD)win32_fail(error) : (DWORD)length;
}

/* ---- debugger
 * ----------------------------------------------------------------------------------------- */

/* There is no debugger to send it to; PELDR_DEBUG asks for it on standard error. */
static void debug_output(const char *utf8)
{
    if (getenv("PELDR_DEBUG"))
        dprintf(STDERR_FILENO, "%s", utf8);
}

static void WINAPI_DEF k32_OutputDebugStringW(const WCHAR *text)
{
    char *utf8 = text ? win32_utf8_of_wide(text, SIZE_MAX) : NULL;
    if (utf8)
        debug_output(utf8);
    free(utf8);
}

static void WINAPI_DEF k32_OutputDebugStringA(const char *text)
{
    WCHAR *wide;
    if (win32_widen(text, &wide))
        k32_OutputDebugStringW(wide);
    free(wide);
}

static BOOL WINAPI_DEF k32_IsDebuggerPresent(void)
{
    return ke_peb()->BeingDebugged;
}

static BOOL WINAPI_DEF k32_CheckRemoteDebuggerPresent(HANDLE process, BOOL *present)
{
    *present = FALSE;
    return TRUE;
}

const struct ldr_builtin_export kernel32_error_exports[] = {
    LDR_FN(k32_, GetLastError),       LDR_FN(k32_, SetLastError),
    LDR_FN(k32_, SetErrorMode),       LDR_FN(k32_, GetErrorMode),
    LDR_FN(k32_, SetThreadErrorMode), LDR_FN(k32_, GetThreadErrorMode),
    LDR_FN(k32_, FormatMessageA),     LDR_FN(k32_, FormatMessageW),
    LDR_FN(k32_, OutputDebugStringA), LDR_FN(k32_, OutputDebugStringW),
    LDR_FN(k32_, IsDebuggerPresent),  LDR_FN(k32_, CheckRemoteDebuggerPresent),
};
const size_t kernel32_error_count =
    sizeof(kernel32_error_exports) / sizeof(*kernel32_error_exports);
