/*
 * Events, semaphores, mutexes, timers, threads and slots through the functions that images call,
 * with the last errors that Microsoft documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/tempdir.h"

enum { WAIT_OBJECT_0 = 0, WAIT_ABANDONED_0 = 0x80, WAIT_TIMEOUT = 258 };
#define WAIT_FAILED 0xFFFFFFFFu

FN(CreateEventA, HANDLE, void *attributes, BOOL manual, BOOL initial, const char *name);
FN(CreateEventExW, HANDLE, void *attributes, const WCHAR *name, DWORD flags, DWORD access);
FN(OpenEventA, HANDLE, DWORD access, BOOL inherit, const char *name);
FN(SetEvent, BOOL, HANDLE event);
FN(ResetEvent, BOOL, HANDLE event);
FN(CreateSemaphoreA, HANDLE, void *attributes, LONG initial, LONG maximum, const char *name);
FN(ReleaseSemaphore, BOOL, HANDLE semaphore, LONG count, LONG *previous);
FN(CreateMutexA, HANDLE, void *attributes, BOOL owner, const char *name);
FN(ReleaseMutex, BOOL, HANDLE mutex);
FN(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds);
FN(WaitForMultipleObjects, DWORD, DWORD count, const HANDLE *handles, BOOL all, DWORD milliseconds);
FN(SignalObjectAndWait, DWORD, HANDLE signal, HANDLE wait, DWORD milliseconds, BOOL alertable);
FN(Sleep, void, DWORD milliseconds);
FN(CreateWaitableTimerW, HANDLE, void *attributes, BOOL manual, const WCHAR *name);
FN(SetWaitableTimer, BOOL, HANDLE timer, const int64_t *due, LONG period, void *routine,
   void *argument, BOOL resume);
FN(CancelWaitableTimer, BOOL, HANDLE timer);
FN(CreateThread, HANDLE, void *attributes, SIZE_T stack, ke_thread_start start, void *parameter,
   DWORD flags, DWORD *id);
FN(ResumeThread, DWORD, HANDLE thread);
FN(SuspendThread, DWORD, HANDLE thread);
FN(GetExitCodeThread, BOOL, HANDLE thread, DWORD *code);
FN(GetThreadPriority, int, HANDLE thread);
FN(SetThreadPriority, BOOL, HANDLE thread, int priority);
FN(TlsAlloc, DWORD, void);
FN(TlsFree, BOOL, DWORD index);
FN(TlsGetValue, void *, DWORD index);
FN(TlsSetValue, BOOL, DWORD index, void *value);
FN(FlsGetValue, void *, DWORD index);
FN(CloseHandle, BOOL, HANDLE handle);

static int load_functions(void **state)
{
    LOAD_FN(kernel32_event, CreateEventA);
    LOAD_FN(kernel32_event, CreateEventExW);
    LOAD_FN(kernel32_event, OpenEventA);
    LOAD_FN(kernel32_event, SetEvent);
    LOAD_FN(kernel32_event, ResetEvent);
    LOAD_FN(kernel32_event, CreateSemaphoreA);
    LOAD_FN(kernel32_event, ReleaseSemaphore);
    LOAD_FN(kernel32_event, CreateMutexA);
    LOAD_FN(kernel32_event, ReleaseMutex);
    LOAD_FN(kernel32_wait, WaitForSingleObject);
    LOAD_FN(kernel32_wait, WaitForMultipleObjects);
    LOAD_FN(kernel32_wait, SignalObjectAndWait);
    LOAD_FN(kernel32_wait, Sleep);
    LOAD_FN(kernel32_timer, CreateWaitableTimerW);
    LOAD_FN(kernel32_timer, SetWaitableTimer);
    LOAD_FN(kernel32_timer, CancelWaitableTimer);
    LOAD_FN(kernel32_thread, CreateThread);
    LOAD_FN(kernel32_thread, ResumeThread);
    LOAD_FN(kernel32_thread, SuspendThread);
    LOAD_FN(kernel32_thread, GetExitCodeThread);
    LOAD_FN(kernel32_thread, GetThreadPriority);
    LOAD_FN(kernel32_thread, SetThreadPriority);
    LOAD_FN(kernel32_tls, TlsAlloc);
    LOAD_FN(kernel32_tls, TlsFree);
    LOAD_FN(kernel32_tls, TlsGetValue);
    LOAD_FN(kernel32_tls, TlsSetValue);
    LOAD_FN(kernel32_tls, FlsGetValue);
    LOAD_FN(kernel32_handle, CloseHandle);
    if (tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0)
        return -1;
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

static int remove_directory(void **state)
{
    return tempdir_remove();
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void events_reset_by_kind(void **state)
{
    HANDLE automatic = CreateEventA(NULL, FALSE, TRUE, NULL);
    HANDLE manual = CreateEventA(NULL, TRUE, TRUE, NULL);
    assert_int_equal(ke_last_error(), 0);
    assert_int_equal(WaitForSingleObject(automatic, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(automatic, 0), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(manual, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(manual, 0), WAIT_OBJECT_0);
    assert_true(ResetEvent(manual));
    assert_int_equal(WaitForSingleObject(manual, 10), WAIT_TIMEOUT);
    assert_int_equal(SignalObjectAndWait(automatic, automatic, 0, FALSE), WAIT_OBJECT_0);
    assert_true(CloseHandle(automatic));
    assert_true(CloseHandle(manual));
    assert_int_equal(WaitForSingleObject(manual, 0), WAIT_FAILED);
    assert_int_equal(ke_last_error(), ERROR_INVALID_HANDLE);
}

static void names_are_shared_until_the_last_handle_closes(void **state)
{
    HANDLE first = CreateEventA(NULL, TRUE, FALSE, "Local\\peldr-name");
    assert_int_equal(ke_last_error(), 0);
    HANDLE second = CreateEventA(NULL, FALSE, FALSE, "peldr-name");
    assert_int_equal(ke_last_error(), ERROR_ALREADY_EXISTS);
    assert_true(SetEvent(second));
    assert_int_equal(WaitForSingleObject(first, 0), WAIT_OBJECT_0);
    assert_null(CreateMutexA(NULL, FALSE, "peldr-name")); /* another type */
    assert_int_equal(ke_last_error(), ERROR_INVALID_HANDLE);
    assert_null(OpenEventA(0x1F0003, FALSE, "PELDR-name")); /* names have case */
    assert_int_equal(ke_last_error(), ERROR_FILE_NOT_FOUND);
    HANDLE third = OpenEventA(0x1F0003, FALSE, "peldr-name");
    assert_non_null(third);
    CloseHandle(first);
    CloseHandle(second);
    CloseHandle(third);
    assert_null(OpenEventA(0x1F0003, FALSE, "peldr-name"));
}

