/*
 * KERNEL32's thread pool functions (threadpoolapiset.h): most are forwarders to NTDLL's Tp
 * functions, as on Windows.
 */
#include "loader/win32/threadpool.h"

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/waitable.h"

static struct tp_object *create(enum tp_kind kind, const void *callback, void *context,
                                const TP_CALLBACK_ENVIRON *environment)
{
    struct tp_object *object;
    nt_status status = tp_create(kind, callback, context, environment, &object);
    if (nt_ok(status))
        return object;
    win32_result(status);
    return NULL;
}

static struct tp_object *WINAPI_DEF k32_CreateThreadpoolWork(const void *callback, void *context,
                                                             const TP_CALLBACK_ENVIRON *environment)
{
    return create(TP_WORK, callback, context, environment);
}

static struct tp_object *WINAPI_DEF k32_CreateThreadpoolTimer(
    const void *callback, void *context, const TP_CALLBACK_ENVIRON *environment)
{
    return create(TP_TIMER, callback, context, environment);
}

static struct tp_object *WINAPI_DEF k32_CreateThreadpoolWait(const void *callback, void *context,
                                                             const TP_CALLBACK_ENVIRON *environment)
{
    return create(TP_WAIT, callback, context, environment);
}

static BOOL WINAPI_DEF k32_TrySubmitThreadpoolCallback(const void *callback, void *context,
                                                       const TP_CALLBACK_ENVIRON *environment)
{
    struct tp_object *object = create(TP_SIMPLE, callback, context, environment);
    if (!object)
        return FALSE;
    tp_post(object);
    tp_close(object, false, NULL);
    return TRUE;
}

static BOOL WINAPI_DEF k32_QueueUserWorkItem(const void *function, void *context, ULONG flags)
{
    enum { WT_EXECUTELONGFUNCTION = 0x10 };
    TP_CALLBACK_ENVIRON environment = {.Version = 1,
                                       .Flags = (flags & WT_EXECUTELONGFUNCTION) != 0};
    struct tp_object *object = create(TP_USER, function, context, &environment);
    if (!object)
        return FALSE;
    tp_post(object);
    tp_close(object, false, NULL);
    return TRUE;
}

/* ---- times and waits ---------------------------------------------------------------------------
 */

static const int64_t *timeout_of(const FILETIME *time, int64_t *storage)
{
    if (!time)
        return NULL;
    *storage = (int64_t)((uint64_t)time->dwHighDateTime << 32 | time->dwLowDateTime);
    return storage;
}

static BOOL WINAPI_DEF k32_SetThreadpoolTimerEx(struct tp_object *timer, const FILETIME *due,
                                                DWORD period, DWORD window)
{
    int64_t storage;
    const int64_t *timeout = timeout_of(due, &storage);
    return tp_timer_set(timer, timeout, timeout ? period : 0);
}

static void WINAPI_DEF k32_SetThreadpoolTimer(struct tp_object *timer, const FILETIME *due,
                                              DWORD period, DWORD window)
{
    k32_SetThreadpoolTimerEx(timer, due, period, window);
}

static BOOL WINAPI_DEF k32_SetThreadpoolWaitEx(struct tp_object *wait, HANDLE handle,
                                               const FILETIME *timeout, void *reserved)
{
    int64_t storage;
    struct ob_object *target = NULL;
    nt_status status = handle ? win32_waitable(handle, &target) : STATUS_SUCCESS;
    if (!nt_ok(status))
        ke_raise(status, 0, 0, NULL);
    return tp_wait_set(wait, target, timeout_of(timeout, &storage));
}

static void WINAPI_DEF k32_SetThreadpoolWait(struct tp_object *wait, HANDLE handle,
                                             const FILETIME *timeout)
{
    k32_SetThreadpoolWaitEx(wait, handle, timeout, NULL);
}

/* ---- pools, groups, callbacks ------------------------------------------------------------------
 */

