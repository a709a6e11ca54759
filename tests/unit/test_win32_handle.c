/*
 * Handles through the functions that images call: duplicates within the process and into others,
 * flags, comparison, queries, and every bad handle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "loader/ob/process.h"
#include "tests/unit/blob.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(CloseHandle, BOOL, HANDLE handle)
K32(DuplicateHandle, BOOL, HANDLE from, HANDLE handle, HANDLE to, HANDLE *out, DWORD access,
    BOOL inherit, DWORD options)
K32(GetHandleInformation, BOOL, HANDLE handle, DWORD *flags)
K32(SetHandleInformation, BOOL, HANDLE handle, DWORD mask, DWORD flags)
K32(CreateEventW, HANDLE, void *attributes, BOOL manual, BOOL initial, const WCHAR *name)
K32(CompareObjectHandles, BOOL, HANDLE first, HANDLE second)
K32(GetCurrentThreadId, DWORD, void)
K32(GetThreadId, DWORD, HANDLE thread)
NT(NtClose, nt_status, HANDLE handle)
NT(NtDuplicateObject, nt_status, HANDLE from, HANDLE handle, HANDLE to, HANDLE *out, ULONG access,
   ULONG attributes, ULONG options)
NT(NtCompareObjects, nt_status, HANDLE first, HANDLE second)
NT(NtQueryObject, nt_status, HANDLE handle, ULONG class, void *out, ULONG size, ULONG *returned)
NT(NtSetInformationObject, nt_status, HANDLE handle, ULONG class, const void *in, ULONG size)

enum { CLOSE_SOURCE = 1, SAME_ACCESS = 2, PROCESS_DUP_HANDLE = 0x40, INHERIT = 1, PROTECT = 2 };

static HANDLE make_event(void)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    assert_non_null(event);
    return event;
}

static uint32_t access_of(HANDLE handle)
{
    struct ob_object *object;
    uint32_t access = 0;
    assert_status(ob_handle_get(win32_ob_handle(handle), NULL, &object, &access), STATUS_SUCCESS);
    ob_object_unref(object);
    return access;
}

static void test_duplicate(void **state)
{
    HANDLE event = make_event(), copy = NULL;
    DWORD flags = 99;
    assert_true(
        DuplicateHandle(CURRENT_PROCESS, event, CURRENT_PROCESS, &copy, 0, TRUE, SAME_ACCESS));
    assert_int_equal(access_of(copy), access_of(event));
    assert_true(GetHandleInformation(copy, &flags));
    assert_int_equal(flags, INHERIT);
    assert_true(CompareObjectHandles(event, copy));
    assert_true(CloseHandle(copy));
    assert_true(DuplicateHandle(CURRENT_PROCESS, event, CURRENT_PROCESS, &copy, 0x100000, FALSE,
                                CLOSE_SOURCE));
    assert_int_equal(access_of(copy), 0x100000);
    assert_true(CloseHandle(copy));
    assert_fails(CloseHandle(event == copy ? copy : event), ERROR_INVALID_HANDLE);
    /* only closing: no target process */
    event = make_event();
    assert_true(DuplicateHandle(CURRENT_PROCESS, event, NULL, NULL, 0, FALSE, CLOSE_SOURCE));
    assert_fails(CloseHandle(event), ERROR_INVALID_HANDLE);
    /* a target process that is none: an error, and the source is closed */
    event = make_event();
    assert_fails(
        DuplicateHandle(CURRENT_PROCESS, event, (HANDLE)0x7770, &copy, 0, FALSE, CLOSE_SOURCE),
        ERROR_INVALID_HANDLE);
    assert_fails(CloseHandle(event), ERROR_INVALID_HANDLE);
}

static void test_pseudo(void **state)
{
    HANDLE process = NULL, thread = NULL;
    assert_true(DuplicateHandle(CURRENT_PROCESS, CURRENT_PROCESS, CURRENT_PROCESS, &process, 0,
                                FALSE, SAME_ACCESS));
    assert_int_equal(access_of(process), 0x1FFFFF);
    assert_true(CompareObjectHandles(process, CURRENT_PROCESS));
    assert_true(DuplicateHandle(process, CURRENT_THREAD, process, &thread, 0, FALSE, SAME_ACCESS));
    assert_int_equal(GetThreadId(thread), GetCurrentThreadId());
    assert_true(CloseHandle(thread));
    assert_true(CloseHandle(process));
    assert_true(CloseHandle(CURRENT_PROCESS)); /* nothing happens */
    assert_true(CloseHandle(CURRENT_THREAD));
}

