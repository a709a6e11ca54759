/*
 * Threads through the functions that images call: creation, suspension and termination with their
 * last errors, procedure calls and alertable waits, names and times, NTDLL's forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/exception.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

enum { WAIT_TIMEOUT = 258, WAIT_IO_COMPLETION = 0xC0, INFINITE = -1 };
enum { CREATE_SUSPENDED = 4, THREAD_QUERY = 0x800 };

typedef void(WINAPI *apc_function)(ULONG_PTR data);
typedef DWORD(WINAPI *thread_function)(void *parameter);
typedef struct {
    ULONG_PTR process, thread;
} CLIENT_ID;

K32(CreateThread, HANDLE, void *security, SIZE_T stack, thread_function start, void *parameter,
    DWORD flags, DWORD *id);
K32(OpenThread, HANDLE, DWORD access, BOOL inherit, DWORD id);
K32(SuspendThread, DWORD, HANDLE thread);
K32(ResumeThread, DWORD, HANDLE thread);
K32(TerminateThread, BOOL, HANDLE thread, DWORD code);
K32(ExitThread, void, DWORD code);
K32(GetExitCodeThread, BOOL, HANDLE thread, DWORD *code);
K32(GetThreadContext, BOOL, HANDLE thread, void *context);
K32(GetThreadId, DWORD, HANDLE thread);
K32(GetThreadTimes, BOOL, HANDLE thread, FILETIME *created, FILETIME *ended, FILETIME *kernel,
    FILETIME *user);
K32(SetThreadDescription, HRESULT, HANDLE thread, const WCHAR *text);
K32(GetThreadDescription, HRESULT, HANDLE thread, WCHAR **text);
K32(LocalFree, void *, void *memory);
K32(QueueUserAPC, DWORD, apc_function function, HANDLE thread, ULONG_PTR data);
K32(SleepEx, DWORD, DWORD milliseconds, BOOL alertable);
K32(WaitForSingleObject, DWORD, HANDLE object, DWORD milliseconds);
K32(WaitForSingleObjectEx, DWORD, HANDLE object, DWORD milliseconds, BOOL alertable);
K32(WaitForMultipleObjectsEx, DWORD, DWORD count, const HANDLE *objects, BOOL all,
    DWORD milliseconds, BOOL alertable);
K32(SignalObjectAndWait, DWORD, HANDLE signal, HANDLE object, DWORD milliseconds, BOOL alertable);
K32(CreateEventA, HANDLE, void *security, BOOL manual, BOOL initial, const char *name);
K32(SetEvent, BOOL, HANDLE event);
K32(CreateWaitableTimerW, HANDLE, void *security, BOOL manual, const WCHAR *name);
K32(SetWaitableTimer, BOOL, HANDLE timer, const int64_t *due, LONG period, void *routine,
    void *argument, BOOL resume);
K32(CancelWaitableTimer, BOOL, HANDLE timer);
K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security, DWORD how,
    DWORD flags, HANDLE template);
K32(WriteFileEx, BOOL, HANDLE file, const void *data, DWORD size, OVERLAPPED *at, void *routine);
K32(ReadFileEx, BOOL, HANDLE file, void *data, DWORD size, OVERLAPPED *at, void *routine);
K32(CloseHandle, BOOL, HANDLE handle);
NT(NtCreateThreadEx, nt_status, HANDLE *thread, ULONG access, void *attributes, HANDLE process,
   thread_function start, void *parameter, ULONG flags, SIZE_T zero, SIZE_T commit, SIZE_T reserve,
   void *list);
NT(RtlCreateUserThread, nt_status, HANDLE process, void *descriptor, BOOLEAN suspended, ULONG zero,
   SIZE_T reserve, SIZE_T commit, thread_function start, void *parameter, HANDLE *thread,
   CLIENT_ID *id);
NT(NtQueryInformationThread, nt_status, HANDLE thread, ULONG class, void *data, ULONG size,
   ULONG *returned);
NT(NtQueueApcThread, nt_status, HANDLE thread, void *function, void *a, void *b, void *c);
NT(NtTestAlert, nt_status, void);
NT(NtAlertThread, nt_status, HANDLE thread);
NT(NtDelayExecution, nt_status, BOOLEAN alertable, const int64_t *interval);
NT(NtOpenThread, nt_status, HANDLE *thread, ULONG access, void *attributes, const CLIENT_ID *id);

static char called[32];

static void note(char c)
{
    size_t length = strlen(called);
    if (length + 1 < sizeof(called)) {
        called[length + 1] = 0;
        called[length] = c;
    }
}

static void assert_called(const char *expected)
{
    assert_string_equal(called, expected);
    memset(called, 0, sizeof(called));
}

static void WINAPI_DEF apc(ULONG_PTR data)
{
    note((char)data);
}

static void WINAPI_DEF queue_another(ULONG_PTR data)
{
    note('q');
    QueueUserAPC(apc, CURRENT_THREAD, data);
}

static void calls_run_in_order_in_alertable_waits_only(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    assert_true(QueueUserAPC(apc, CURRENT_THREAD, 'a'));
    assert_true(QueueUserAPC(queue_another, CURRENT_THREAD, 'c'));
    assert_true(QueueUserAPC(apc, CURRENT_THREAD, 'b'));
    assert_int_equal(SleepEx(1, FALSE), 0);
    assert_int_equal(WaitForSingleObject(event, 1), WAIT_TIMEOUT);
    assert_called("");
    assert_int_equal(SleepEx(0, TRUE), WAIT_IO_COMPLETION);
    assert_called("aqbc");
    assert_int_equal(SleepEx(1, TRUE), 0);
    QueueUserAPC(apc, CURRENT_THREAD, 'd');
    assert_int_equal(WaitForSingleObjectEx(event, 0, TRUE), WAIT_IO_COMPLETION);
    assert_called("d");
    QueueUserAPC(apc, CURRENT_THREAD, 'e');
    assert_int_equal(WaitForMultipleObjectsEx(1, &event, TRUE, INFINITE, TRUE), WAIT_IO_COMPLETION);
    assert_called("e");
    QueueUserAPC(apc, CURRENT_THREAD, 'f');
    SetEvent(event); /* an object that is signaled comes first */
    assert_int_equal(WaitForSingleObjectEx(event, INFINITE, TRUE), 0);
    assert_called("");
    assert_int_equal(NtTestAlert(), STATUS_SUCCESS);
    assert_called("f");
    CloseHandle(event);
}

