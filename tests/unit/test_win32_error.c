/*
 * Last errors, error modes, FormatMessage, MulDiv, fiber-local slots' quiet getter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/message.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

FN(GetLastError, DWORD, void);
FN(SetLastError, void, DWORD error);
FN(SetErrorMode, UINT, UINT mode);
FN(GetErrorMode, UINT, void);
FN(SetThreadErrorMode, BOOL, DWORD mode, DWORD *old);
FN(FormatMessageA, DWORD, DWORD flags, const void *source, DWORD id, DWORD language, char *buffer,
   DWORD size, void *arguments);
FN(FormatMessageW, DWORD, DWORD flags, const void *source, DWORD id, DWORD language, WCHAR *buffer,
   DWORD size, void *arguments);
FN(MulDiv, INT, INT a, INT b, INT c);
FN(FlsAlloc, DWORD, void *callback);
FN(FlsFree, BOOL, DWORD index);
FN(FlsSetValue, BOOL, DWORD index, void *value);
FN(FlsGetValue, void *, DWORD index);
FN(FlsGetValue2, void *, DWORD index);

static int load(void **state)
{
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    LOAD_FN(kernel32_error, GetLastError);
    LOAD_FN(kernel32_error, SetLastError);
    LOAD_FN(kernel32_error, SetErrorMode);
    LOAD_FN(kernel32_error, GetErrorMode);
    LOAD_FN(kernel32_error, SetThreadErrorMode);
    LOAD_FN(kernel32_error, FormatMessageA);
    LOAD_FN(kernel32_error, FormatMessageW);
    LOAD_FN(kernel32_misc, MulDiv);
    LOAD_FN(kernel32_tls, FlsAlloc);
    LOAD_FN(kernel32_tls, FlsFree);
    LOAD_FN(kernel32_tls, FlsSetValue);
    LOAD_FN(kernel32_tls, FlsGetValue);
    LOAD_FN(kernel32_tls, FlsGetValue2);
    return 0;
}

static void modes_are_given_back(void **state)
{
    DWORD old = 9;
    SetLastError(1234);
    assert_int_equal(GetLastError(), 1234);
    UINT before = SetErrorMode(1);
    assert_int_equal(GetErrorMode(), 1);
    assert_int_equal(SetErrorMode(before), 1);
    assert_true(SetThreadErrorMode(2, &old));
    assert_true(SetThreadErrorMode(0, &old));
    assert_int_equal(old, 2);
    assert_false(SetThreadErrorMode(4, &old)); /* no mode of a thread */
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
}

static void system_messages_end_in_a_line_end(void **state)
{
    char text[128];
    WCHAR *allocated = NULL;
    DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
    DWORD length = FormatMessageA(flags, NULL, 2, 0, text, sizeof(text), NULL);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, "The system cannot find the file specified.\r\n");
    assert_int_equal(FormatMessageW(flags | FORMAT_MESSAGE_ALLOCATE_BUFFER, NULL, 5, 0,
                                    (WCHAR *)&allocated, 0, NULL),
                     19);
    assert_string_equal(narrow(allocated), "Access is denied.\r\n");
    assert_true(win32_heap_free(allocated));
    assert_int_equal(FormatMessageA(flags, NULL, 0x0FFFFFFF, 0, text, sizeof(text), NULL), 0);
    assert_int_equal(GetLastError(), ERROR_MR_MID_NOT_FOUND);
    assert_int_equal(FormatMessageA(flags, NULL, 2, 0, text, 5, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_INSUFFICIENT_BUFFER);
}

static void inserts_are_formatted(void **state)
{
    char text[128];
    DWORD_PTR arguments[] = {(DWORD_PTR) "one", 42, (DWORD_PTR) "three"};
    DWORD flags = FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_ARGUMENT_ARRAY;
    assert_int_equal(
        FormatMessageA(flags, "%3 %1 %2!03d! 100%% a%n", 0, 0, text, sizeof(text), arguments), 22);
    assert_string_equal(text, "three one 042 100% a\r\n");
}

static void ignored_inserts_stay(void **state)
{
    char text[64];
    DWORD flags = FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_IGNORE_INSERTS;
    assert_int_equal(FormatMessageA(flags, "a %1 b", 0, 0, text, sizeof(text), NULL), 6);
    assert_string_equal(text, "a %1 b");
}

static void muldiv_rounds_and_reports_overflow(void **state)
{
    assert_int_equal(MulDiv(7, 3, 2), 11); /* 10.5 away from zero */
    assert_int_equal(MulDiv(-7, 3, 2), -11);
    assert_int_equal(MulDiv(7, 3, -2), -11);
    assert_int_equal(MulDiv(1, 1, 3), 0);
    assert_int_equal(MulDiv(0x7FFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF), 0x7FFFFFFF);
    assert_int_equal(MulDiv(0x7FFFFFFF, 2, 1), -1);
    assert_int_equal(MulDiv(1, 1, 0), -1);
}

static void the_quiet_getter_leaves_the_last_error(void **state)
{
    DWORD index = FlsAlloc(NULL);
    assert_true(FlsSetValue(index, &index));
    SetLastError(77);
    assert_ptr_equal(FlsGetValue2(index), &index);
    assert_int_equal(GetLastError(), 77);
    assert_ptr_equal(FlsGetValue(index), &index);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    assert_true(FlsFree(index));
    SetLastError(77);
    assert_null(FlsGetValue2(index));
    assert_int_equal(GetLastError(), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_are_given_back),
        cmocka_unit_test(system_messages_end_in_a_line_end),
        cmocka_unit_test(inserts_are_formatted),
        cmocka_unit_test(ignored_inserts_stay),
        cmocka_unit_test(muldiv_rounds_and_reports_overflow),
        cmocka_unit_test(the_quiet_getter_leaves_the_last_error),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
