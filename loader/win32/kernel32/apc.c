/*
 * Asynchronous procedure calls, and transfers that end in one. A transfer is made before ReadFileEx
 * or WriteFileEx returns; its completion routine runs when the thread waits alertably, as on
 * Windows.
 */
#include "loader/ke/apc.h"

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

const struct ldr_builtin_export kernel32_apc_exports[] = {
    LDR_FN(k32_, QueueUserAPC),
};
const size_t kernel32_apc_count = sizeof(kernel32_apc_exports) / sizeof(*kernel32_apc_exports);
