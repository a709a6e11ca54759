/*
 * The system services for events, semaphores, mutants, waits and delays. Named objects go through
 * KERNEL32: an object attribute with a name is refused here.
 */
#include "loader/ke/apc.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/waitable.h"

enum { MODIFY_STATE = 2 };

typedef struct {
    ULONG Length;
    HANDLE RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes; /* 2 = OBJ_INHERIT */
    void *SecurityDescriptor, *SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

static nt_status make(struct ob_object *fresh, ULONG access, const OBJECT_ATTRIBUTES *attributes,
                      HANDLE *out)
{
    if (!fresh)
        return STATUS_NO_MEMORY;
    nt_status status = STATUS_NOT_SUPPORTED;
    if (!attributes || !attributes->ObjectName) {
        uint32_t handle = ob_handle_create(fresh, access, attributes && attributes->Attributes & 2);
        *out = win32_handle(handle);
        status = handle ? STATUS_SUCCESS : STATUS_NO_MEMORY;
    }
    ob_object_unref(fresh);
    return status;
}

static nt_status WINAPI_DEF nt_NtCreateEvent(HANDLE *out, ULONG access,
                                             const OBJECT_ATTRIBUTES *attributes, ULONG type,
                                             BOOLEAN initial)
{
    if (type > 1) /* 0 NotificationEvent (manual reset), 1 SynchronizationEvent */
        return STATUS_INVALID_PARAMETER;
    return make(ob_event_create(type == 0, initial), access, attributes, out);
}

static nt_status set_event(HANDLE handle, LONG *previous, bool state)
{
    struct ob_object *event;
    nt_status status = win32_typed(handle, &ob_event_type, MODIFY_STATE, &event);
    if (!nt_ok(status))
        return status;
    if (previous) {
        ob_wait_lock();
        *previous = event->type->signaled(event, ke_thread_id());
        ob_wait_unlock();
    }
    ob_event_set(event, state);
    ob_object_unref(event);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtSetEvent(HANDLE event, LONG *previous)
{
    return set_event(event, previous, true);
}

static nt_status WINAPI_DEF nt_NtResetEvent(HANDLE event, LONG *previous)
{
    return set_event(event, previous, false);
}

static nt_status WINAPI_DEF nt_NtClearEvent(HANDLE event)
{
    return set_event(event, NULL, false);
}

static nt_status WINAPI_DEF nt_NtCreateSemaphore(HANDLE *out, ULONG access,
                                                 const OBJECT_ATTRIBUTES *attributes, LONG initial,
                                                 LONG maximum)
{
    if (initial < 0 || maximum <= 0 || initial > maximum)
        return STATUS_INVALID_PARAMETER;
    return make(ob_semaphore_create(initial, maximum), access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtReleaseSemaphore(HANDLE handle, LONG count, LONG *previous)
{
    struct ob_object *semaphore;
    if (count <= 0)
        return STATUS_INVALID_PARAMETER;
    nt_status status = win32_typed(handle, &ob_semaphore_type, MODIFY_STATE, &semaphore);
    if (!nt_ok(status))
        return status;
    status = ob_semaphore_release(semaphore, count, previous);
    ob_object_unref(semaphore);
    return status;
}

static nt_status WINAPI_DEF nt_NtCreateMutant(HANDLE *out, ULONG access,
                                              const OBJECT_ATTRIBUTES *attributes, BOOLEAN owner)
{
    return make(ob_mutex_create(owner ? ke_thread_id() : 0), access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtReleaseMutant(HANDLE handle, LONG *previous)
{
    struct ob_object *mutex;
    nt_status status = win32_typed(handle, &ob_mutex_type, 0, &mutex);
    if (!nt_ok(status))
        return status;
    status = ob_mutex_release(mutex, ke_thread_id());
    if (previous)
        *previous = 0;
    ob_object_unref(mutex);
    return status;
}

static nt_status WINAPI_DEF nt_NtWaitForSingleObject(HANDLE handle, BOOLEAN alertable,
                                                     const int64_t *timeout)
{
    return win32_wait_alertable(&handle, 1, false, win32_timeout(timeout), alertable);
}

static nt_status WINAPI_DEF nt_NtWaitForMultipleObjects(ULONG count, const HANDLE *handles,
                                                        ULONG any, BOOLEAN alertable,
                                                        const int64_t *timeout)
{
    return win32_wait_alertable(handles, count, any == 0, win32_timeout(timeout), alertable);
}

static nt_status WINAPI_DEF nt_NtDelayExecution(BOOLEAN alertable, const int64_t *interval)
{
    return ke_sleep(win32_timeout(interval), alertable);
}

const struct ldr_builtin_export ntdll_sync_exports[] = {
    NT_ZW(CreateEvent),         NT_ZW(SetEvent),
    NT_ZW(ResetEvent),          NT_ZW(ClearEvent),
    NT_ZW(CreateSemaphore),     NT_ZW(ReleaseSemaphore),
    NT_ZW(CreateMutant),        NT_ZW(ReleaseMutant),
    NT_ZW(WaitForSingleObject), NT_ZW(WaitForMultipleObjects),
    NT_ZW(DelayExecution),
};
const size_t ntdll_sync_count = sizeof(ntdll_sync_exports) / sizeof(*ntdll_sync_exports);
