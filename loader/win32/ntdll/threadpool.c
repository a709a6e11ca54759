/*
 * The Tp functions of NTDLL, which KERNEL32's thread pool functions are on Windows, and
 * RtlQueueWorkItem. Signatures as Microsoft's winternl.h and threadpoolapiset.h give them to the
 * functions above.
 */
#include "loader/win32/threadpool.h"

#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/waitable.h"

/* ---- work --------------------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_TpAllocWork(struct tp_object **out, const void *callback,
                                           void *context, const TP_CALLBACK_ENVIRON *environment)
{
    return tp_create(TP_WORK, callback, context, environment, out);
}

static void WINAPI_DEF nt_TpPostWork(struct tp_object *work)
{
    tp_post(work);
}

static nt_status post_once(enum tp_kind kind, const void *callback, void *context,
                           const TP_CALLBACK_ENVIRON *environment)
{
    struct tp_object *object;
    nt_status status = tp_create(kind, callback, context, environment, &object);
    if (nt_ok(status)) {
        tp_post(object);
        tp_close(object, false, NULL);
    }
    return status;
}

static nt_status WINAPI_DEF nt_TpSimpleTryPost(const void *callback, void *context,
                                               const TP_CALLBACK_ENVIRON *environment)
{
    return post_once(TP_SIMPLE, callback, context, environment);
}

static nt_status WINAPI_DEF nt_RtlQueueWorkItem(const void *function, void *context, ULONG flags)
{
    enum { WT_EXECUTELONGFUNCTION = 0x10 };
    TP_CALLBACK_ENVIRON environment = {.Version = 1,
                                       .Flags = (flags & WT_EXECUTELONGFUNCTION) != 0};
    return post_once(TP_USER, function, context, &environment);
}

/* ---- any object --------------------------------------------------------------------------------
 */

static void WINAPI_DEF nt_TpRelease(struct tp_object *object)
{
    tp_close(object, false, NULL);
}

static void WINAPI_DEF nt_TpWaitFor(struct tp_object *object, BOOL cancel)
{
    tp_wait_idle(object, cancel != 0);
}

/* ---- timers and waits --------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_TpAllocTimer(struct tp_object **out, const void *callback,
                                            void *context, const TP_CALLBACK_ENVIRON *environment)
{
    return tp_create(TP_TIMER, callback, context, environment, out);
}

/* `window`: how late it may be, to save wake-ups. */
static BOOL WINAPI_DEF nt_TpSetTimerEx(struct tp_object *timer, const int64_t *due, LONG period,
                                       LONG window)
{
    return tp_timer_set(timer, due, due && period > 0 ? (DWORD)period : 0);
}

static void WINAPI_DEF nt_TpSetTimer(struct tp_object *timer, const int64_t *due, LONG period,
                                     LONG window)
{
    nt_TpSetTimerEx(timer, due, period, window);
}

static BOOL WINAPI_DEF nt_TpIsTimerSet(struct tp_object *timer)
{
    return tp_timer_is_set(timer);
}

static nt_status WINAPI_DEF nt_TpAllocWait(struct tp_object **out, const void *callback,
                                           void *context, const TP_CALLBACK_ENVIRON *environment)
{
    return tp_create(TP_WAIT, callback, context, environment, out);
}

/* A handle that is none raises the exception that its status names, as on Windows. */
static BOOL WINAPI_DEF nt_TpSetWaitEx(struct tp_object *wait, HANDLE handle, const int64_t *timeout,
                                      void *reserved)
{
    struct ob_object *target = NULL;
    nt_status status = handle ? win32_waitable(handle, &target) : STATUS_SUCCESS;
    if (!nt_ok(status))
        ke_raise(status, 0, 0, NULL);
    return tp_wait_set(wait, target, timeout);
}

static void WINAPI_DEF nt_TpSetWait(struct tp_object *wait, HANDLE handle, const int64_t *timeout)
{
    nt_TpSetWaitEx(wait, handle, timeout, NULL);
}

