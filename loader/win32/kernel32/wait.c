/*
 * Waiting for objects, and sleeping. There are no asynchronous procedure calls, so an alertable
 * wait is a plain one.
 */
#include <sched.h>
#include <time.h>

#include "loader/ke/futex.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/waitable.h"

static DWORD WINAPI_DEF k32_WaitForSingleObjectEx(HANDLE handle, DWORD milliseconds, BOOL alertable)
{
    return win32_wait_result(&handle, 1, false, milliseconds);
}

static DWORD WINAPI_DEF k32_WaitForSingleObject(HANDLE handle, DWORD milliseconds)
{
    return win32_wait_result(&handle, 1, false, milliseconds);
}

static DWORD WINAPI_DEF k32_WaitForMultipleObjectsEx(DWORD count, const HANDLE *handles, BOOL all,
                                                     DWORD milliseconds, BOOL alertable)
{
    return win32_wait_result(handles, count, all != 0, milliseconds);
}

static DWORD WINAPI_DEF k32_WaitForMultipleObjects(DWORD count, const HANDLE *handles, BOOL all,
                                                   DWORD milliseconds)
{
    return win32_wait_result(handles, count, all != 0, milliseconds);
}

/* What SignalObjectAndWait takes for its first object. */
static nt_status signal_object(struct ob_object *object)
{
    if (object->type == &ob_semaphore_type)
        return ob_semaphore_release(object, 1, NULL);
    if (object->type == &ob_mutex_type)
        return ob_mutex_release(object, ke_thread_id());
    if (object->type != &ob_event_type)
        return STATUS_OBJECT_TYPE_MISMATCH;
    ob_event_set(object, true);
    return STATUS_SUCCESS;
}

static DWORD WINAPI_DEF k32_SignalObjectAndWait(HANDLE signal, HANDLE wait, DWORD milliseconds,
                                                BOOL alertable)
{
    struct ob_object *object;
    nt_status status = win32_waitable(signal, &object);
    if (nt_ok(status)) {
        status = signal_object(object);
        ob_object_unref(object);
    }
    if (nt_ok(status))
        return win32_wait_result(&wait, 1, false, milliseconds);
    win32_result(status);
    return WAIT_FAILED;
}

static DWORD WINAPI_DEF k32_SleepEx(DWORD milliseconds, BOOL alertable)
{
    struct ke_deadline storage;
    const struct ke_deadline *deadline = ke_deadline_after(milliseconds, &storage);
    const uint32_t never = 0;
    if (milliseconds == 0)
        sched_yield();
    else
        while (ke_futex_wait(&never, 0, KE_FUTEX_ANYONE, deadline))
            ;
    return 0;
}

static void WINAPI_DEF k32_Sleep(DWORD milliseconds)
{
    k32_SleepEx(milliseconds, FALSE);
}

/* Whether another thread ran cannot be known. */
static BOOL WINAPI_DEF k32_SwitchToThread(void)
{
    return sched_yield() == 0;
}

const struct ldr_builtin_export kernel32_wait_exports[] = {
    LDR_FN(k32_, WaitForSingleObject),
    LDR_FN(k32_, WaitForSingleObjectEx),
    LDR_FN(k32_, WaitForMultipleObjects),
    LDR_FN(k32_, WaitForMultipleObjectsEx),
    LDR_FN(k32_, SignalObjectAndWait),
    LDR_FN(k32_, Sleep),
    LDR_FN(k32_, SleepEx),
    LDR_FN(k32_, SwitchToThread),
};
const size_t kernel32_wait_count = sizeof(kernel32_wait_exports) / sizeof(*kernel32_wait_exports);