static void test_flags(void **state)
{
    HANDLE event = make_event(), copy = NULL;
    DWORD flags = 99;
    struct {
        BOOLEAN inherit, protect;
    } info = {9, 9};
    assert_true(GetHandleInformation(event, &flags));
    assert_int_equal(flags, 0);
    assert_true(SetHandleInformation(event, INHERIT | PROTECT, PROTECT));
    assert_fails(CloseHandle(event), ERROR_INVALID_HANDLE);
    assert_status(NtClose(event), STATUS_HANDLE_NOT_CLOSABLE);
    /* a protected source stays open, the copy is made */
    assert_true(DuplicateHandle(CURRENT_PROCESS, event, CURRENT_PROCESS, &copy, 0, FALSE,
                                SAME_ACCESS | CLOSE_SOURCE));
    assert_true(GetHandleInformation(event, &flags));
    assert_int_equal(flags, PROTECT);
    assert_true(CloseHandle(copy));
    assert_status(NtQueryObject(event, 4, &info, sizeof info, NULL), STATUS_SUCCESS);
    assert_int_equal(info.inherit, 0);
    assert_int_equal(info.protect, 1);
    info.inherit = 1;
    info.protect = 0;
    assert_status(NtSetInformationObject(event, 4, &info, sizeof info), STATUS_SUCCESS);
    assert_true(GetHandleInformation(event, &flags));
    assert_int_equal(flags, INHERIT);
    assert_fails(SetHandleInformation(event, 4, 4), ERROR_INVALID_PARAMETER);
    /* attributes of the copy: given, or the source's */
    assert_status(NtDuplicateObject(CURRENT_PROCESS, event, CURRENT_PROCESS, &copy, 0, 1, 2),
                  STATUS_SUCCESS);
    assert_true(GetHandleInformation(copy, &flags));
    assert_int_equal(flags, PROTECT);
    assert_true(SetHandleInformation(copy, PROTECT, 0));
    assert_true(CloseHandle(copy));
    assert_status(NtDuplicateObject(CURRENT_PROCESS, event, CURRENT_PROCESS, &copy, 0, 0, 6),
                  STATUS_SUCCESS);
    assert_true(GetHandleInformation(copy, &flags));
    assert_int_equal(flags, INHERIT);
    assert_true(CloseHandle(copy));
    assert_true(CloseHandle(event));
}

static void test_query(void **state)
{
    HANDLE event = make_event(), copy = NULL;
    ULONG basic[14], needed = 0;
    struct {
        UNICODE_STRING name;
        ULONG reserved[22];
        WCHAR text[16];
    } type;
    assert_true(DuplicateHandle(CURRENT_PROCESS, event, CURRENT_PROCESS, &copy, 0x2, TRUE, 0));
    assert_status(NtQueryObject(copy, 0, basic, sizeof basic, &needed), STATUS_SUCCESS);
    assert_int_equal(needed, 56);
    assert_int_equal(basic[0], 2); /* OBJ_INHERIT */
    assert_int_equal(basic[1], 0x2);
    assert_int_equal(basic[2], 2); /* handles */
    assert_int_equal(NtQueryObject(copy, 0, basic, 55, NULL), (nt_status)0xC0000004);
    assert_status(NtQueryObject(copy, 2, &type, sizeof type, &needed), STATUS_SUCCESS);
    assert_int_equal(type.name.Length, 10);
    assert_memory_equal(type.name.Buffer, u"Event", 12);
    assert_int_equal(NtQueryObject(copy, 2, &type, 50, &needed), (nt_status)0xC0000004);
    assert_true(needed > 50);
    assert_int_equal(NtQueryObject(copy, 99, &type, sizeof type, NULL), (nt_status)0xC0000003);
    assert_status(NtQueryObject(NULL, 0, basic, sizeof basic, NULL), STATUS_INVALID_HANDLE);
    HANDLE other = make_event();
    assert_status(NtCompareObjects(event, copy), STATUS_SUCCESS);
    assert_int_equal(NtCompareObjects(event, other), (nt_status)0xC00001AC);
    assert_fails(CompareObjectHandles(event, other), 1656); /* ERROR_NOT_SAME_OBJECT */
    assert_true(CloseHandle(other));
    assert_true(CloseHandle(copy));
    assert_true(CloseHandle(event));
}

