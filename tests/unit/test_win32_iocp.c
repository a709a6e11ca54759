/*
 * Completion ports and the packets of waits through the functions that images call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ke/ke.h"
#include "loader/win32/file.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

typedef struct {
    ULONG_PTR key;
    OVERLAPPED *overlapped;
    ULONG_PTR internal;
    DWORD bytes;
} ENTRY;

K32(CreateIoCompletionPort, HANDLE, HANDLE file, HANDLE port, ULONG_PTR key, DWORD threads)
K32(PostQueuedCompletionStatus, BOOL, HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *o)
K32(GetQueuedCompletionStatus, BOOL, HANDLE port, DWORD *bytes, ULONG_PTR *key, OVERLAPPED **o,
    DWORD milliseconds)
K32(GetQueuedCompletionStatusEx, BOOL, HANDLE port, ENTRY *entries, ULONG count, ULONG *removed,
    DWORD milliseconds, BOOL alertable)
K32(SetFileCompletionNotificationModes, BOOL, HANDLE file, uint8_t flags)
K32(CreateThread, HANDLE, void *attributes, SIZE_T stack, ke_thread_start start, void *parameter,
    DWORD flags, DWORD *id)
K32(CreateEventW, HANDLE, void *attributes, BOOL manual, BOOL initial, const WCHAR *name)
K32(SetEvent, BOOL, HANDLE event)
K32(CreateWaitableTimerExW, HANDLE, void *attributes, const WCHAR *name, DWORD flags, DWORD access)
K32(SetWaitableTimer, BOOL, HANDLE timer, const int64_t *due, LONG period, void *routine,
    void *argument, BOOL resume)
K32(WaitForSingleObject, DWORD, HANDLE handle, DWORD milliseconds)
K32(CloseHandle, BOOL, HANDLE handle)
K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(WriteFile, BOOL, HANDLE file, const void *buffer, DWORD size, DWORD *done, OVERLAPPED *o)
K32(ReadFile, BOOL, HANDLE file, void *buffer, DWORD size, DWORD *done, OVERLAPPED *o)
NT(NtCreateIoCompletion, nt_status, HANDLE *out, ULONG access, void *attributes, ULONG threads)
NT(NtSetIoCompletion, nt_status, HANDLE port, ULONG_PTR key, void *context, int32_t status,
   ULONG_PTR information)
NT(NtRemoveIoCompletion, nt_status, HANDLE port, ULONG_PTR *key, void **context,
   IO_STATUS_BLOCK *io, const int64_t *timeout)
NT(NtCreateWaitCompletionPacket, nt_status, HANDLE *out, ULONG access, void *attributes)
NT(NtAssociateWaitCompletionPacket, nt_status, HANDLE packet, HANDLE port, HANDLE target, void *key,
   void *context, int32_t status, ULONG_PTR information, BOOLEAN *signaled)
NT(NtCancelWaitCompletionPacket, nt_status, HANDLE packet, BOOLEAN remove_queued)

enum { WAIT_OBJECT_0 = 0, WAIT_TIMEOUT = 258, FOREVER = 10000, ALL_ACCESS = 0x1F0003 };
enum { INVALID_PARAMETER_1 = (int)0xC00000EF };

static HANDLE port;

static int set_up(void **state)
{
    return win32_test_setup(state) || tempdir_create();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

static int begin(void **state)
{
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    return port ? 0 : -1;
}

static int end(void **state)
{
    return CloseHandle(port) ? 0 : -1;
}

/* The key of the next packet, 0 when there is none in time. */
static ULONG_PTR next_key(DWORD milliseconds)
{
    DWORD bytes;
    ULONG_PTR key = 0;
    OVERLAPPED *overlapped;
    return GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, milliseconds) ? key : 0;
}

static void packets_come_in_the_order_of_posting(void **state)
{
    DWORD bytes = 0;
    ULONG_PTR key = 0;
    ULONG removed = 9;
    OVERLAPPED one, *overlapped = NULL;
    ENTRY entries[8];
    assert_true(PostQueuedCompletionStatus(port, 11, 1, &one));
    for (ULONG_PTR i = 2; i <= 5; i++)
        assert_true(PostQueuedCompletionStatus(port, (DWORD)i * 11, i, NULL));
    assert_int_equal(WaitForSingleObject(port, 0), WAIT_OBJECT_0);
    assert_true(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
    assert_int_equal(bytes, 11);
    assert_int_equal(key, 1);
    assert_ptr_equal(overlapped, &one);
    assert_true(GetQueuedCompletionStatusEx(port, entries, 8, &removed, FOREVER, FALSE));
    assert_int_equal(removed, 4);
    for (ULONG i = 0; i < 4; i++)
        assert_int_equal(entries[i].bytes, entries[i].key * 11);
    assert_int_equal(entries[0].key, 2);
    assert_fails(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 5), WAIT_TIMEOUT);
    assert_null(overlapped);
    assert_fails(GetQueuedCompletionStatusEx(port, entries, 8, &removed, 0, FALSE), WAIT_TIMEOUT);
    assert_int_equal(WaitForSingleObject(port, 0), WAIT_TIMEOUT);
}

