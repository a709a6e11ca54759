/*
 * Events, semaphores and mutexes (synchapi.h). A functions convert their name; Ex functions add
 * flags and the access of the handle.
 */
#include <stdlib.h>

#include "loader/ob/sync.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"

enum { EVENT_ALL_ACCESS = 0x1F0003, MUTEX_ALL_ACCESS = 0x1F0001, SEMAPHORE_ALL_ACCESS = 0x1F0003 };
enum { MODIFY_STATE = 2 };
enum {
    CREATE_EVENT_MANUAL_RESET = 1,
    CREATE_EVENT_INITIAL_SET = 2,
    CREATE_MUTEX_INITIAL_OWNER = 1
};

static HANDLE WINAPI_DEF k32_CreateEventExW(const SECURITY_ATTRIBUTES *attributes,
                                            const WCHAR *name, DWORD flags, DWORD access)
{
    struct ob_name wanted;
    struct ob_object *event = NULL;
    bool global;
    nt_status status = ob_name_parse(name, &wanted, &global);
    if (nt_ok(status))
        status = ob_event_create_named(&wanted, global, flags & CREATE_EVENT_MANUAL_RESET,
                                       flags & CREATE_EVENT_INITIAL_SET, &event, NULL);
    return win32_created(status, event, access, attributes);
}

static HANDLE WINAPI_DEF k32_CreateEventExA(const SECURITY_ATTRIBUTES *attributes, const char *name,
                                            DWORD flags, DWORD access)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_CreateEventExW(attributes, wide, flags, access);
    free(wide);
    return handle;
}

static DWORD event_flags(BOOL manual_reset, BOOL initial)
{
    return (manual_reset ? CREATE_EVENT_MANUAL_RESET : 0) |
           (initial ? CREATE_EVENT_INITIAL_SET : 0);
}

static HANDLE WINAPI_DEF k32_CreateEventW(const SECURITY_ATTRIBUTES *attributes, BOOL manual_reset,
                                          BOOL initial, const WCHAR *name)
{
    return k32_CreateEventExW(attributes, name, event_flags(manual_reset, initial),
                              EVENT_ALL_ACCESS);
}

static HANDLE WINAPI_DEF k32_CreateEventA(const SECURITY_ATTRIBUTES *attributes, BOOL manual_reset,
                                          BOOL initial, const char *name)
{
    return k32_CreateEventExA(attributes, name, event_flags(manual_reset, initial),
                              EVENT_ALL_ACCESS);
}

#define OPEN_FUNCTIONS(kind, type)                                                            \
    static HANDLE WINAPI_DEF k32_Open##kind##W(DWORD access, BOOL inherit, const WCHAR *name) \
    {                                                                                         \
        return win32_open_handle(type, name, access, inherit);                                \
    }                                                                                         \
    static HANDLE WINAPI_DEF k32_Open##kind##A(DWORD access, BOOL inherit, const char *name)  \
    {                                                                                         \
        return win32_open_handle_a(type, name, access, inherit);                              \
    }
OPEN_FUNCTIONS(Event, &ob_event_record)
OPEN_FUNCTIONS(Mutex, &ob_mutex_record)
OPEN_FUNCTIONS(Semaphore, &ob_semaphore_record)
#undef OPEN_FUNCTIONS

static BOOL set_event(HANDLE handle, bool state)
{
    struct ob_object *event;
    nt_status status = win32_typed(handle, &ob_event_type, MODIFY_STATE, &event);
    if (!nt_ok(status))
        return win32_result(status);
    ob_event_set(event, state);
    ob_object_unref(event);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetEvent(HANDLE event)
{
    return set_event(event, true);
}

static BOOL WINAPI_DEF k32_ResetEvent(HANDLE event)
{
    return set_event(event, false);
}

static BOOL WINAPI_DEF k32_PulseEvent(HANDLE handle)
{
    struct ob_object *event;
    nt_status status = win32_typed(handle, &ob_event_type, MODIFY_STATE, &event);
    if (!nt_ok(status))
        return win32_result(status);
    ob_event_pulse(event);
    ob_object_unref(event);
    return TRUE;
}

static HANDLE WINAPI_DEF k32_CreateSemaphoreExW(const SECURITY_ATTRIBUTES *attributes, LONG initial,
                                                LONG maximum, const WCHAR *name, DWORD flags,
                                                DWORD access)
{
    struct ob_name wanted;
    struct ob_object *semaphore = NULL;
    bool global;
    if (flags != 0)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status = ob_name_parse(name, &wanted, &global);
    if (nt_ok(status))
        status = ob_semaphore_create_named(&wanted, global, initial, maximum, &semaphore, NULL);
    return win32_created(status, semaphore, access, attributes);
}

static HANDLE WINAPI_DEF k32_CreateSemaphoreExA(const SECURITY_ATTRIBUTES *attributes, LONG initial,
                                                LONG maximum, const char *name, DWORD flags,
                                                DWORD access)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_CreateSemaphoreExW(attributes, initial, maximum, wide, flags, access);
    free(wide);
    return handle;
}

