/*
 * The thread pool through the functions that images call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <time.h>

#include "loader/ke/ke.h"
#include "loader/win32/threadpool.h"
#include "tests/unit/status.h"
#include "tests/unit/win32_fn.h"

typedef TP_CALLBACK_ENVIRON ENVIRON;
typedef struct tp_instance *INSTANCE;

K32(CreateThreadpoolWork, void *, const void *callback, void *context, const ENVIRON *environment)
K32(SubmitThreadpoolWork, void, void *work)
K32(WaitForThreadpoolWorkCallbacks, void, void *work, BOOL cancel)
K32(CloseThreadpoolWork, void, void *work)
K32(TrySubmitThreadpoolCallback, BOOL, const void *callback, void *context, const ENVIRON *e)
K32(QueueUserWorkItem, BOOL, const void *callback, void *context, ULONG flags)
K32(CreateThreadpoolTimer, void *, const void *callback, void *context, const ENVIRON *e)
K32(SetThreadpoolTimer, void, void *timer, const int64_t *due, DWORD period, DWORD window)
K32(SetThreadpoolTimerEx, BOOL, void *timer, const int64_t *due, DWORD period, DWORD window)
K32(IsThreadpoolTimerSet, BOOL, void *timer)
K32(WaitForThreadpoolTimerCallbacks, void, void *timer, BOOL cancel)
K32(CloseThreadpoolTimer, void, void *timer)
K32(CreateThreadpoolWait, void *, const void *callback, void *context, const ENVIRON *e)
K32(SetThreadpoolWait, void, void *wait, HANDLE handle, const int64_t *timeout)
K32(WaitForThreadpoolWaitCallbacks, void, void *wait, BOOL cancel)
K32(CloseThreadpoolWait, void, void *wait)
K32(CreateThreadpool, void *, void *reserved)
K32(SetThreadpoolThreadMaximum, void, void *pool, DWORD threads)
K32(SetThreadpoolThreadMinimum, BOOL, void *pool, DWORD threads)
K32(CloseThreadpool, void, void *pool)
K32(CreateThreadpoolCleanupGroup, void *, void)
K32(CloseThreadpoolCleanupGroupMembers, void, void *group, BOOL cancel, void *context)
K32(CloseThreadpoolCleanupGroup, void, void *group)
K32(CallbackMayRunLong, BOOL, INSTANCE instance)
K32(DisassociateCurrentThreadFromCallback, void, INSTANCE instance)
K32(SetEventWhenCallbackReturns, void, INSTANCE instance, HANDLE event)
K32(CreateEventW, HANDLE, void *attributes, BOOL manual, BOOL initial, const WCHAR *name)
K32(SetEvent, BOOL, HANDLE event)
K32(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds)
K32(CloseHandle, BOOL, HANDLE handle)
K32(Sleep, void, DWORD milliseconds)
K32(ExitThread, void, DWORD code)
NT(TpAllocWork, nt_status, void **out, const void *callback, void *context, const ENVIRON *e)
NT(TpSimpleTryPost, nt_status, const void *callback, void *context, const ENVIRON *e)

enum { WAIT_OBJECT_0 = 0, WAIT_TIMEOUT = 258, FOREVER = 10000 };

static uint32_t count, at_once, most_at_once;
static HANDLE event; /* auto reset */

static int begin(void **state)
{
    count = at_once = most_at_once = 0;
    event = CreateEventW(NULL, FALSE, FALSE, NULL);
    return event ? 0 : -1;
}

static int end(void **state)
{
    return CloseHandle(event) ? 0 : -1;
}

