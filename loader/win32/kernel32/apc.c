/*
 * Asynchronous procedure calls, and transfers that end in one. A transfer is made before ReadFileEx
 * or WriteFileEx returns; its completion routine runs when the thread waits alertably, as on
 * Windows.
 */
#include "loader/ke/apc.h"

#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/waitable.h"

static DWORD WINAPI_DEF k32_QueueUserAPC(const void *function, HANDLE handle, ULONG_PTR data)
{
    struct ob_object *thread;
    const uintptr_t arguments[KE_APC_ARGUMENTS] = {data};
    nt_status status = win32_thread(handle, WIN32_THREAD_SET_CONTEXT, &thread);
    if (nt_ok(status)) {
        status = ke_apc_queue_new(thread, function, 1, arguments);
        ob_object_unref(thread);
    }
    return (DWORD)win32_result(status);
}

typedef BOOL(WINAPI *transfer)(HANDLE handle, void *buffer, DWORD size, DWORD *transferred,
                               OVERLAPPED *overlapped);

/* ReadFile and WriteFile, as images get them. */
static transfer file_function(const char *name)
{
    for (size_t i = 0; i < kernel32_file_count; i++)
        if (strcmp(kernel32_file_exports[i].name, name) == 0)
            return (transfer)kernel32_file_exports[i].address;
    return NULL;
}

/* A transfer that could not begin has no completion; the end of a file is one with an error. */
static BOOL transfer_with_routine(const char *name, HANDLE handle, void *buffer, DWORD size,
                                  OVERLAPPED *overlapped, const void *routine)
{
    DWORD count = 0, error = 0;
    transfer function = file_function(name);
    if (!function || !overlapped)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (!function(handle, buffer, size, &count, overlapped)) {
        error = ke_last_error();
        if (error != ERROR_HANDLE_EOF)
            return FALSE;
    }
    struct ob_object *self = ke_thread_current();
    nt_status status = ke_apc_queue_new(self, routine, 3,
                                        (const uintptr_t[]){error, count, (uintptr_t)overlapped});
    ob_object_unref(self);
    ke_set_last_error(ERROR_SUCCESS);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_ReadFileEx(HANDLE handle, void *buffer, DWORD size,
                                      OVERLAPPED *overlapped, const void *routine)
{
    return transfer_with_routine("ReadFile", handle, buffer, size, overlapped, routine);
}

static BOOL WINAPI_DEF k32_WriteFileEx(HANDLE handle, const void *buffer, DWORD size,
                                       OVERLAPPED *overlapped, const void *routine)
{
    return transfer_with_routine("WriteFile", handle, (void *)(uintptr_t)buffer, size, overlapped,
                                 routine);
}

const struct ldr_builtin_export kernel32_apc_exports[] = {
    LDR_FN(k32_, QueueUserAPC),
    LDR_FN(k32_, ReadFileEx),
    LDR_FN(k32_, WriteFileEx),
};
const size_t kernel32_apc_count = sizeof(kernel32_apc_exports) / sizeof(*kernel32_apc_exports);