static struct tp_pool *WINAPI_DEF k32_CreateThreadpool(void *reserved)
{
    struct tp_pool *pool;
    if (reserved)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status = tp_pool_create(&pool);
    if (nt_ok(status))
        return pool;
    win32_result(status);
    return NULL;
}

static BOOL WINAPI_DEF k32_SetThreadpoolThreadMinimum(struct tp_pool *pool, DWORD threads)
{
    return win32_result(tp_pool_set_minimum(pool, threads));
}

static struct tp_group *WINAPI_DEF k32_CreateThreadpoolCleanupGroup(void)
{
    struct tp_group *group;
    nt_status status = tp_group_create(&group);
    if (nt_ok(status))
        return group;
    win32_result(status);
    return NULL;
}

static BOOL WINAPI_DEF k32_CallbackMayRunLong(struct tp_instance *instance)
{
    return win32_result(tp_may_run_long(instance));
}

const struct ldr_builtin_export kernel32_threadpool_exports[] = {
    LDR_FN(k32_, CreateThreadpoolWork),
    LDR_FWD(SubmitThreadpoolWork, "NTDLL.TpPostWork"),
    LDR_FWD(WaitForThreadpoolWorkCallbacks, "NTDLL.TpWaitForWork"),
    LDR_FWD(CloseThreadpoolWork, "NTDLL.TpReleaseWork"),
    LDR_FN(k32_, TrySubmitThreadpoolCallback),
    LDR_FN(k32_, QueueUserWorkItem),
    LDR_FN(k32_, CreateThreadpoolTimer),
    LDR_FN(k32_, SetThreadpoolTimer),
    LDR_FN(k32_, SetThreadpoolTimerEx),
    LDR_FWD(IsThreadpoolTimerSet, "NTDLL.TpIsTimerSet"),
    LDR_FWD(WaitForThreadpoolTimerCallbacks, "NTDLL.TpWaitForTimer"),
    LDR_FWD(CloseThreadpoolTimer, "NTDLL.TpReleaseTimer"),
    LDR_FN(k32_, CreateThreadpoolWait),
    LDR_FN(k32_, SetThreadpoolWait),
    LDR_FN(k32_, SetThreadpoolWaitEx),
    LDR_FWD(WaitForThreadpoolWaitCallbacks, "NTDLL.TpWaitForWait"),
    LDR_FWD(CloseThreadpoolWait, "NTDLL.TpReleaseWait"),
    LDR_FN(k32_, CreateThreadpool),
    LDR_FWD(SetThreadpoolThreadMaximum, "NTDLL.TpSetPoolMaxThreads"),
    LDR_FN(k32_, SetThreadpoolThreadMinimum),
    LDR_FWD(CloseThreadpool, "NTDLL.TpReleasePool"),
    LDR_FN(k32_, CreateThreadpoolCleanupGroup),
    LDR_FWD(CloseThreadpoolCleanupGroup, "NTDLL.TpReleaseCleanupGroup"),
    LDR_FWD(CloseThreadpoolCleanupGroupMembers, "NTDLL.TpReleaseCleanupGroupMembers"),
    LDR_FN(k32_, CallbackMayRunLong),
    LDR_FWD(DisassociateCurrentThreadFromCallback, "NTDLL.TpDisassociateCallback"),
    LDR_FWD(SetEventWhenCallbackReturns, "NTDLL.TpCallbackSetEventOnCompletion"),
    LDR_FWD(ReleaseSemaphoreWhenCallbackReturns, "NTDLL.TpCallbackReleaseSemaphoreOnCompletion"),
    LDR_FWD(ReleaseMutexWhenCallbackReturns, "NTDLL.TpCallbackReleaseMutexOnCompletion"),
    LDR_FWD(LeaveCriticalSectionWhenCallbackReturns,
            "NTDLL.TpCallbackLeaveCriticalSectionOnCompletion"),
    LDR_FWD(FreeLibraryWhenCallbackReturns, "NTDLL.TpCallbackUnloadDllOnCompletion"),
};
const size_t kernel32_threadpool_count =
    sizeof(kernel32_threadpool_exports) / sizeof(*kernel32_threadpool_exports);