static uint32_t counted(void)
{
    return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

static void WINAPI_DEF count_up(INSTANCE instance, void *context, void *object)
{
    uint32_t now = __atomic_add_fetch(&at_once, 1, __ATOMIC_ACQ_REL);
    uint32_t most = __atomic_load_n(&most_at_once, __ATOMIC_ACQUIRE);
    while (most < now && !__atomic_compare_exchange_n(&most_at_once, &most, now, false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    if (context)
        Sleep((DWORD)(uintptr_t)context);
    __atomic_sub_fetch(&at_once, 1, __ATOMIC_ACQ_REL);
    __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
}

static void work_runs_as_often_as_it_is_submitted(void **state)
{
    void *work = CreateThreadpoolWork(count_up, NULL, NULL);
    assert_non_null(work);
    for (int round = 1; round <= 20; round++) {
        for (int i = 0; i < 100; i++)
            SubmitThreadpoolWork(work);
        WaitForThreadpoolWorkCallbacks(work, FALSE);
        assert_int_equal(counted(), round * 100);
    }
    CloseThreadpoolWork(work);
}

static void work_closed_early_still_runs(void **state)
{
    void *work = CreateThreadpoolWork(count_up, (void *)2, NULL);
    for (int i = 0; i < 50; i++)
        SubmitThreadpoolWork(work);
    CloseThreadpoolWork(work);
    for (int i = 0; i < 1000 && counted() < 50; i++)
        Sleep(5);
    assert_int_equal(counted(), 50);
}

static void what_has_not_begun_can_be_cancelled(void **state)
{
    ENVIRON environment = {.Version = 3, .CallbackPriority = TP_PRIORITY_NORMAL};
    environment.Pool = CreateThreadpool(NULL);
    SetThreadpoolThreadMaximum(environment.Pool, 1);
    void *work = CreateThreadpoolWork(count_up, (void *)30, &environment);
    for (int i = 0; i < 10; i++)
        SubmitThreadpoolWork(work);
    while (!__atomic_load_n(&at_once, __ATOMIC_ACQUIRE))
        sched_yield();
    WaitForThreadpoolWorkCallbacks(work, TRUE);
    assert_int_equal(counted(), 1);
    Sleep(50);
    assert_int_equal(counted(), 1);
    CloseThreadpoolWork(work);
    CloseThreadpool(environment.Pool);
}

static void a_pool_keeps_to_its_maximum(void **state)
{
    ENVIRON environment = {.Version = 1};
    environment.Pool = CreateThreadpool(NULL);
    SetThreadpoolThreadMaximum(environment.Pool, 3);
    assert_true(SetThreadpoolThreadMinimum(environment.Pool, 2));
    void *work = CreateThreadpoolWork(count_up, (void *)20, &environment);
    for (int i = 0; i < 12; i++)
        SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    assert_int_equal(counted(), 12);
    assert_in_range(most_at_once, 2, 3);
    CloseThreadpoolWork(work);
    CloseThreadpool(environment.Pool);
}

/* Each of a chain waits for the next one: with a fixed number of workers it would hang. */
static void *chain;
static uint32_t links_left;

static void WINAPI_DEF chained(INSTANCE instance, void *context, void *work)
{
    if (__atomic_sub_fetch(&links_left, 1, __ATOMIC_ACQ_REL) > 0) {
        SubmitThreadpoolWork(chain);
        while (__atomic_load_n(&links_left, __ATOMIC_ACQUIRE) != 0)
            Sleep(1);
    }
    __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
}

static void workers_that_block_are_joined_by_others(void **state)
{
    links_left = 24;
    chain = CreateThreadpoolWork(chained, NULL, NULL);
    SubmitThreadpoolWork(chain);
    WaitForThreadpoolWorkCallbacks(chain, FALSE);
    assert_int_equal(counted(), 24);
    CloseThreadpoolWork(chain);
}

static DWORD WINAPI_DEF user_item(void *context)
{
    SetEvent(context);
    return 0;
}

static void WINAPI_DEF simple(INSTANCE instance, void *context)
{
    assert_true(CallbackMayRunLong(instance));
    SetEventWhenCallbackReturns(instance, context);
    __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
}

static void simple_callbacks_run_once(void **state)
{
    assert_true(QueueUserWorkItem(user_item, event, 0));
    assert_int_equal(WaitForSingleObject(event, FOREVER), WAIT_OBJECT_0);
    assert_true(TrySubmitThreadpoolCallback(simple, event, NULL));
    assert_int_equal(WaitForSingleObject(event, FOREVER), WAIT_OBJECT_0);
    assert_int_equal(counted(), 1);
    ENVIRON unknown = {.Version = 9999};
    assert_fails(TrySubmitThreadpoolCallback(simple, event, &unknown), ERROR_INVALID_PARAMETER);
    assert_status(TpSimpleTryPost(simple, event, &unknown), STATUS_INVALID_PARAMETER);
}

/* ---- timers ------------------------------------------------------------------------------------
 */

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_timer_rings_when_its_time_has_come(void **state)
{
    void *timer = CreateThreadpoolTimer(count_up, NULL, NULL);
    int64_t due = -30 * 10000, start = now_milliseconds();
    assert_false(IsThreadpoolTimerSet(timer));
    assert_false(SetThreadpoolTimerEx(timer, &due, 0, 0));
    assert_true(IsThreadpoolTimerSet(timer));
    while (!counted())
        Sleep(1);
    assert_in_range(now_milliseconds() - start, 29, 5000);
    assert_false(IsThreadpoolTimerSet(timer));
    WaitForThreadpoolTimerCallbacks(timer, FALSE);
    assert_int_equal(counted(), 1);
    CloseThreadpoolTimer(timer);
}

static void a_periodic_timer_rings_until_it_is_stopped(void **state)
{
    void *timer = CreateThreadpoolTimer(count_up, NULL, NULL);
    int64_t due = 0; /* a time long past: at once */
    SetThreadpoolTimer(timer, &due, 5, 0);
    while (counted() < 5)
        Sleep(1);
    assert_true(SetThreadpoolTimerEx(timer, NULL, 0, 0));
    WaitForThreadpoolTimerCallbacks(timer, TRUE);
    uint32_t rings = counted();
    Sleep(40);
    assert_int_equal(counted(), rings);
    CloseThreadpoolTimer(timer);
}

/* ---- waits -------------------------------------------------------------------------------------
 */

static DWORD wait_results[2];

static void WINAPI_DEF wait_ended(INSTANCE instance, void *context, void *wait, DWORD result)
{
    wait_results[result != WAIT_OBJECT_0]++;
    __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
}

static void a_wait_ends_once_by_signal_or_time(void **state)
{
    void *wait = CreateThreadpoolWait(wait_ended, NULL, NULL);
    int64_t soon = -10 * 10000;
    wait_results[0] = wait_results[1] = 0;
    SetThreadpoolWait(wait, event, NULL);
    Sleep(20);
    assert_int_equal(counted(), 0);
    SetEvent(event);
    WaitForThreadpoolWaitCallbacks(wait, FALSE);
    assert_int_equal(wait_results[0], 1);
    SetEvent(event); /* nobody waits: the signal stays */
    SetThreadpoolWait(wait, event, &soon);
    WaitForThreadpoolWaitCallbacks(wait, FALSE);
    assert_int_equal(wait_results[0], 2);
    SetThreadpoolWait(wait, event, &soon);
    while (counted() < 3)
        Sleep(1);
    assert_int_equal(wait_results[1], 1);
    SetEvent(event); /* the wait took no part in this one */
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    SetThreadpoolWait(wait, event, NULL);
    SetThreadpoolWait(wait, NULL, NULL);
    SetEvent(event);
    Sleep(20);
    assert_int_equal(counted(), 3);
    CloseThreadpoolWait(wait);
}

/* ---- groups, and callbacks about themselves ----------------------------------------------------
 */

static uint32_t cancelled;

static void WINAPI_DEF on_cancel(void *context, void *cleanup_context)
{
    assert_ptr_equal(cleanup_context, &cancelled);
    cancelled++;
}

static void a_group_is_closed_at_once(void **state)
{
    ENVIRON environment = {.Version = 3, .CallbackPriority = TP_PRIORITY_HIGH};
    int64_t late = -600 * INT64_C(10000000);
    cancelled = 0;
    environment.Pool = CreateThreadpool(NULL);
    environment.CleanupGroup = CreateThreadpoolCleanupGroup();
    environment.CleanupGroupCancelCallback = on_cancel;
    SetThreadpoolThreadMaximum(environment.Pool, 1);
    void *work = CreateThreadpoolWork(count_up, (void *)20, &environment);
    void *timer = CreateThreadpoolTimer(count_up, NULL, &environment);
    void *wait = CreateThreadpoolWait(wait_ended, NULL, &environment);
    void *closed = CreateThreadpoolWait(wait_ended, NULL, &environment);
    SetThreadpoolTimer(timer, &late, 0, 0);
    SetThreadpoolWait(wait, event, NULL);
    CloseThreadpoolWait(closed);
    for (int i = 0; i < 5; i++)
        SubmitThreadpoolWork(work);
    while (!__atomic_load_n(&at_once, __ATOMIC_ACQUIRE))
        sched_yield();
    CloseThreadpoolCleanupGroupMembers(environment.CleanupGroup, TRUE, &cancelled);
    assert_int_equal(counted(), 1);
    assert_int_equal(cancelled, 3);
    work = CreateThreadpoolWork(count_up, (void *)1, &environment);
    for (int i = 0; i < 5; i++)
        SubmitThreadpoolWork(work);
    CloseThreadpoolCleanupGroupMembers(environment.CleanupGroup, FALSE, &cancelled);
    assert_int_equal(counted(), 6);
    assert_int_equal(cancelled, 3);
    CloseThreadpoolCleanupGroup(environment.CleanupGroup);
    CloseThreadpool(environment.Pool);
}

static void WINAPI_DEF slow_but_free(INSTANCE instance, void *context, void *work)
{
    DisassociateCurrentThreadFromCallback(instance);
    WaitForSingleObject(context, FOREVER);
    SetEventWhenCallbackReturns(instance, context);
}

static void nobody_waits_for_a_disassociated_callback(void **state)
{
    void *work = CreateThreadpoolWork(slow_but_free, event, NULL);
    SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    CloseThreadpoolWork(work);
    SetEvent(event); /* lets it go on */
    Sleep(20);
    assert_int_equal(WaitForSingleObject(event, FOREVER), WAIT_OBJECT_0);
}

static void WINAPI_DEF end_thread(INSTANCE instance, void *context, void *work)
{
    __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
    ExitThread(7);
}

static void a_callback_that_ends_its_thread_counts_as_ended(void **state)
{
    ENVIRON environment = {.Version = 1};
    environment.Pool = CreateThreadpool(NULL);
    SetThreadpoolThreadMaximum(environment.Pool, 1);
    void *work = CreateThreadpoolWork(end_thread, NULL, &environment);
    for (int i = 0; i < 3; i++)
        SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    assert_int_equal(counted(), 3);
    CloseThreadpoolWork(work);
    CloseThreadpool(environment.Pool);
}

static uint32_t WINAPI_DEF submit_and_return(void *work)
{
    SubmitThreadpoolWork(work);
    return 5;
}

static void a_process_lives_for_callbacks_but_not_for_workers(void **state)
{
    void *work = CreateThreadpoolWork(count_up, (void *)50, NULL);
    assert_int_equal(ke_run(submit_and_return, work), 5); /* must come back, and not at once */
    assert_int_equal(counted(), 1);
    CloseThreadpoolWork(work);
}

static void WINAPI_DEF remember_thread(INSTANCE instance, void *context, void *work)
{
    *(uint32_t *)context = ke_thread_id();
}

static bool thread_ended(uint32_t id)
{
    struct ob_object *thread = ke_thread_by_id(id);
    if (thread)
        ob_object_unref(thread);
    return !thread;
}

static void workers_end_when_there_is_nothing_to_do(void **state)
{
    ENVIRON environment = {.Version = 1};
    uint32_t id = 0, before = tp_idle_milliseconds;
    tp_idle_milliseconds = 20;
    environment.Pool = CreateThreadpool(NULL);
    void *work = CreateThreadpoolWork(remember_thread, &id, &environment);
    SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    assert_int_not_equal(id, 0);
    for (int i = 0; i < 1000 && !thread_ended(id); i++)
        Sleep(5);
    assert_true(thread_ended(id));
    SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    CloseThreadpoolWork(work);
    CloseThreadpool(environment.Pool);
    tp_idle_milliseconds = before;
}

static void WINAPI_DEF finalize(INSTANCE instance, void *context)
{
    SetEvent(event);
}

static void WINAPI_DEF nothing(INSTANCE instance, void *context, void *work)
{
}

static void the_finalization_callback_comes_last(void **state)
{
    ENVIRON environment = {.Version = 1, .FinalizationCallback = finalize, .Flags = 1};
    void *work = NULL;
    assert_status(TpAllocWork(&work, nothing, NULL, &environment), STATUS_SUCCESS);
    SubmitThreadpoolWork(work);
    assert_int_equal(WaitForSingleObject(event, FOREVER), WAIT_OBJECT_0);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    CloseThreadpoolWork(work);
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(work_runs_as_often_as_it_is_submitted),
        POOL_TEST(work_closed_early_still_runs),
        POOL_TEST(what_has_not_begun_can_be_cancelled),
        POOL_TEST(a_pool_keeps_to_its_maximum),
        POOL_TEST(workers_that_block_are_joined_by_others),
        POOL_TEST(simple_callbacks_run_once),
        POOL_TEST(a_timer_rings_when_its_time_has_come),
        POOL_TEST(a_periodic_timer_rings_until_it_is_stopped),
        POOL_TEST(a_wait_ends_once_by_signal_or_time),
        POOL_TEST(a_group_is_closed_at_once),
        POOL_TEST(nobody_waits_for_a_disassociated_callback),
        POOL_TEST(a_callback_that_ends_its_thread_counts_as_ended),
        POOL_TEST(a_process_lives_for_callbacks_but_not_for_workers),
        POOL_TEST(workers_end_when_there_is_nothing_to_do),
        POOL_TEST(the_finalization_callback_comes_last),
    };
    return cmocka_run_group_tests(tests, win32_test_setup, NULL);
}
