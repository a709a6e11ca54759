/*
 * Handles: closing, duplicating, flags. Everything happens inside this process.
 */
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"

enum { DUPLICATE_CLOSE_SOURCE = 1, DUPLICATE_SAME_ACCESS = 2 };
enum { HANDLE_FLAG_INHERIT = 1, HANDLE_FLAG_PROTECT_FROM_CLOSE = 2 };

static BOOL WINAPI_DEF k32_CloseHandle(HANDLE handle)
{
    return win32_result(win32_handle_close(handle));
}

/* The object behind any handle, pseudo handles included. */
static nt_status reference(HANDLE handle, struct ob_object **object, uint32_t *access)
{
    *access = 0x1FFFFF;
    if (handle == CURRENT_PROCESS)
        *object = win32_process_object();
    else if (handle == CURRENT_THREAD)
        *object = ke_thread_current();
    else
        return ob_handle_get(win32_ob_handle(handle), NULL, object, access);
    return *object ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

static BOOL WINAPI_DEF k32_DuplicateHandle(HANDLE source_process, HANDLE source,
                                           HANDLE target_process, HANDLE *target, DWORD access,
                                           BOOL inherit, DWORD options)
{
    struct ob_object *object;
    uint32_t granted;
    if (!win32_is_this_process(source_process) || !win32_is_this_process(target_process))
        return FALSE;
    nt_status status = reference(source, &object, &granted);
    if (nt_ok(status) && target) {
        uint32_t rights = options & DUPLICATE_SAME_ACCESS ? granted : access;
        uint32_t handle = ob_handle_create(object, rights, inherit ? HANDLE_FLAG_INHERIT : 0);
        *target = win32_handle(handle);
        status = handle ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
        ob_object_unref(object);
    } else if (nt_ok(status)) {
        ob_object_unref(object);
    }
    /* The source is closed whether or not the rest succeeded. */
    if (options & DUPLICATE_CLOSE_SOURCE)
        k32_CloseHandle(source);
    return win32_result(status);
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
    struct ob_object *a = NULL, *b = NULL;
    uint32_t access;
    nt_status status = reference(first, &a, &access);
    if (nt_ok(status))
        status = reference(second, &b, &access);
    bool same = nt_ok(status) && a == b;
    if (a)
        ob_object_unref(a);
    if (b)
        ob_object_unref(b);
    return nt_ok(status) ? same : win32_result(status);
}

const struct ldr_builtin_export kernel32_handle_exports[] = {
    LDR_FN(k32_, CloseHandle),          LDR_FN(k32_, DuplicateHandle),
    LDR_FN(k32_, GetHandleInformation), LDR_FN(k32_, SetHandleInformation),
    LDR_FN(k32_, CompareObjectHandles),
};
const size_t kernel32_handle_count =
    sizeof(kernel32_handle_exports) / sizeof(*kernel32_handle_exports);