static void signaling_and_waiting_may_be_alertable(void **state)
{
    HANDLE set = CreateEventA(NULL, TRUE, FALSE, NULL),
           never = CreateEventA(NULL, TRUE, FALSE, NULL);
    QueueUserAPC(apc, CURRENT_THREAD, 's');
    assert_int_equal(SignalObjectAndWait(set, never, INFINITE, TRUE), WAIT_IO_COMPLETION);
    assert_int_equal(WaitForSingleObject(set, 0), 0);
    assert_called("s");
    CloseHandle(set);
    CloseHandle(never);
}

static DWORD WINAPI_DEF wait_alertably(void *parameter)
{
    note('w');
    return WaitForSingleObjectEx(parameter, 10000, TRUE);
}

static DWORD finish(HANDLE thread)
{
    DWORD code = 0;
    assert_int_equal(WaitForSingleObject(thread, 10000), 0);
    assert_true(GetExitCodeThread(thread, &code));
    CloseHandle(thread);
    return code;
}

static void a_waiting_thread_is_called(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, wait_alertably, event, 0, NULL);
    usleep(20000);
    assert_true(QueueUserAPC(apc, thread, 'x'));
    assert_int_equal(finish(thread), WAIT_IO_COMPLETION);
    assert_called("wx");
    CloseHandle(event);
}

static void a_call_comes_before_the_start(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, TRUE, NULL);
    HANDLE thread = CreateThread(NULL, 0, wait_alertably, event, CREATE_SUSPENDED, NULL);
    assert_true(QueueUserAPC(apc, thread, '1'));
    assert_true(QueueUserAPC(apc, thread, '2'));
    assert_int_equal(ResumeThread(thread), 1);
    assert_int_equal(finish(thread), 0);
    assert_called("12w");
    CloseHandle(event);
}

