/*
 * Waiting for objects, and sleeping. An alertable wait that NtAlertThread ends begins anew, with
 * its whole time: the Win32 functions have no answer for it.
 */
#include <sched.h>

#include "loader/ke/apc.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/waitable.h"

static DWORD wait_result(const HANDLE *handles, DWORD count, BOOL all, DWORD milliseconds,
                         BOOL alertable)
{
    nt_status status;
    do
        status = win32_wait_alertable(handles, count, all != 0, milliseconds, alertable != 0);
    while (status == (nt_status)OB_STATUS_ALERTED);
    if (nt_ok(status))
        return status;
    win32_result(status);
    return WAIT_FAILED;
}

static DWORD WINAPI_DEF k32_WaitForSingleObjectEx(HANDLE handle, DWORD milliseconds, BOOL alertable)
{
    return wait_result(&handle, 1, FALSE, milliseconds, alertable);
}

static DWORD WINAPI_DEF k32_WaitForSingleObject(HANDLE handle, DWORD milliseconds)
{
    return wait_result(&handle, 1, FALSE, milliseconds, FALSE);
}

static DWORD WINAPI_DEF k32_WaitForMultipleObjectsEx(DWORD count, const HANDLE *handles, BOOL all,
                                                     DWORD milliseconds, BOOL alertable)
{
    return wait_result(handles, count, all, milliseconds, alertable);
}

static DWORD WINAPI_DEF k32_WaitForMultipleObjects(DWORD count, const HANDLE *handles, BOOL all,
                                                   DWORD milliseconds)
{
    return wait_result(handles, count, all, milliseconds, FALSE);
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
        return wait_result(&wait, 1, FALSE, milliseconds, alertable);
    win32_result(status);
    return WAIT_FAILED;
}

static DWORD WINAPI_DEF k32_SleepEx(DWORD milliseconds, BOOL alertable)
{
    nt_status status;
    if (milliseconds == 0)
        sched_yield();
    do
        status = ke_sleep(milliseconds, alertable != 0);
    while (status == (nt_status)OB_STATUS_ALERTED);
    return status == (nt_status)OB_STATUS_USER_APC ? OB_STATUS_USER_APC : 0;
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