/* Every function with every kind of bad handle. */
static void test_bad_handles(void **state)
{
    HANDLE closed = make_event(), event = make_event(), out = (HANDLE)0x55;
    DWORD flags;
    assert_true(CloseHandle(closed));
    const HANDLE bad[] = {
        NULL,
        (HANDLE)1,
        (HANDLE)3,
        closed,
        (HANDLE)0x7FFFFFFC,
        (HANDLE)(intptr_t)-3,
        (HANDLE)(intptr_t)(int32_t)0x80000000,
        (HANDLE)&flags,
#ifdef __x86_64__
        (HANDLE)((uintptr_t)event | (uintptr_t)1 << 32), /* a pointer, by its low half a handle */
        (HANDLE)(uintptr_t)0xFFFFFFFF,
#endif
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        HANDLE handle = bad[i];
        assert_fails(CloseHandle(handle), ERROR_INVALID_HANDLE);
        assert_fails(GetHandleInformation(handle, &flags), ERROR_INVALID_HANDLE);
        assert_fails(SetHandleInformation(handle, 1, 1), ERROR_INVALID_HANDLE);
        assert_fails(
            DuplicateHandle(CURRENT_PROCESS, handle, CURRENT_PROCESS, &out, 0, FALSE, SAME_ACCESS),
            ERROR_INVALID_HANDLE);
        assert_fails(DuplicateHandle(handle, event, CURRENT_PROCESS, &out, 0, FALSE, SAME_ACCESS),
                     ERROR_INVALID_HANDLE);
        if (handle)
            assert_fails(
                DuplicateHandle(CURRENT_PROCESS, event, handle, &out, 0, FALSE, SAME_ACCESS),
                ERROR_INVALID_HANDLE);
        assert_fails(CompareObjectHandles(event, handle), ERROR_INVALID_HANDLE);
        assert_ptr_equal(out, (HANDLE)0x55);
    }
    /* a handle, but of no process */
    assert_fails(DuplicateHandle(event, event, CURRENT_PROCESS, &out, 0, FALSE, SAME_ACCESS),
                 ERROR_INVALID_HANDLE);
    assert_fails(DuplicateHandle(CURRENT_PROCESS, event, NULL, &out, 0, FALSE, SAME_ACCESS),
                 ERROR_INVALID_PARAMETER);
    assert_true(CloseHandle(event));
}

/* ---- another process ----------------------------------------------------------------------------
 */

static HANDLE process_handle(struct peer *peer, uint32_t access)
{
    struct ob_object *process = NULL;
    assert_status(ob_process_open((uint32_t)peer->pid, &process, NULL), STATUS_SUCCESS);
    uint32_t handle = ob_handle_create(process, access, 0);
    ob_object_unref(process);
    return win32_handle(handle);
}

static void test_other_process(void **state)
{
    struct peer peer = peer_start();
    HANDLE process = process_handle(&peer, PROCESS_DUP_HANDLE), mine = NULL, theirs = NULL;
    HANDLE limited = process_handle(&peer, 0x1000);
    uint32_t value, blob = peer_ask(&peer, "blob 77");
    /* theirs to us and back */
    assert_true(DuplicateHandle(process, win32_handle(blob), CURRENT_PROCESS, &mine, 0, TRUE,
                                SAME_ACCESS | CLOSE_SOURCE));
    assert_int_equal(access_of(mine), 0x5A);
    assert_int_equal(peer_ask(&peer, "handle %u", blob), 0xFFFFFFFF);
    assert_true(DuplicateHandle(CURRENT_PROCESS, mine, process, &theirs, 0x3, FALSE, CLOSE_SOURCE));
    assert_status(peer_ask2(&peer, &value, "value %u", win32_ob_handle(theirs)), STATUS_SUCCESS);
    assert_int_equal(value, 77);
    assert_fails(CloseHandle(mine), ERROR_INVALID_HANDLE);
    /* this process, for them */
    assert_true(
        DuplicateHandle(CURRENT_PROCESS, CURRENT_PROCESS, process, &theirs, 0, FALSE, SAME_ACCESS));
    assert_status(peer_ask2(&peer, &value, "process %u", win32_ob_handle(theirs)), STATUS_SUCCESS);
    assert_int_equal(value, getpid());
    /* the right is needed on both sides */
    assert_fails(
        DuplicateHandle(CURRENT_PROCESS, CURRENT_PROCESS, limited, &theirs, 0, FALSE, SAME_ACCESS),
        ERROR_ACCESS_DENIED);
    assert_fails(DuplicateHandle(limited, win32_handle(4), CURRENT_PROCESS, &mine, 0, FALSE, 0),
                 ERROR_ACCESS_DENIED);
    /* their thread pseudo handle means nothing here */
    assert_fails(DuplicateHandle(process, CURRENT_THREAD, CURRENT_PROCESS, &mine, 0, FALSE, 0),
                 ERROR_INVALID_HANDLE);
    peer_kill(&peer);
    assert_fails(
        DuplicateHandle(CURRENT_PROCESS, CURRENT_PROCESS, process, &theirs, 0, FALSE, SAME_ACCESS),
        ERROR_ACCESS_DENIED); /* STATUS_PROCESS_IS_TERMINATING */
    assert_true(CloseHandle(limited));
    assert_true(CloseHandle(process));
}

static int set_up(void **state)
{
    if (tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0)
        return -1;
    blob_register();
    return win32_test_setup(state);
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicate),   cmocka_unit_test(test_pseudo),
        cmocka_unit_test(test_flags),       cmocka_unit_test(test_query),
        cmocka_unit_test(test_bad_handles), cmocka_unit_test(test_other_process),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
