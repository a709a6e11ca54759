/*
 * I/O completion ports (ioapiset.h). Transfers complete before their call returns; what is
 * associated with a port gets its packet then.
 */
#include <stdlib.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/port.h"
#include "loader/win32/waitable.h"

enum { IO_COMPLETION_ALL_ACCESS = 0x1F0003, MODIFY_STATE = 2 };

static HANDLE new_port(void)
{
    struct ob_object *port = ob_port_create();
    uint32_t handle = port ? ob_handle_create(port, IO_COMPLETION_ALL_ACCESS, 0) : 0;
    if (port)
        ob_object_unref(port);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

static nt_status associate(HANDLE handle, HANDLE port_handle, ULONG_PTR key)
{
    struct win32_file *file;
    struct ob_object *port = NULL;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return status;
    status = win32_typed(port_handle, &ob_port_type, MODIFY_STATE, &port);
    if (nt_ok(status) && !(file->flags & FILE_FLAG_OVERLAPPED))
        status = (nt_status)STATUS_INVALID_PARAMETER;
    if (nt_ok(status))
        status = win32_file_set_port(file, port, key);
    win32_file_put(file);
    if (port)
        ob_object_unref(port);
    return status;
}

static HANDLE WINAPI_DEF k32_CreateIoCompletionPort(HANDLE file, HANDLE existing, ULONG_PTR key,
                                                    DWORD threads)
{
    if (file == INVALID_HANDLE_VALUE)
        return existing ? win32_fail_null(ERROR_INVALID_PARAMETER) : new_port();
    HANDLE port = existing ? existing : new_port();
    if (!port)
        return NULL;
    if (win32_result(associate(file, port, key)))
        return port;
    if (!existing)
        ob_handle_close(win32_ob_handle(port));
    return NULL;
}

static BOOL WINAPI_DEF k32_PostQueuedCompletionStatus(HANDLE handle, DWORD bytes, ULONG_PTR key,
                                                      OVERLAPPED *overlapped)
{
    struct ob_completion packet = {.key = key, .context = overlapped, .information = bytes};
    struct ob_object *port;
    nt_status status = win32_typed(handle, &ob_port_type, MODIFY_STATE, &port);
    if (!nt_ok(status))
        return win32_result(status);
    status = ob_port_post(port, &packet);
    ob_object_unref(port);
    return win32_result(status);
}

/* The number of packets, 0 with the last error. */
static uint32_t get(HANDLE handle, struct ob_completion *packets, uint32_t count,
                    DWORD milliseconds, bool alertable)
{
    uint32_t taken;
    nt_status status;
    do
        status = win32_port_remove(handle, packets, count, milliseconds, alertable, &taken);
    while (status == (nt_status)OB_STATUS_ALERTED);
    if (status == STATUS_TIMEOUT || status == OB_STATUS_USER_APC)
        win32_fail(status);
    else if (!nt_ok(status))
        win32_result(status);
    return taken;
}

/* A packet of a failed operation is a failure with its error and an OVERLAPPED that is not NULL. */
static BOOL WINAPI_DEF k32_GetQueuedCompletionStatus(HANDLE port, DWORD *bytes, ULONG_PTR *key,
                                                     OVERLAPPED **overlapped, DWORD milliseconds)
{
    struct ob_completion packet;
    *overlapped = NULL;
    if (!get(port, &packet, 1, milliseconds, false))
        return FALSE;
    *bytes = (DWORD)packet.information;
    *key = packet.key;
    *overlapped = packet.context;
    return win32_result(packet.status);
}

typedef struct {
    ULONG_PTR lpCompletionKey;
    OVERLAPPED *lpOverlapped;
    ULONG_PTR Internal;
    DWORD dwNumberOfBytesTransferred;
} OVERLAPPED_ENTRY;

static BOOL WINAPI_DEF k32_GetQueuedCompletionStatusEx(HANDLE port, OVERLAPPED_ENTRY *entries,
                                                       ULONG count, ULONG *removed,
                                                       DWORD milliseconds, BOOL alertable)
{
    enum { AT_ONCE = 64 }; /* fewer than asked for is an answer as well */
    struct ob_completion packets[AT_ONCE];
    *removed = 0;
    if (count == 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    uint32_t taken =
        get(port, packets, count < AT_ONCE ? count : AT_ONCE, milliseconds, alertable != 0);
    for (uint32_t i = 0; i < taken; i++)
        entries[i] = (OVERLAPPED_ENTRY){packets[i].key, packets[i].context, packets[i].status,
                                        (DWORD)packets[i].information};
    *removed = taken;
    return taken != 0;
}

static BOOL WINAPI_DEF k32_SetFileCompletionNotificationModes(HANDLE handle, uint8_t flags)
{
    struct win32_file *file;
    enum { SKIP_PORT_ON_SUCCESS = 1, SKIP_SET_EVENT = 2 };
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return win32_result(status);
    if (flags & ~(SKIP_PORT_ON_SUCCESS | SKIP_SET_EVENT))
        status = (nt_status)STATUS_INVALID_PARAMETER;
    else if (flags & SKIP_PORT_ON_SUCCESS)
        file->skip_port = true;
    win32_file_put(file);
    return win32_result(status);
}

const struct ldr_builtin_export kernel32_iocp_exports[] = {
    LDR_FN(k32_, CreateIoCompletionPort),
    LDR_FN(k32_, PostQueuedCompletionStatus),
    LDR_FN(k32_, GetQueuedCompletionStatus),
    LDR_FN(k32_, GetQueuedCompletionStatusEx),
    LDR_FN(k32_, SetFileCompletionNotificationModes),
};
const size_t kernel32_iocp_count = sizeof(kernel32_iocp_exports) / sizeof(*kernel32_iocp_exports);
