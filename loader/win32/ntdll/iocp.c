/*
 * The system services of completion ports, and of packets that a wait completes (Microsoft's
 * documentation of NtCreateWaitCompletionPacket and its companions).
 */
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/port.h"
#include "loader/win32/waitable.h"

enum { MODIFY_STATE = 2 };

/* OBJECT_ATTRIBUTES begin like this. */
struct attributes {
    ULONG Length;
    HANDLE RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes; /* 2 = OBJ_INHERIT */
};

static nt_status make(struct ob_object *fresh, ULONG access, const struct attributes *attributes,
                      HANDLE *out)
{
    nt_status status = STATUS_NO_MEMORY;
    if (!fresh)
        return status;
    if (attributes && attributes->ObjectName) {
        status = STATUS_NOT_SUPPORTED; /* names go through KERNEL32, which has none for these */
    } else {
        uint32_t handle = ob_handle_create(fresh, access, attributes && attributes->Attributes & 2);
        if (handle) {
            *out = win32_handle(handle);
            status = STATUS_SUCCESS;
        }
    }
    ob_object_unref(fresh);
    return status;
}

static nt_status WINAPI_DEF nt_NtCreateIoCompletion(HANDLE *out, ULONG access,
                                                    const struct attributes *attributes,
                                                    ULONG threads)
{
    return make(ob_port_create(), access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtSetIoCompletion(HANDLE handle, ULONG_PTR key, void *context,
                                                 int32_t result, ULONG_PTR information)
{
    struct ob_completion packet = {key, context, (nt_status)result, information};
    struct ob_object *port;
    nt_status status = win32_typed(handle, &ob_port_type, MODIFY_STATE, &port);
    if (!nt_ok(status))
        return status;
    status = ob_port_post(port, &packet);
    ob_object_unref(port);
    return status;
}

/* FILE_IO_COMPLETION_INFORMATION */
typedef struct {
    ULONG_PTR KeyContext;
    void *ApcContext;
    IO_STATUS_BLOCK IoStatusBlock;
} COMPLETION_INFORMATION;

static nt_status WINAPI_DEF nt_NtRemoveIoCompletionEx(HANDLE handle, COMPLETION_INFORMATION *out,
                                                      ULONG count, ULONG *removed,
                                                      const int64_t *timeout, BOOLEAN alertable)
{
    enum { AT_ONCE = 64 };
    struct ob_completion packets[AT_ONCE];
    if (count == 0)
        return STATUS_INVALID_PARAMETER;
    uint32_t taken;
    nt_status status = win32_port_remove(handle, packets, count < AT_ONCE ? count : AT_ONCE,
                                         win32_timeout(timeout), alertable, &taken);
    for (uint32_t i = 0; i < taken; i++) {
        out[i] = (COMPLETION_INFORMATION){.KeyContext = packets[i].key,
                                          .ApcContext = packets[i].context};
        out[i].IoStatusBlock.u.Status = (int32_t)packets[i].status;
        out[i].IoStatusBlock.Information = packets[i].information;
    }
    *removed = taken;
    return status;
}

static nt_status WINAPI_DEF nt_NtRemoveIoCompletion(HANDLE handle, ULONG_PTR *key, void **context,
                                                    IO_STATUS_BLOCK *io, const int64_t *timeout)
{
    COMPLETION_INFORMATION one;
    ULONG removed;
    nt_status status = nt_NtRemoveIoCompletionEx(handle, &one, 1, &removed, timeout, 0);
    if (status != STATUS_SUCCESS)
        return status;
    *key = one.KeyContext;
    *context = one.ApcContext;
    *io = one.IoStatusBlock;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtQueryIoCompletion(HANDLE handle, ULONG class, LONG *depth,
                                                   ULONG size, ULONG *needed)
{
    struct ob_object *port;
    if (class != 0) /* IoCompletionBasicInformation */
        return (nt_status)STATUS_INVALID_INFO_CLASS;
    if (size != sizeof(*depth))
        return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    nt_status status = win32_typed(handle, &ob_port_type, 0, &port);
    if (!nt_ok(status))
        return status;
    *depth = (LONG)ob_port_depth(port);
    if (needed)
        *needed = sizeof(*depth);
    ob_object_unref(port);
    return STATUS_SUCCESS;
}

/* ---- packets that a wait completes -------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_NtCreateWaitCompletionPacket(HANDLE *out, ULONG access,
                                                            const struct attributes *attributes)
{
    return make(ob_wait_packet_create(), access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtAssociateWaitCompletionPacket(
    HANDLE packet_handle, HANDLE port_handle, HANDLE target, void *key, void *context,
    int32_t result, ULONG_PTR information, BOOLEAN *signaled)
{
    struct ob_completion completion = {(ULONG_PTR)key, context, (nt_status)result, information};
    struct ob_object *packet = NULL, *port = NULL, *object = NULL;
    bool at_once = false;
    nt_status status = win32_typed(packet_handle, &ob_wait_packet_type, 1, &packet);
    if (nt_ok(status))
        status = win32_typed(port_handle, &ob_port_type, MODIFY_STATE, &port);
    if (nt_ok(status))
        status = win32_waitable(target, &object);
    if (nt_ok(status))
        status =
            ob_wait_packet_associate(packet, port, object, &completion, ke_thread_id(), &at_once);
    if (nt_ok(status) && signaled)
        *signaled = at_once;
    struct ob_object *taken[] = {object, port, packet};
    for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
        if (taken[i])
            ob_object_unref(taken[i]);
    return status;
}

static nt_status WINAPI_DEF nt_NtCancelWaitCompletionPacket(HANDLE handle, BOOLEAN remove_queued)
{
    struct ob_object *packet;
    nt_status status = win32_typed(handle, &ob_wait_packet_type, 1, &packet);
    if (!nt_ok(status))
        return status;
    status = ob_wait_packet_cancel(packet, remove_queued);
    ob_object_unref(packet);
    return status;
}

const struct ldr_builtin_export ntdll_iocp_exports[] = {
    NT_ZW(CreateIoCompletion),
    NT_ZW(SetIoCompletion),
    NT_ZW(RemoveIoCompletion),
    NT_ZW(RemoveIoCompletionEx),
    NT_ZW(QueryIoCompletion),
    NT_ZW(CreateWaitCompletionPacket),
    NT_ZW(AssociateWaitCompletionPacket),
    NT_ZW(CancelWaitCompletionPacket),
};
const size_t ntdll_iocp_count = sizeof(ntdll_iocp_exports) / sizeof(*ntdll_iocp_exports);