static HANDLE WINAPI_DEF k32_CreateSemaphoreW(const SECURITY_ATTRIBUTES *attributes, LONG initial,
                                              LONG maximum, const WCHAR *name)
{
    return k32_CreateSemaphoreExW(attributes, initial, maximum, name, 0, SEMAPHORE_ALL_ACCESS);
}

static HANDLE WINAPI_DEF k32_CreateSemaphoreA(const SECURITY_ATTRIBUTES *attributes, LONG initial,
                                              LONG maximum, const char *name)
{
    return k32_CreateSemaphoreExA(attributes, initial, maximum, name, 0, SEMAPHORE_ALL_ACCESS);
}

static BOOL WINAPI_DEF k32_ReleaseSemaphore(HANDLE handle, LONG count, LONG *previous)
{
    struct ob_object *semaphore;
    if (count <= 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    nt_status status = win32_typed(handle, &ob_semaphore_type, MODIFY_STATE, &semaphore);
    if (!nt_ok(status))
        return win32_result(status);
    status = ob_semaphore_release(semaphore, count, previous);
    ob_object_unref(semaphore);
    return win32_result(status);
}

static HANDLE WINAPI_DEF k32_CreateMutexExW(const SECURITY_ATTRIBUTES *attributes,
                                            const WCHAR *name, DWORD flags, DWORD access)
{
    uint32_t owner = flags & CREATE_MUTEX_INITIAL_OWNER ? ke_thread_id() : 0;
    struct ob_name wanted;
    struct ob_object *mutex = NULL;
    bool global;
    nt_status status = ob_name_parse(name, &wanted, &global);
    if (nt_ok(status))
        status = ob_mutex_create_named(&wanted, global, owner, &mutex, NULL);
    return win32_created(status, mutex, access, attributes);
}

static HANDLE WINAPI_DEF k32_CreateMutexExA(const SECURITY_ATTRIBUTES *attributes, const char *name,
                                            DWORD flags, DWORD access)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_CreateMutexExW(attributes, wide, flags, access);
    free(wide);
    return handle;
}

static HANDLE WINAPI_DEF k32_CreateMutexW(const SECURITY_ATTRIBUTES *attributes, BOOL owner,
                                          const WCHAR *name)
{
    return k32_CreateMutexExW(attributes, name, owner != 0, MUTEX_ALL_ACCESS);
}

static HANDLE WINAPI_DEF k32_CreateMutexA(const SECURITY_ATTRIBUTES *attributes, BOOL owner,
                                          const char *name)
{
    return k32_CreateMutexExA(attributes, name, owner != 0, MUTEX_ALL_ACCESS);
}

static BOOL WINAPI_DEF k32_ReleaseMutex(HANDLE handle)
{
    struct ob_object *mutex;
    nt_status status = win32_typed(handle, &ob_mutex_type, 0, &mutex);
    if (!nt_ok(status))
        return win32_result(status);
    status = ob_mutex_release(mutex, ke_thread_id());
    ob_object_unref(mutex);
    return win32_result(status);
}

const struct ldr_builtin_export kernel32_event_exports[] = {
    LDR_FN(k32_, CreateEventExW),     LDR_FN(k32_, CreateEventExA),
    LDR_FN(k32_, CreateEventW),       LDR_FN(k32_, CreateEventA),
    LDR_FN(k32_, OpenEventW),         LDR_FN(k32_, OpenEventA),
    LDR_FN(k32_, SetEvent),           LDR_FN(k32_, ResetEvent),
    LDR_FN(k32_, PulseEvent),         LDR_FN(k32_, CreateSemaphoreExW),
    LDR_FN(k32_, CreateSemaphoreExA), LDR_FN(k32_, CreateSemaphoreW),
    LDR_FN(k32_, CreateSemaphoreA),   LDR_FN(k32_, OpenSemaphoreW),
    LDR_FN(k32_, OpenSemaphoreA),     LDR_FN(k32_, ReleaseSemaphore),
    LDR_FN(k32_, CreateMutexExW),     LDR_FN(k32_, CreateMutexExA),
    LDR_FN(k32_, CreateMutexW),       LDR_FN(k32_, CreateMutexA),
    LDR_FN(k32_, OpenMutexW),         LDR_FN(k32_, OpenMutexA),
    LDR_FN(k32_, ReleaseMutex),
};
const size_t kernel32_event_count =
    sizeof(kernel32_event_exports) / sizeof(*kernel32_event_exports);
