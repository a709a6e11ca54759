/*
 * Keyed events, and a port that is waited for alertably.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ke/ke.h"
#include "tests/unit/status.h"
#include "tests/unit/win32_fn.h"

NT(NtCreateKeyedEvent, nt_status, HANDLE *out, ULONG access, void *attributes, ULONG flags)
NT(NtWaitForKeyedEvent, nt_status, HANDLE event, void *key, BOOLEAN alertable,
   const int64_t *timeout)
NT(NtReleaseKeyedEvent, nt_status, HANDLE event, void *key, BOOLEAN alertable,
   const int64_t *timeout)
NT(NtDelayExecution, nt_status, BOOLEAN alertable, const int64_t *interval)
NT(NtRemoveIoCompletionEx, nt_status, HANDLE port, void *out, ULONG count, ULONG *removed,
   const int64_t *timeout, BOOLEAN alertable)
NT(NtCreateIoCompletion, nt_status, HANDLE *out, ULONG access, void *attributes, ULONG threads)
K32(QueueUserAPC, DWORD, const void *function, HANDLE thread, ULONG_PTR argument)
K32(CreateThread, HANDLE, void *attributes, SIZE_T stack, ke_thread_start start, void *parameter,
    DWORD flags, DWORD *id)
K32(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds)
K32(CloseHandle, BOOL, HANDLE handle)

enum { ALL_ACCESS = 0x1F0003, KEYED_ALL_ACCESS = 0xF0003, USER_APC = 0xC0 };
enum { INVALID_PARAMETER_1 = (int)0xC00000EF };

static HANDLE event;
static uint32_t passed;
static uint64_t keys[2];

static uint32_t WINAPI_DEF wait_for_key(void *key)
{
    nt_status status = NtWaitForKeyedEvent(event, key, 0, NULL);
    __atomic_add_fetch(&passed, 1, __ATOMIC_ACQ_REL);
    return status;
}

static void a_release_meets_one_wait_of_its_key(void **state)
{
    enum { WAITERS = 4 };
    HANDLE threads[WAITERS];
    int64_t soon = -10 * 10000;
    assert_status(NtCreateKeyedEvent(&event, KEYED_ALL_ACCESS, NULL, 0), STATUS_SUCCESS);
    passed = 0;
    for (int i = 0; i < WAITERS; i++)
        threads[i] = CreateThread(NULL, 0, wait_for_key, &keys[0], 0, NULL);
    assert_status(NtReleaseKeyedEvent(event, &keys[1], 0, &soon), STATUS_TIMEOUT);
    assert_status(NtReleaseKeyedEvent(NULL, &keys[0], 0, &soon), STATUS_TIMEOUT);
    assert_int_equal(passed, 0);
    for (int i = 0; i < WAITERS; i++)
        assert_status(NtReleaseKeyedEvent(event, &keys[0], 0, NULL), STATUS_SUCCESS);
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(WaitForSingleObject(threads[i], 10000), 0);
        CloseHandle(threads[i]);
    }
    assert_int_equal(passed, WAITERS);
    assert_status(NtReleaseKeyedEvent(event, &keys[0], 0, &soon), STATUS_TIMEOUT);
    assert_status(NtWaitForKeyedEvent(event, &keys[0], 0, &soon), STATUS_TIMEOUT);
    assert_int_equal(NtWaitForKeyedEvent(event, (char *)&keys[0] + 1, 0, &soon),
                     (nt_status)INVALID_PARAMETER_1);
    CloseHandle(event);
}

static void WINAPI_DEF called(ULONG_PTR argument)
{
    passed += (uint32_t)argument;
}

static void a_call_ends_alertable_waits(void **state)
{
    HANDLE port = NULL;
    uintptr_t entries[8];
    ULONG removed = 9;
    int64_t soon = -10 * 10000;
    assert_status(NtCreateIoCompletion(&port, ALL_ACCESS, NULL, 0), STATUS_SUCCESS);
    passed = 0;
    assert_true(QueueUserAPC(called, CURRENT_THREAD, 3));
    assert_status(NtRemoveIoCompletionEx(port, entries, 1, &removed, &soon, 0), STATUS_TIMEOUT);
    assert_int_equal(passed, 0);
    assert_int_equal(NtRemoveIoCompletionEx(port, entries, 1, &removed, NULL, 1), USER_APC);
    assert_int_equal(removed, 0);
    assert_int_equal(passed, 3);
    assert_true(QueueUserAPC(called, CURRENT_THREAD, 4));
    assert_status(NtDelayExecution(0, &soon), STATUS_SUCCESS);
    assert_int_equal(passed, 3);
    assert_int_equal(NtDelayExecution(1, &soon), USER_APC);
    assert_int_equal(passed, 7);
    CloseHandle(port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_meets_one_wait_of_its_key),
        cmocka_unit_test(a_call_ends_alertable_waits),
    };
    return cmocka_run_group_tests(tests, win32_test_setup, NULL);
}