enum { THREADS = 4, PACKETS = 2000 };
static uint32_t sum;

static uint32_t WINAPI_DEF drain(void *parameter)
{
    ULONG_PTR key;
    while ((key = next_key(FOREVER)) != 0 && key != UINT32_MAX)
        __atomic_add_fetch(&sum, (uint32_t)key, __ATOMIC_ACQ_REL);
    return key == UINT32_MAX;
}

static void several_threads_share_a_port(void **state)
{
    HANDLE threads[THREADS];
    sum = 0;
    for (int i = 0; i < THREADS; i++)
        threads[i] = CreateThread(NULL, 0, drain, NULL, 0, NULL);
    for (uint32_t i = 1; i <= PACKETS; i++)
        assert_true(PostQueuedCompletionStatus(port, 0, i, NULL));
    for (int i = 0; i < THREADS; i++)
        assert_true(PostQueuedCompletionStatus(port, 0, UINT32_MAX, NULL));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(WaitForSingleObject(threads[i], FOREVER), WAIT_OBJECT_0);
        CloseHandle(threads[i]);
    }
    assert_int_equal(sum, PACKETS * (PACKETS + 1) / 2);
}

static void failures_are_reported(void **state)
{
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);
    DWORD bytes;
    ULONG_PTR key;
    OVERLAPPED one, *overlapped;
    assert_fails(CreateIoCompletionPort(INVALID_HANDLE_VALUE, port, 0, 0), ERROR_INVALID_PARAMETER);
    assert_fails(PostQueuedCompletionStatus(event, 0, 0, NULL), ERROR_INVALID_HANDLE);
    assert_status(NtSetIoCompletion(port, 1, &one, STATUS_END_OF_FILE, 0), STATUS_SUCCESS);
    assert_fails(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0), ERROR_HANDLE_EOF);
    assert_ptr_equal(overlapped, &one);
    CloseHandle(event);
}