static void access_rights_are_checked(void **state)
{
    HANDLE only_wait = CreateEventExW(NULL, NULL, 0, 0x100000);
    assert_false(SetEvent(only_wait));
    assert_int_equal(ke_last_error(), ERROR_ACCESS_DENIED);
    CloseHandle(only_wait);
}

static void semaphores_count_to_their_maximum(void **state)
{
    LONG previous = -1;
    assert_null(CreateSemaphoreA(NULL, 3, 2, NULL));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    HANDLE semaphore = CreateSemaphoreA(NULL, 1, 2, NULL);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(semaphore, 0), WAIT_TIMEOUT);
    assert_true(ReleaseSemaphore(semaphore, 2, &previous));
    assert_int_equal(previous, 0);
    assert_false(ReleaseSemaphore(semaphore, 1, NULL));
    assert_int_equal(ke_last_error(), 298); /* ERROR_TOO_MANY_POSTS */
    CloseHandle(semaphore);
}

static uint32_t WINAPI_DEF take_and_end(void *mutex)
{
    return WaitForSingleObject(mutex, 0xFFFFFFFF);
}

static void mutexes_have_owners(void **state)
{
    DWORD code = 99;
    HANDLE mutex = CreateMutexA(NULL, FALSE, NULL);
    assert_false(ReleaseMutex(mutex));
    assert_int_equal(ke_last_error(), ERROR_NOT_OWNER);
    HANDLE thread = CreateThread(NULL, 0, take_and_end, mutex, 0, NULL);
    assert_int_equal(WaitForSingleObject(thread, 0xFFFFFFFF), WAIT_OBJECT_0);
    assert_true(GetExitCodeThread(thread, &code));
    assert_int_equal(code, WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(mutex, 0), WAIT_ABANDONED_0);
    assert_true(ReleaseMutex(mutex));
    CloseHandle(mutex);
    CloseHandle(thread);
}

static uint32_t WINAPI_DEF set_after_a_while(void *event)
{
    Sleep(30);
    SetEvent(event);
    return 0;
}