static void WINAPI_DEF exit_in_apc(ULONG_PTR data)
{
    ExitThread((DWORD)data);
}

static void a_call_may_exit_its_thread(void **state)
{
    HANDLE thread = CreateThread(NULL, 0, wait_alertably, NULL, CREATE_SUSPENDED, NULL);
    assert_true(QueueUserAPC(exit_in_apc, thread, 77));
    ResumeThread(thread);
    assert_int_equal(finish(thread), 77);
    assert_called("");
}

static void a_finished_thread_is_not_called(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, TRUE, NULL);
    HANDLE thread = CreateThread(NULL, 0, wait_alertably, event, 0, NULL);
    WaitForSingleObject(thread, 10000);
    assert_fails(QueueUserAPC(apc, thread, 'n'), ERROR_GEN_FAILURE);
    assert_fails(QueueUserAPC(apc, event, 'n'), ERROR_INVALID_HANDLE);
    assert_int_equal(finish(thread), 0);
    assert_called("w");
    CloseHandle(event);
}

static uintptr_t seen[3];

static void WINAPI_DEF three(void *a, void *b, void *c)
{
    seen[0] = (uintptr_t)a;
    seen[1] = (uintptr_t)b;
    seen[2] = (uintptr_t)c;
    note('3');
}

static void the_native_call_has_three_arguments(void **state)
{
    const int64_t zero = 0;
    assert_int_equal(
        NtQueueApcThread(CURRENT_THREAD, (void *)three, (void *)1, (void *)2, (void *)3),
        STATUS_SUCCESS);
    assert_int_equal(NtDelayExecution(TRUE, &zero), WAIT_IO_COMPLETION);
    assert_called("3");
    assert_int_equal(seen[0] | seen[1] << 4 | seen[2] << 8, 0x321);
}

static void an_alert_ends_a_native_wait(void **state)
{
    const int64_t long_time = -100000000;
    assert_int_equal(NtAlertThread(CURRENT_THREAD), STATUS_SUCCESS);
    assert_int_equal(NtDelayExecution(TRUE, &long_time), 0x101);
    assert_int_equal(NtTestAlert(), STATUS_SUCCESS);
    assert_int_equal(NtAlertThread(CURRENT_THREAD), STATUS_SUCCESS);
    assert_int_equal(SleepEx(1, TRUE), 0); /* Win32 does not show it */
    assert_int_equal(NtAlertThread(CURRENT_THREAD), STATUS_SUCCESS);
    assert_int_equal(NtTestAlert(), 0x101);
}

static void WINAPI_DEF timer_routine(void *argument, DWORD low, DWORD high)
{
    note(*(char *)argument);
    seen[0] = low;
    seen[1] = high;
}

static void a_timer_calls_its_routine(void **state)
{
    const int64_t soon = -50000, now = 0;
    HANDLE timer = CreateWaitableTimerW(NULL, FALSE, NULL);
    seen[0] = seen[1] = 0;
    assert_true(SetWaitableTimer(timer, &soon, 0, (void *)timer_routine, "t", FALSE));
    assert_int_equal(SleepEx(10000, TRUE), WAIT_IO_COMPLETION);
    assert_called("t");
    assert_true(seen[1] > 0x01D00000); /* a FILETIME of our days */
    assert_true(SetWaitableTimer(timer, &now, 1, (void *)timer_routine, "p", FALSE));
    for (int i = 0; i < 3; i++)
        assert_int_equal(SleepEx(10000, TRUE), WAIT_IO_COMPLETION);
    usleep(20000); /* expired again: what was not run is not queued twice */
    assert_true(CancelWaitableTimer(timer));
    assert_called("ppp");
    assert_int_equal(SleepEx(5, TRUE), 0); /* cancelled with the timer */
    assert_called("");
    assert_true(SetWaitableTimer(timer, &now, 0, (void *)timer_routine, "z", FALSE));
    usleep(20000);
    CloseHandle(timer);
    assert_int_equal(SleepEx(5, TRUE), 0);
    assert_called("");
}