static void transfers_of_an_associated_file_post_packets(void **state)
{
    char buffer[8];
    HANDLE file = CreateFileA(tempdir_path("file"), GENERIC_READ | GENERIC_WRITE, 0, NULL,
                              CREATE_ALWAYS, FILE_FLAG_OVERLAPPED, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_ptr_equal(CreateIoCompletionPort(file, port, 77, 0), port);
    assert_fails(CreateIoCompletionPort(file, port, 78, 0), ERROR_INVALID_PARAMETER);
    OVERLAPPED write = {0}, read = {0}, past = {.Offset = 100}, *overlapped;
    DWORD bytes;
    ULONG_PTR key;
    assert_true(WriteFile(file, "hello", 5, NULL, &write));
    assert_true(ReadFile(file, buffer, 8, NULL, &read));
    assert_fails(ReadFile(file, buffer, 8, NULL, &past), ERROR_HANDLE_EOF);
    assert_true(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
    assert_int_equal(key, 77);
    assert_ptr_equal(overlapped, &write);
    assert_true(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
    assert_ptr_equal(overlapped, &read);
    assert_int_equal(bytes, 5);
    assert_int_equal(next_key(0), 0); /* a failure that the call returns posts nothing */
    read.hEvent = (HANDLE)1;
    assert_true(ReadFile(file, buffer, 8, NULL, &read));
    assert_int_equal(next_key(0), 0);
    read.hEvent = NULL;
    assert_true(SetFileCompletionNotificationModes(file, 1));
    assert_true(ReadFile(file, buffer, 8, NULL, &read));
    assert_int_equal(next_key(0), 0);
    CloseHandle(file);
}

/* ---- packets of waits --------------------------------------------------------------------------
 */

static HANDLE new_packet(void)
{
    HANDLE packet = NULL;
    assert_status(NtCreateWaitCompletionPacket(&packet, 1, NULL), STATUS_SUCCESS);
    return packet;
}

static nt_status associate(HANDLE packet, HANDLE target, uintptr_t key, BOOLEAN *signaled)
{
    return NtAssociateWaitCompletionPacket(packet, port, target, (void *)key, NULL, 0, 0, signaled);
}

static void a_packet_comes_when_its_object_is_signaled(void **state)
{
    HANDLE packet = new_packet(), event = CreateEventW(NULL, FALSE, FALSE, NULL);
    BOOLEAN signaled = 9;
    assert_status(associate(packet, event, 5, &signaled), STATUS_SUCCESS);
    assert_false(signaled);
    assert_int_equal(associate(packet, event, 6, &signaled), (nt_status)INVALID_PARAMETER_1);
    assert_int_equal(next_key(10), 0);
    SetEvent(event);
    assert_int_equal(next_key(0), 5);
    assert_int_equal(WaitForSingleObject(event, 0), WAIT_TIMEOUT); /* it was taken */
    SetEvent(event);
    assert_int_equal(next_key(0), 0); /* once */
    assert_status(associate(packet, event, 7, &signaled), STATUS_SUCCESS);
    assert_true(signaled);
    assert_int_equal(next_key(0), 7);
    CloseHandle(packet);
    CloseHandle(event);
}

static void a_wait_can_be_cancelled(void **state)
{
    HANDLE packet = new_packet(), event = CreateEventW(NULL, FALSE, FALSE, NULL);
    BOOLEAN signaled;
    assert_int_equal(NtCancelWaitCompletionPacket(packet, 1), (nt_status)STATUS_CANCELLED);
    assert_status(associate(packet, event, 1, &signaled), STATUS_SUCCESS);
    assert_status(NtCancelWaitCompletionPacket(packet, 0), STATUS_SUCCESS);
    SetEvent(event);
    assert_int_equal(next_key(0), 0);
    assert_status(associate(packet, event, 2, &signaled), STATUS_SUCCESS);
    assert_int_equal(NtCancelWaitCompletionPacket(packet, 0), STATUS_PENDING);
    assert_status(NtCancelWaitCompletionPacket(packet, 1), STATUS_SUCCESS);
    assert_int_equal(next_key(0), 0);
    SetEvent(event);
    assert_status(associate(packet, event, 3, &signaled), STATUS_SUCCESS);
    CloseHandle(packet); /* queued, and gone with its last handle */
    assert_int_equal(next_key(0), 0);
    CloseHandle(event);
}

/* As Go's runtime sleeps: a high-resolution timer that wakes the poller. */
static void a_timer_wakes_who_waits_for_a_port(void **state)
{
    enum { HIGH_RESOLUTION = 2, TIMER_ACCESS = 0x100002 };
    HANDLE packet = new_packet();
    HANDLE timer = CreateWaitableTimerExW(NULL, NULL, HIGH_RESOLUTION, TIMER_ACCESS);
    assert_non_null(timer);
    for (uintptr_t i = 1; i <= 20; i++) {
        int64_t due = -5000; /* half a millisecond */
        BOOLEAN signaled;
        nt_status status = NtCancelWaitCompletionPacket(packet, 1);
        assert_true(status == STATUS_SUCCESS || status == (nt_status)STATUS_CANCELLED);
        assert_true(SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE));
        assert_status(associate(packet, timer, i, &signaled), STATUS_SUCCESS);
        assert_int_equal(next_key(FOREVER), i);
    }
    CloseHandle(packet);
    CloseHandle(timer);
}

static void ntdll_removes_packets_as_well(void **state)
{
    HANDLE own = NULL;
    ULONG_PTR key = 0;
    void *context = NULL;
    IO_STATUS_BLOCK io = {0};
    int64_t at_once = 0;
    assert_status(NtCreateIoCompletion(&own, ALL_ACCESS, NULL, 0), STATUS_SUCCESS);
    assert_status(NtRemoveIoCompletion(own, &key, &context, &io, &at_once), STATUS_TIMEOUT);
    assert_status(NtSetIoCompletion(own, 3, &io, STATUS_ACCESS_DENIED, 99), STATUS_SUCCESS);
    assert_status(NtRemoveIoCompletion(own, &key, &context, &io, NULL), STATUS_SUCCESS);
    assert_int_equal(key, 3);
    assert_ptr_equal(context, &io);
    assert_status((nt_status)io.u.Status, STATUS_ACCESS_DENIED);
    assert_int_equal(io.Information, 99);
    assert_status(NtSetIoCompletion(own, 4, NULL, 0, 0), STATUS_SUCCESS);
    CloseHandle(own); /* with a packet in it */
}

#define PORT_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PORT_TEST(packets_come_in_the_order_of_posting),
        PORT_TEST(several_threads_share_a_port),
        PORT_TEST(failures_are_reported),
        PORT_TEST(transfers_of_an_associated_file_post_packets),
        PORT_TEST(a_packet_comes_when_its_object_is_signaled),
        PORT_TEST(a_wait_can_be_cancelled),
        PORT_TEST(a_timer_wakes_who_waits_for_a_port),
        PORT_TEST(ntdll_removes_packets_as_well),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
