/*
 * Handles: closing, duplicating, flags.
 */
#include "loader/win32/handle.h"

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"

static BOOL WINAPI_DEF k32_CloseHandle(HANDLE handle)
{
    return win32_result(win32_handle_close(handle));
}

static BOOL WINAPI_DEF k32_DuplicateHandle(HANDLE source_process, HANDLE source,
                                           HANDLE target_process, HANDLE *target, DWORD access,
                                           BOOL inherit, DWORD options)
{
    uint32_t flags = inherit ? HANDLE_FLAG_INHERIT : 0;
    return win32_result(
        win32_duplicate(source_process, source, target_process, target, access, flags, options));
}

static BOOL WINAPI_DEF k32_GetHandleInformation(HANDLE handle, DWORD *flags)
{
    uint32_t old = 0;
    nt_status status = ob_handle_flags(win32_ob_handle(handle), 0, 0, &old);
    if (nt_ok(status))
        *flags = old;
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_SetHandleInformation(HANDLE handle, DWORD mask, DWORD flags)
{
    if (mask & ~(DWORD)(HANDLE_FLAG_INHERIT | HANDLE_FLAG_PROTECT_FROM_CLOSE))
        return win32_fail(ERROR_INVALID_PARAMETER);
    return win32_result(ob_handle_flags(win32_ob_handle(handle), mask, flags, NULL));
}

static BOOL WINAPI_DEF k32_CompareObjectHandles(HANDLE first, HANDLE second)
{
    return win32_result(win32_compare(first, second));
}

const struct ldr_builtin_export kernel32_handle_exports[] = {
    LDR_FN(k32_, CloseHandle),          LDR_FN(k32_, DuplicateHandle),
    LDR_FN(k32_, GetHandleInformation), LDR_FN(k32_, SetHandleInformation),
    LDR_FN(k32_, CompareObjectHandles),
};
const size_t kernel32_handle_count =
    sizeof(kernel32_handle_exports) / sizeof(*kernel32_handle_exports);