static void WINAPI_DEF transfer_done(DWORD error, DWORD count, OVERLAPPED *overlapped)
{
    note('0' + (char)count);
    seen[0] = error;
    seen[1] = (uintptr_t)overlapped;
}

static void a_transfer_ends_in_a_call(void **state)
{
    char data[8] = "";
    OVERLAPPED overlapped = {.Offset = 1};
    char path[600];
    snprintf(path, sizeof(path), "Z:%s", tempdir_path("transfer"));
    HANDLE file = CreateFileA(path, 0xC0000000, 0, NULL, 2, 0x40000000, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(WriteFileEx(file, "abcd", 4, &overlapped, (void *)transfer_done));
    assert_called("");
    assert_int_equal(SleepEx(1000, TRUE), WAIT_IO_COMPLETION);
    assert_called("4");
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], (uintptr_t)&overlapped);
    overlapped.Offset = 2;
    assert_true(ReadFileEx(file, data, 8, &overlapped, (void *)transfer_done));
    assert_int_equal(SleepEx(1000, TRUE), WAIT_IO_COMPLETION);
    assert_called("3");
    assert_string_equal(data, "bcd");
    CloseHandle(file);
}

static void suspension_has_windowss_errors(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    DWORD id = 0;
    HANDLE thread = CreateThread(NULL, 0, wait_alertably, event, 0, &id);
    assert_int_equal(GetThreadId(thread), id);
    for (DWORD i = 0; i < 127; i++)
        assert_int_equal(SuspendThread(thread), i);
    assert_fails(SuspendThread(thread) != 0xFFFFFFFF, ERROR_SIGNAL_REFUSED);
    for (DWORD i = 127; i > 0; i--)
        assert_int_equal(ResumeThread(thread), i);
    HANDLE weak = OpenThread(THREAD_QUERY, FALSE, id);
    assert_fails(SuspendThread(weak) != 0xFFFFFFFF, ERROR_ACCESS_DENIED);
    assert_fails(TerminateThread(weak, 1), ERROR_ACCESS_DENIED);
    CloseHandle(weak);
    assert_fails(SuspendThread(NULL) != 0xFFFFFFFF, ERROR_INVALID_HANDLE);
    SetEvent(event);
    WaitForSingleObject(thread, 10000);
    assert_fails(SuspendThread(thread) != 0xFFFFFFFF, ERROR_ACCESS_DENIED);
    assert_int_equal(ResumeThread(thread), 0);
    finish(thread);
    CloseHandle(event);
    assert_called("w");
}

static void a_waiting_thread_is_terminated(void **state)
{
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, wait_alertably, event, 0, NULL);
    struct ke_context context = {.ContextFlags = KE_CONTEXT_FULL};
    usleep(10000);
    assert_true(GetThreadContext(thread, &context));
    assert_true(KE_CONTEXT_SP(&context) != 0);
    assert_true(TerminateThread(thread, 1234));
    assert_int_equal(finish(thread), 1234);
    CloseHandle(event);
    assert_called("w");
}

static void a_name_is_kept(void **state)
{
    static const WCHAR name[] = {'w', 'o', 'r', 'k', 'e', 'r', 0xE4, 0};
    WCHAR *text = NULL;
    char host[32] = "";
    assert_true(GetThreadDescription(CURRENT_THREAD, &text) >= 0);
    assert_int_equal(text[0], 0);
    LocalFree(text);
    assert_true(SetThreadDescription(CURRENT_THREAD, name) >= 0);
    assert_true(GetThreadDescription(CURRENT_THREAD, &text) >= 0);
    assert_wide_equal(text, name);
    LocalFree(text);
    pthread_getname_np(pthread_self(), host, sizeof(host));
    assert_string_equal(host, "worker\xC3\xA4");
    assert_int_equal(SetThreadDescription(NULL, name), (HRESULT)0x80070006);
}

static DWORD WINAPI_DEF burn(void *parameter)
{
    FILETIME created, ended, kernel, user;
    do
        GetThreadTimes(CURRENT_THREAD, &created, &ended, &kernel, &user);
    while (kernel.dwLowDateTime + user.dwLowDateTime < 300000); /* 30 ms */
    return 5;
}