/* ---- pools and groups --------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_TpAllocPool(struct tp_pool **out, void *reserved)
{
    return reserved ? (nt_status)STATUS_INVALID_PARAMETER : tp_pool_create(out);
}

static void WINAPI_DEF nt_TpReleasePool(struct tp_pool *pool)
{
    tp_pool_close(pool);
}

static void WINAPI_DEF nt_TpSetPoolMaxThreads(struct tp_pool *pool, DWORD threads)
{
    tp_pool_set_maximum(pool, threads);
}

static nt_status WINAPI_DEF nt_TpSetPoolMinThreads(struct tp_pool *pool, DWORD threads)
{
    return tp_pool_set_minimum(pool, threads);
}

static nt_status WINAPI_DEF nt_TpAllocCleanupGroup(struct tp_group **out)
{
    return tp_group_create(out);
}

static void WINAPI_DEF nt_TpReleaseCleanupGroup(struct tp_group *group)
{
    tp_group_close(group);
}

static void WINAPI_DEF nt_TpReleaseCleanupGroupMembers(struct tp_group *group, BOOL cancel,
                                                       void *context)
{
    tp_group_close_members(group, cancel != 0, context);
}

/* ---- a callback about itself -------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_TpCallbackMayRunLong(struct tp_instance *instance)
{
    return tp_may_run_long(instance);
}

static void WINAPI_DEF nt_TpDisassociateCallback(struct tp_instance *instance)
{
    tp_disassociate(instance);
}

static void WINAPI_DEF nt_TpCallbackSetEventOnCompletion(struct tp_instance *instance, HANDLE event)
{
    tp_after(instance)->event = event;
}

static void WINAPI_DEF nt_TpCallbackReleaseSemaphoreOnCompletion(struct tp_instance *instance,
                                                                 HANDLE semaphore, DWORD count)
{
    tp_after(instance)->semaphore = semaphore;
    tp_after(instance)->semaphore_count = count;
}

static void WINAPI_DEF nt_TpCallbackReleaseMutexOnCompletion(struct tp_instance *instance,
                                                             HANDLE mutex)
{
    tp_after(instance)->mutex = mutex;
}

static void WINAPI_DEF nt_TpCallbackLeaveCriticalSectionOnCompletion(struct tp_instance *instance,
                                                                     CRITICAL_SECTION *section)
{
    tp_after(instance)->section = section;
}

static void WINAPI_DEF nt_TpCallbackUnloadDllOnCompletion(struct tp_instance *instance,
                                                          HMODULE library)
{
    tp_after(instance)->library = library;
}

/* The kinds of objects share their functions. */
#define TP_AS(fn, shared)                                                                \
    {                                                                                    \
        .name = #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_Tp##shared \
    }

const struct ldr_builtin_export ntdll_threadpool_exports[] = {
    LDR_FN(nt_, TpAllocWork),
    LDR_FN(nt_, TpPostWork),
    LDR_FN(nt_, TpSimpleTryPost),
    LDR_FN(nt_, RtlQueueWorkItem),
    TP_AS(TpReleaseWork, Release),
    TP_AS(TpWaitForWork, WaitFor),
    LDR_FN(nt_, TpAllocTimer),
    LDR_FN(nt_, TpSetTimer),
    LDR_FN(nt_, TpSetTimerEx),
    LDR_FN(nt_, TpIsTimerSet),
    TP_AS(TpReleaseTimer, Release),
    TP_AS(TpWaitForTimer, WaitFor),
    LDR_FN(nt_, TpAllocWait),
    LDR_FN(nt_, TpSetWait),
    LDR_FN(nt_, TpSetWaitEx),
    TP_AS(TpReleaseWait, Release),
    TP_AS(TpWaitForWait, WaitFor),
    LDR_FN(nt_, TpAllocPool),
    LDR_FN(nt_, TpReleasePool),
    LDR_FN(nt_, TpSetPoolMaxThreads),
    LDR_FN(nt_, TpSetPoolMinThreads),
    LDR_FN(nt_, TpAllocCleanupGroup),
    LDR_FN(nt_, TpReleaseCleanupGroup),
    LDR_FN(nt_, TpReleaseCleanupGroupMembers),
    LDR_FN(nt_, TpCallbackMayRunLong),
    LDR_FN(nt_, TpDisassociateCallback),
    LDR_FN(nt_, TpCallbackSetEventOnCompletion),
    LDR_FN(nt_, TpCallbackReleaseSemaphoreOnCompletion),
    LDR_FN(nt_, TpCallbackReleaseMutexOnCompletion),
    LDR_FN(nt_, TpCallbackLeaveCriticalSectionOnCompletion),
    LDR_FN(nt_, TpCallbackUnloadDllOnCompletion),
};
const size_t ntdll_threadpool_count =
    sizeof(ntdll_threadpool_exports) / sizeof(*ntdll_threadpool_exports);
