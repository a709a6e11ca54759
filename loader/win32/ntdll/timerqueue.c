/*
 * NTDLL's names of timer queues and registered waits: they return as a status what KERNEL32's
 * documented ones report through the last error.
 */
#include "loader/win32/timerqueue.h"

#include "loader/win32/ntdll/families.h"

static nt_status WINAPI_DEF nt_RtlCreateTimerQueue(HANDLE *out)
{
    return tq_create((struct timer_queue **)out);
}

static nt_status WINAPI_DEF nt_RtlDeleteTimerQueueEx(HANDLE queue, HANDLE completion)
{
    return queue ? tq_delete(queue, completion) : (nt_status)STATUS_INVALID_HANDLE;
}

static nt_status WINAPI_DEF nt_RtlDeleteTimerQueue(HANDLE queue)
{
    return nt_RtlDeleteTimerQueueEx(queue, NULL);
}

static nt_status WINAPI_DEF nt_RtlCreateTimer(HANDLE queue, HANDLE *out, const void *callback,
                                              void *context, DWORD due, DWORD period, ULONG flags)
{
    return tq_timer_create(queue, callback, context, due, period, flags, out);
}

static nt_status WINAPI_DEF nt_RtlUpdateTimer(HANDLE queue, HANDLE timer, DWORD due, DWORD period)
{
    return timer ? tq_timer_change(timer, due, period) : (nt_status)STATUS_INVALID_HANDLE;
}

static nt_status WINAPI_DEF nt_RtlDeleteTimer(HANDLE queue, HANDLE timer, HANDLE completion)
{
    return timer ? tq_timer_delete(timer, completion) : (nt_status)STATUS_INVALID_PARAMETER;
}

static nt_status WINAPI_DEF nt_RtlRegisterWait(HANDLE *out, HANDLE object, const void *callback,
                                               void *context, ULONG milliseconds, ULONG flags)
{
    return tq_wait_register(object, callback, context, milliseconds, flags, out);
}

static nt_status WINAPI_DEF nt_RtlDeregisterWaitEx(HANDLE wait, HANDLE completion)
{
    return wait ? tq_wait_unregister(wait, completion) : (nt_status)STATUS_INVALID_HANDLE;
}

static nt_status WINAPI_DEF nt_RtlDeregisterWait(HANDLE wait)
{
    return nt_RtlDeregisterWaitEx(wait, NULL);
}

const struct ldr_builtin_export ntdll_timerqueue_exports[] = {
    LDR_FN(nt_, RtlCreateTimerQueue),   LDR_FN(nt_, RtlDeleteTimerQueue),
    LDR_FN(nt_, RtlDeleteTimerQueueEx), LDR_FN(nt_, RtlCreateTimer),
    LDR_FN(nt_, RtlUpdateTimer),        LDR_FN(nt_, RtlDeleteTimer),
    LDR_FN(nt_, RtlRegisterWait),       LDR_FN(nt_, RtlDeregisterWait),
    LDR_FN(nt_, RtlDeregisterWaitEx),
};
const size_t ntdll_timerqueue_count =
    sizeof(ntdll_timerqueue_exports) / sizeof(*ntdll_timerqueue_exports);