static void times_are_counted_and_outlive_the_thread(void **state)
{
    FILETIME created, ended, kernel, user;
    HANDLE thread = CreateThread(NULL, 0, burn, NULL, 0, NULL);
    assert_int_equal(WaitForSingleObject(thread, 20000), 0);
    assert_true(GetThreadTimes(thread, &created, &ended, &kernel, &user));
    assert_true(kernel.dwLowDateTime + user.dwLowDateTime >= 300000);
    uint64_t from = (uint64_t)created.dwHighDateTime << 32 | created.dwLowDateTime;
    uint64_t to = (uint64_t)ended.dwHighDateTime << 32 | ended.dwLowDateTime;
    assert_true(to >
                from); /* the kernel counts processor time in ticks, more than was used at times */
    assert_int_equal(finish(thread), 5);
}

static void native_creation_tells_ids(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, TRUE, NULL), thread = NULL, again = NULL;
    CLIENT_ID id = {0, 0};
    struct {
        nt_status status;
        void *teb;
        CLIENT_ID id;
        ULONG_PTR affinity;
        LONG priority, base;
    } basic = {0};
    ULONG size = 0, suspended = 0;
    assert_int_equal(RtlCreateUserThread(CURRENT_PROCESS, NULL, TRUE, 0, 0, 0, wait_alertably,
                                         event, &thread, &id),
                     STATUS_SUCCESS);
    assert_int_equal(id.thread, GetThreadId(thread));
    assert_int_equal(NtQueryInformationThread(thread, 0, &basic, sizeof(basic), &size),
                     STATUS_SUCCESS);
    assert_int_equal(size, sizeof(basic));
    assert_int_equal(basic.status, KE_STILL_ACTIVE);
    assert_int_equal(basic.id.thread, id.thread);
    assert_non_null(basic.teb);
    assert_int_equal(NtQueryInformationThread(thread, 35, &suspended, 4, NULL), STATUS_SUCCESS);
    assert_int_equal(suspended, 1);
    assert_int_equal(NtQueryInformationThread(thread, 0, &basic, 8, NULL),
                     (nt_status)STATUS_INFO_LENGTH_MISMATCH);
    ResumeThread(thread);
    assert_int_equal(finish(thread), 0);
    assert_int_equal(NtCreateThreadEx(&thread, 0x1FFFFF, NULL, CURRENT_PROCESS, wait_alertably,
                                      event, 0, 0, 0, 0, NULL),
                     STATUS_SUCCESS);
    assert_int_equal(finish(thread), 0);
    assert_called("ww");
    id = (CLIENT_ID){0, ke_thread_id()};
    assert_int_equal(NtOpenThread(&again, 0x1FFFFF, NULL, &id), STATUS_SUCCESS);
    assert_int_equal(GetThreadId(again), ke_thread_id());
    CloseHandle(again);
    id.thread = 0x7FFFFFF0;
    assert_int_equal(NtOpenThread(&again, 0x1FFFFF, NULL, &id), (nt_status)STATUS_INVALID_CID);
    CloseHandle(event);
}

static int set_up(void **state)
{
    return tempdir_create() | win32_test_setup(state);
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_run_in_order_in_alertable_waits_only),
        cmocka_unit_test(signaling_and_waiting_may_be_alertable),
        cmocka_unit_test(a_waiting_thread_is_called),
        cmocka_unit_test(a_call_comes_before_the_start),
        cmocka_unit_test(a_call_may_exit_its_thread),
        cmocka_unit_test(a_finished_thread_is_not_called),
        cmocka_unit_test(the_native_call_has_three_arguments),
        cmocka_unit_test(an_alert_ends_a_native_wait),
        cmocka_unit_test(a_timer_calls_its_routine),
        cmocka_unit_test(a_transfer_ends_in_a_call),
        cmocka_unit_test(suspension_has_windowss_errors),
        cmocka_unit_test(a_waiting_thread_is_terminated),
        cmocka_unit_test(a_name_is_kept),
        cmocka_unit_test(times_are_counted_and_outlive_the_thread),
        cmocka_unit_test(native_creation_tells_ids),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
