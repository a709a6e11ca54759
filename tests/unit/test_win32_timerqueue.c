/*
 * Timer queues and registered waits through the functions that images call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ke/ke.h"
#include "tests/unit/status.h"
#include "tests/unit/win32_fn.h"

K32(CreateTimerQueue, HANDLE, void)
K32(DeleteTimerQueueEx, BOOL, HANDLE queue, HANDLE completion)
K32(CreateTimerQueueTimer, BOOL, HANDLE *out, HANDLE queue, const void *callback, void *context,
    DWORD due, DWORD period, ULONG flags)
K32(ChangeTimerQueueTimer, BOOL, HANDLE queue, HANDLE timer, DWORD due, DWORD period)
K32(DeleteTimerQueueTimer, BOOL, HANDLE queue, HANDLE timer, HANDLE completion)
K32(RegisterWaitForSingleObject, BOOL, HANDLE *out, HANDLE object, const void *callback,
    void *context, ULONG milliseconds, ULONG flags)
K32(UnregisterWait, BOOL, HANDLE wait)
K32(UnregisterWaitEx, BOOL, HANDLE wait, HANDLE completion)
K32(CreateEventW, HANDLE, void *attributes, BOOL manual, BOOL initial, const WCHAR *name)
K32(SetEvent, BOOL, HANDLE event)
K32(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds)
K32(CloseHandle, BOOL, HANDLE handle)
K32(Sleep, void, DWORD milliseconds)
NT(RtlCreateTimer, nt_status, HANDLE queue, HANDLE *out, const void *callback, void *context,
   DWORD due, DWORD period, ULONG flags)
NT(RtlDeleteTimer, nt_status, HANDLE queue, HANDLE timer, HANDLE completion)

enum { WAIT_OBJECT_0 = 0, WAIT_TIMEOUT = 258, FOREVER = 10000 };
enum { ONCE = 8, IN_TIMER_THREAD = 0x20 };
#define NEVER 0xFFFFFFFFu

static uint32_t count, timeouts, at_once;
static bool overlapped;

static int begin(void **state)
{
    count = timeouts = at_once = 0;
    overlapped = false;
    return 0;
}

static uint32_t counted(void)
{
    return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

static void await(uint32_t wanted)
{
    for (int i = 0; i < 5000 && counted() < wanted; i++)
        Sleep(1);
    assert_in_range(counted(), wanted, UINT32_MAX);
}

static void WINAPI_DEF tick(void *context, BOOLEAN timed_out)
{
    if (__atomic_add_fetch(&at_once, 1, __ATOMIC_ACQ_REL) > 1)
        overlapped = true;
    if (context)
        Sleep((DWORD)(uintptr_t)context);
    __atomic_sub_fetch(&at_once, 1, __ATOMIC_ACQ_REL);
    if (timed_out)
        __atomic_add_fetch(&timeouts, 1, __ATOMIC_ACQ_REL);
    __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
}

static void timers_of_a_queue_tick_until_it_is_deleted(void **state)
{
    HANDLE queue = CreateTimerQueue(), once = NULL, often = NULL;
    assert_non_null(queue);
    assert_true(CreateTimerQueueTimer(&once, queue, tick, NULL, 5, 0, 0));
    await(1);
    assert_int_equal(timeouts, 1);
    assert_true(CreateTimerQueueTimer(&often, queue, tick, NULL, 0, 5, 0));
    await(5);
    assert_true(DeleteTimerQueueEx(queue, INVALID_HANDLE_VALUE));
    uint32_t ticks = counted();
    Sleep(30);
    assert_int_equal(counted(), ticks);
}

static void a_shot_that_was_fired_cannot_be_changed(void **state)
{
    HANDLE timer = NULL;
    assert_true(CreateTimerQueueTimer(&timer, NULL, tick, NULL, NEVER, 0, 0));
    Sleep(10);
    assert_int_equal(counted(), 0);
    assert_true(ChangeTimerQueueTimer(NULL, timer, 1, 0));
    await(1);
    assert_true(ChangeTimerQueueTimer(NULL, timer, 1, 0));
    Sleep(30);
    assert_int_equal(counted(), 1);
    assert_true(DeleteTimerQueueTimer(NULL, timer, INVALID_HANDLE_VALUE));
    assert_fails(DeleteTimerQueueTimer(NULL, NULL, NULL), ERROR_INVALID_PARAMETER);
}

static void deleting_says_whether_a_callback_still_runs(void **state)
{
    HANDLE timer = NULL, event = CreateEventW(NULL, FALSE, FALSE, NULL);
    assert_true(CreateTimerQueueTimer(&timer, NULL, tick, (void *)60, 0, 0, ONCE));
    while (!__atomic_load_n(&at_once, __ATOMIC_ACQUIRE))
        Sleep(1);
    assert_fails(DeleteTimerQueueTimer(NULL, timer, event), ERROR_IO_PENDING);
    assert_int_equal(counted(), 0);
    assert_int_equal(WaitForSingleObject(event, FOREVER), WAIT_OBJECT_0);
    assert_int_equal(counted(), 1);
    assert_true(CreateTimerQueueTimer(&timer, NULL, tick, NULL, NEVER, 0, 0));
    assert_true(DeleteTimerQueueTimer(NULL, timer, event));
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    CloseHandle(event);
}

static void the_timer_thread_is_one(void **state)
{
    HANDLE timers[4];
    for (int i = 0; i < 4; i++)
        assert_true(
            CreateTimerQueueTimer(&timers[i], NULL, tick, (void *)5, 0, 3, IN_TIMER_THREAD));
    await(12);
    for (int i = 0; i < 4; i++)
        assert_true(DeleteTimerQueueTimer(NULL, timers[i], INVALID_HANDLE_VALUE));
    assert_false(overlapped);
}

static HANDLE own_timer;

static void WINAPI_DEF delete_myself(void *context, BOOLEAN timed_out)
{
    BOOL gone = DeleteTimerQueueTimer(NULL, own_timer, NULL);
    if (!gone && ke_last_error() == ERROR_IO_PENDING)
        __atomic_add_fetch(&count, 1, __ATOMIC_ACQ_REL);
}

static void a_callback_may_delete_its_timer(void **state)
{
    assert_true(CreateTimerQueueTimer(&own_timer, NULL, delete_myself, NULL, 0, 1, 0));
    await(1);
    Sleep(20);
    assert_int_equal(counted(), 1);
}

static void a_registered_wait_goes_on(void **state)
{
    HANDLE wait = NULL, event = CreateEventW(NULL, FALSE, FALSE, NULL);
    assert_true(RegisterWaitForSingleObject(&wait, event, tick, NULL, NEVER, 0));
    for (uint32_t i = 1; i <= 5; i++) {
        SetEvent(event);
        await(i);
    }
    assert_int_equal(timeouts, 0);
    assert_true(UnregisterWaitEx(wait, INVALID_HANDLE_VALUE));
    SetEvent(event);
    Sleep(20);
    assert_int_equal(counted(), 5);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_OBJECT_0);
    assert_true(RegisterWaitForSingleObject(&wait, event, tick, NULL, 5, 0));
    await(8);
    assert_int_equal(timeouts, 3);
    assert_true(UnregisterWaitEx(wait, INVALID_HANDLE_VALUE));
    CloseHandle(event);
}

static void a_wait_for_once_ends(void **state)
{
    HANDLE wait = NULL, event = CreateEventW(NULL, FALSE, TRUE, NULL);
    assert_true(RegisterWaitForSingleObject(&wait, event, tick, NULL, NEVER, ONCE));
    await(1);
    SetEvent(event);
    Sleep(20);
    assert_int_equal(counted(), 1);
    assert_true(UnregisterWait(wait));
    assert_fails(UnregisterWait(NULL), ERROR_INVALID_HANDLE);
    assert_fails(RegisterWaitForSingleObject(&wait, (HANDLE)0xDEAD0, tick, NULL, NEVER, 0),
                 ERROR_INVALID_HANDLE);
    CloseHandle(event);
}

static void ntdll_reports_by_status(void **state)
{
    HANDLE timer = NULL;
    assert_status(RtlCreateTimer(NULL, &timer, tick, (void *)60, 0, 0, 0), STATUS_SUCCESS);
    while (!__atomic_load_n(&at_once, __ATOMIC_ACQUIRE))
        Sleep(1);
    assert_int_equal(RtlDeleteTimer(NULL, timer, NULL), STATUS_PENDING);
    await(1);
}

#define QUEUE_TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(timers_of_a_queue_tick_until_it_is_deleted),
        QUEUE_TEST(a_shot_that_was_fired_cannot_be_changed),
        QUEUE_TEST(deleting_says_whether_a_callback_still_runs),
        QUEUE_TEST(the_timer_thread_is_one),
        QUEUE_TEST(a_callback_may_delete_its_timer),
        QUEUE_TEST(a_registered_wait_goes_on),
        QUEUE_TEST(a_wait_for_once_ends),
        QUEUE_TEST(ntdll_reports_by_status),
    };
    return cmocka_run_group_tests(tests, win32_test_setup, NULL);
}