static void waits_for_all_and_any(void **state)
{
    HANDLE handles[2] = {CreateEventA(NULL, TRUE, FALSE, NULL),
                         CreateEventA(NULL, TRUE, TRUE, NULL)};
    assert_int_equal(WaitForMultipleObjects(2, handles, FALSE, 0), WAIT_OBJECT_0 + 1);
    assert_int_equal(WaitForMultipleObjects(2, handles, TRUE, 0), WAIT_TIMEOUT);
    HANDLE thread = CreateThread(NULL, 0, set_after_a_while, handles[0], 0, NULL);
    assert_int_equal(WaitForMultipleObjects(2, handles, TRUE, 0xFFFFFFFF), WAIT_OBJECT_0);
    assert_int_equal(WaitForMultipleObjects(65, handles, TRUE, 0), WAIT_FAILED);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    WaitForSingleObject(thread, 0xFFFFFFFF);
    CloseHandle(thread);
    CloseHandle(handles[0]);
    CloseHandle(handles[1]);
}

static void timers_become_signaled_when_due(void **state)
{
    const int64_t soon = -500000, later = -100000000; /* 50 ms, 10 s */
    HANDLE timer = CreateWaitableTimerW(NULL, FALSE, NULL);
    int64_t start = milliseconds();
    assert_int_equal(WaitForSingleObject(timer, 0), WAIT_TIMEOUT);
    assert_true(SetWaitableTimer(timer, &soon, 0, NULL, NULL, FALSE));
    assert_int_equal(WaitForSingleObject(timer, 20000), WAIT_OBJECT_0);
    assert_in_range(milliseconds() - start, 45, 19000);
    assert_int_equal(WaitForSingleObject(timer, 0), WAIT_TIMEOUT); /* consumed */
    assert_true(SetWaitableTimer(timer, &soon, 20, NULL, NULL, FALSE));
    for (int i = 0; i < 3; i++)
        assert_int_equal(WaitForSingleObject(timer, 20000), WAIT_OBJECT_0);
    assert_true(SetWaitableTimer(timer, &later, 0, NULL, NULL, FALSE));
    assert_int_equal(WaitForSingleObject(timer, 60), WAIT_TIMEOUT);
    assert_true(CancelWaitableTimer(timer));
    CloseHandle(timer);
}

static uint32_t WINAPI_DEF return_parameter(void *parameter)
{
    return (uint32_t)(uintptr_t)parameter;
}

static void threads_start_suspended_and_give_codes(void **state)
{
    DWORD code = 0, id = 0;
    HANDLE thread = CreateThread(NULL, 0x10000, return_parameter, (void *)55, 4, &id);
    assert_non_null(thread);
    assert_true(GetExitCodeThread(thread, &code));
    assert_int_equal(code, 259);
    assert_int_equal(ResumeThread(thread), 1);
    assert_int_equal(WaitForSingleObject(thread, 0xFFFFFFFF), WAIT_OBJECT_0);
    assert_true(GetExitCodeThread(thread, &code));
    assert_int_equal(code, 55);
    assert_true(SetThreadPriority(thread, 2));
    assert_int_equal(GetThreadPriority(thread), 2);
    assert_false(SetThreadPriority(thread, 7));
    assert_int_equal(GetThreadPriority((HANDLE)(intptr_t)-2), 0);
    CloseHandle(thread);
    assert_int_equal(SuspendThread(thread), 0xFFFFFFFF);
    assert_int_equal(ke_last_error(), ERROR_INVALID_HANDLE);
}

static void slot_functions_set_the_documented_errors(void **state)
{
    DWORD index = TlsAlloc();
    ke_set_last_error(77);
    assert_null(TlsGetValue(index));
    assert_int_equal(ke_last_error(), 0); /* NULL is a value */
    assert_true(TlsSetValue(index, &index));
    assert_ptr_equal(TlsGetValue(index), &index);
    assert_true(TlsFree(index));
    assert_false(TlsFree(index));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_false(TlsSetValue(1088, &index));
    assert_null(TlsGetValue(1088));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    ke_set_last_error(0);
    assert_null(FlsGetValue(4000));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_reset_by_kind),
        cmocka_unit_test(names_are_shared_until_the_last_handle_closes),
        cmocka_unit_test(access_rights_are_checked),
        cmocka_unit_test(semaphores_count_to_their_maximum),
        cmocka_unit_test(mutexes_have_owners),
        cmocka_unit_test(waits_for_all_and_any),
        cmocka_unit_test(timers_become_signaled_when_due),
        cmocka_unit_test(threads_start_suspended_and_give_codes),
        cmocka_unit_test(slot_functions_set_the_documented_errors),
    };
    return cmocka_run_group_tests(tests, load_functions, remove_directory);
}
