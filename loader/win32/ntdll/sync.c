/*
 * The system services for events, semaphores, mutants, waits and delays (Microsoft's documentation
 * where there is one; the information classes as the headers of the driver kit have them).
 */
#include "loader/ob/sync.h"
#include "loader/ke/apc.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/objattr.h"
#include "loader/win32/waitable.h"

enum { QUERY_STATE = 1, MODIFY_STATE = 2 };

/* Class 0, the only one of these types, into a buffer of exactly its size. */
static nt_status check_query(ULONG class, const void *buffer, ULONG size, ULONG needed)
{
    if (class != 0)
        return (nt_status)STATUS_INVALID_INFO_CLASS;
    if (size != needed)
        return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    return buffer ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
}

/* ---- events -------------------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_NtCreateEvent(HANDLE *out, ULONG access,
                                             const OBJECT_ATTRIBUTES *attributes, ULONG type,
                                             BOOLEAN initial)
{
    struct ob_name name;
    struct ob_object *event = NULL;
    bool global;
    if (type > 1) /* 0 NotificationEvent (manual reset), 1 SynchronizationEvent */
        return STATUS_INVALID_PARAMETER;
    nt_status status = win32_nt_name(attributes, &name, &global);
    if (nt_ok(status))
        status = ob_event_create_named(&name, global, type == 0, initial, &event, NULL);
    return win32_nt_created(status, event, access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtOpenEvent(HANDLE *out, ULONG access,
                                           const OBJECT_ATTRIBUTES *attributes)
{
    return win32_nt_open(&ob_event_record, access, attributes, out);
}

static nt_status set_event(HANDLE handle, LONG *previous, bool state)
{
    struct ob_object *event;
    nt_status status = win32_typed(handle, &ob_event_type, MODIFY_STATE, &event);
    if (!nt_ok(status))
        return status;
    bool before = ob_event_set(event, state);
    if (previous)
        *previous = before;
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

static nt_status WINAPI_DEF nt_NtPulseEvent(HANDLE handle, LONG *previous)
{
    struct ob_object *event;
    nt_status status = win32_typed(handle, &ob_event_type, MODIFY_STATE, &event);
    if (!nt_ok(status))
        return status;
    bool before = ob_event_pulse(event);
    if (previous)
        *previous = before;
    ob_object_unref(event);
    return STATUS_SUCCESS;
}

typedef struct {
    LONG EventType, EventState;
} EVENT_BASIC_INFORMATION;

static nt_status WINAPI_DEF nt_NtQueryEvent(HANDLE handle, ULONG class,
                                            EVENT_BASIC_INFORMATION *information, ULONG size,
                                            ULONG *returned)
{
    struct ob_object *event;
    bool manual, is_set;
    nt_status status = check_query(class, information, size, sizeof(*information));
    if (nt_ok(status))
        status = win32_typed(handle, &ob_event_type, QUERY_STATE, &event);
    if (!nt_ok(status))
        return status;
    ob_event_query(event, &manual, &is_set);
    ob_object_unref(event);
    *information = (EVENT_BASIC_INFORMATION){.EventType = !manual, .EventState = is_set};
    if (returned)
        *returned = sizeof(*information);
    return STATUS_SUCCESS;
}

/* ---- semaphores ---------------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_NtCreateSemaphore(HANDLE *out, ULONG access,
                                                 const OBJECT_ATTRIBUTES *attributes, LONG initial,
                                                 LONG maximum)
{
    struct ob_name name;
    struct ob_object *semaphore = NULL;
    bool global;
    nt_status status = win32_nt_name(attributes, &name, &global);
    if (nt_ok(status))
        status = ob_semaphore_create_named(&name, global, initial, maximum, &semaphore, NULL);
    return win32_nt_created(status, semaphore, access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtOpenSemaphore(HANDLE *out, ULONG access,
                                               const OBJECT_ATTRIBUTES *attributes)
{
    return win32_nt_open(&ob_semaphore_record, access, attributes, out);
}

typedef struct {
    LONG CurrentCount, MaximumCount;
} SEMAPHORE_BASIC_INFORMATION;

static nt_status WINAPI_DEF nt_NtQuerySemaphore(HANDLE handle, ULONG class,
                                                SEMAPHORE_BASIC_INFORMATION *information,
                                                ULONG size, ULONG *returned)
{
    struct ob_object *semaphore;
    nt_status status = check_query(class, information, size, sizeof(*information));
    if (nt_ok(status))
        status = win32_typed(handle, &ob_semaphore_type, QUERY_STATE, &semaphore);
    if (!nt_ok(status))
        return status;
    ob_semaphore_query(semaphore, &information->CurrentCount, &information->MaximumCount);
    ob_object_unref(semaphore);
    if (returned)
        *returned = sizeof(*information);
    return STATUS_SUCCESS;
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

/* ---- mutants ------------------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_NtCreateMutant(HANDLE *out, ULONG access,
                                              const OBJECT_ATTRIBUTES *attributes, BOOLEAN owner)
{
    struct ob_name name;
    struct ob_object *mutex = NULL;
    bool global;
    nt_status status = win32_nt_name(attributes, &name, &global);
    if (nt_ok(status))
        status = ob_mutex_create_named(&name, global, owner ? ke_thread_id() : 0, &mutex, NULL);
    return win32_nt_created(status, mutex, access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtOpenMutant(HANDLE *out, ULONG access,
                                            const OBJECT_ATTRIBUTES *attributes)
{
    return win32_nt_open(&ob_mutex_record, access, attributes, out);
}

static nt_status WINAPI_DEF nt_NtReleaseMutant(HANDLE handle, LONG *previous)
{
    struct ob_object *mutex;
    bool owned, abandoned;
    int32_t count;
    nt_status status = win32_typed(handle, &ob_mutex_type, 0, &mutex);
    if (!nt_ok(status))
        return status;
    ob_mutex_query(mutex, ke_thread_id(), &count, &owned, &abandoned);
    status = ob_mutex_release(mutex, ke_thread_id());
    if (previous && nt_ok(status))
        *previous = count; /* nobody else changes it while it is owned */
    ob_object_unref(mutex);
    return status;
}

typedef struct {
    LONG CurrentCount;
    BOOLEAN OwnedByCaller, AbandonedState;
} MUTANT_BASIC_INFORMATION;

static nt_status WINAPI_DEF nt_NtQueryMutant(HANDLE handle, ULONG class,
                                             MUTANT_BASIC_INFORMATION *information, ULONG size,
                                             ULONG *returned)
{
    struct ob_object *mutex;
    bool owned, abandoned;
    int32_t count;
    nt_status status = check_query(class, information, size, sizeof(*information));
    if (nt_ok(status))
        status = win32_typed(handle, &ob_mutex_type, QUERY_STATE, &mutex);
    if (!nt_ok(status))
        return status;
    ob_mutex_query(mutex, ke_thread_id(), &count, &owned, &abandoned);
    ob_object_unref(mutex);
    *information = (MUTANT_BASIC_INFORMATION){count, owned, abandoned};
    if (returned)
        *returned = sizeof(*information);
    return STATUS_SUCCESS;
}

/* ---- waits --------------------------------------------------------------------------------------
 */

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
    NT_ZW(CreateEvent),
    NT_ZW(OpenEvent),
    NT_ZW(SetEvent),
    NT_ZW(ResetEvent),
    NT_ZW(ClearEvent),
    NT_ZW(PulseEvent),
    NT_ZW(QueryEvent),
    NT_ZW(CreateSemaphore),
    NT_ZW(OpenSemaphore),
    NT_ZW(ReleaseSemaphore),
    NT_ZW(QuerySemaphore),
    NT_ZW(CreateMutant),
    NT_ZW(OpenMutant),
    NT_ZW(ReleaseMutant),
    NT_ZW(QueryMutant),
    NT_ZW(WaitForSingleObject),
    NT_ZW(WaitForMultipleObjects),
    NT_ZW(DelayExecution),
};
const size_t ntdll_sync_count = sizeof(ntdll_sync_exports) / sizeof(*ntdll_sync_exports);
