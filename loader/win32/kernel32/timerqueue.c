/*
 * Timer queues and registered waits (threadpoollegacyapiset.h): what timerqueue.c returns as a
 * status, as a last error. Callbacks that are still to end are a failure with ERROR_IO_PENDING.
 */
#include "loader/win32/timerqueue.h"

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"

static BOOL ended(nt_status status)
{
    return status == STATUS_PENDING ? win32_fail(ERROR_IO_PENDING) : win32_result(status);
}

static HANDLE WINAPI_DEF k32_CreateTimerQueue(void)
{
    struct timer_queue *queue;
    return win32_result(tq_create(&queue)) ? queue : NULL;
}

static BOOL WINAPI_DEF k32_DeleteTimerQueueEx(HANDLE queue, HANDLE completion)
{
    return queue ? ended(tq_delete(queue, completion)) : win32_fail(ERROR_INVALID_HANDLE);
}

static BOOL WINAPI_DEF k32_DeleteTimerQueue(HANDLE queue)
{
    return k32_DeleteTimerQueueEx(queue, NULL);
}

static BOOL WINAPI_DEF k32_CreateTimerQueueTimer(HANDLE *out, HANDLE queue, const void *callback,
                                                 void *context, DWORD due, DWORD period,
                                                 ULONG flags)
{
    return win32_result(tq_timer_create(queue, callback, context, due, period, flags, out));
}

static BOOL WINAPI_DEF k32_ChangeTimerQueueTimer(HANDLE queue, HANDLE timer, DWORD due,
                                                 DWORD period)
{
    return timer ? win32_result(tq_timer_change(timer, due, period))
                 : win32_fail(ERROR_INVALID_HANDLE);
}

static BOOL WINAPI_DEF k32_DeleteTimerQueueTimer(HANDLE queue, HANDLE timer, HANDLE completion)
{
    return timer ? ended(tq_timer_delete(timer, completion)) : win32_fail(ERROR_INVALID_PARAMETER);
}

static BOOL WINAPI_DEF k32_RegisterWaitForSingleObject(HANDLE *out, HANDLE object,
                                                       const void *callback, void *context,
                                                       ULONG milliseconds, ULONG flags)
{
    return win32_result(tq_wait_register(object, callback, context, milliseconds, flags, out));
}

static HANDLE WINAPI_DEF k32_RegisterWaitForSingleObjectEx(HANDLE object, const void *callback,
                                                           void *context, ULONG milliseconds,
                                                           ULONG flags)
{
    HANDLE wait;
    nt_status status = tq_wait_register(object, callback, context, milliseconds, flags, &wait);
    return win32_result(status) ? wait : NULL;
}

static BOOL WINAPI_DEF k32_UnregisterWaitEx(HANDLE wait, HANDLE completion)
{
    return wait ? ended(tq_wait_unregister(wait, completion)) : win32_fail(ERROR_INVALID_HANDLE);
}

static BOOL WINAPI_DEF k32_UnregisterWait(HANDLE wait)
{
    return k32_UnregisterWaitEx(wait, NULL);
}

const struct ldr_builtin_export kernel32_timerqueue_exports[] = {
    LDR_FN(k32_, CreateTimerQueue),
    LDR_FN(k32_, DeleteTimerQueue),
    LDR_FN(k32_, DeleteTimerQueueEx),
    LDR_FN(k32_, CreateTimerQueueTimer),
    LDR_FN(k32_, ChangeTimerQueueTimer),
    LDR_FN(k32_, DeleteTimerQueueTimer),
    LDR_FN(k32_, RegisterWaitForSingleObject),
    LDR_FN(k32_, RegisterWaitForSingleObjectEx),
    LDR_FN(k32_, UnregisterWait),
    LDR_FN(k32_, UnregisterWaitEx),
};
const size_t kernel32_timerqueue_count =
    sizeof(kernel32_timerqueue_exports) / sizeof(*kernel32_timerqueue_exports);
