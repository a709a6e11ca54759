/*
 * Software exceptions without frames: vectored handlers, the unhandled filter, the end of the
 * process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "tests/unit/child.h"

static char order[16];
static struct ke_exception_record seen;
static uintptr_t seen_sp;

static int attach_once(void **state)
{
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

static void note(char c)
{
    size_t length = strlen(order);
    if (length + 1 < sizeof(order))
        order[length] = c;
}

static int32_t WINAPI_DEF first_handler(struct ke_exception_pointers *pointers)
{
    note('1');
    return KE_CONTINUE_SEARCH;
}

static int32_t WINAPI_DEF second_handler(struct ke_exception_pointers *pointers)
{
    note('2');
    seen = *pointers->ExceptionRecord;
#ifdef __x86_64__
    seen_sp = pointers->ContextRecord->Rsp;
#else
    seen_sp = pointers->ContextRecord->Esp;
#endif
    return KE_CONTINUE_EXECUTION;
}

static int32_t WINAPI_DEF continue_handler(struct ke_exception_pointers *pointers)
{
    note('c');
    return KE_CONTINUE_SEARCH;
}

static void vectored_handlers_run_in_order_and_may_continue(void **state)
{
    const uintptr_t parameters[] = {11, 22};
    memset(order, 0, sizeof(order));
    void *two = ke_add_vectored(0, (void *)second_handler, false);
    void *one = ke_add_vectored(1, (void *)first_handler, false);
    void *three = ke_add_vectored(0, (void *)continue_handler, true);
    ke_raise(0xE0000001, 0, 2, parameters);
    assert_string_equal(order, "12c");
    assert_int_equal(seen.ExceptionCode, 0xE0000001);
    assert_int_equal(seen.NumberParameters, 2);
    assert_int_equal(seen.ExceptionInformation[1], 22);
    assert_non_null(seen.ExceptionAddress);
    assert_in_range((uintptr_t)&state - seen_sp, 0, 8192);
    assert_int_equal(ke_remove_vectored(one), 1);
    assert_int_equal(ke_remove_vectored(one), 0);
    assert_int_equal(ke_remove_vectored(two), 1);
    assert_int_equal(ke_remove_vectored(three), 1);
}

static void *registration;

static int32_t WINAPI_DEF removes_itself(struct ke_exception_pointers *pointers)
{
    note('r');
    ke_remove_vectored(registration);
    return KE_CONTINUE_SEARCH;
}

static void a_handler_may_remove_itself(void **state)
{
    memset(order, 0, sizeof(order));
    registration = ke_add_vectored(1, (void *)removes_itself, false);
    void *two = ke_add_vectored(0, (void *)second_handler, false);
    ke_raise(1, 0, 0, NULL);
    ke_raise(1, 0, 0, NULL);
    assert_string_equal(order, "r22");
    ke_remove_vectored(two);
}

static int32_t WINAPI_DEF filter_execute(struct ke_exception_pointers *pointers)
{
    return KE_EXECUTE_HANDLER;
}

static int32_t WINAPI_DEF filter_continue(struct ke_exception_pointers *pointers)
{
    return KE_CONTINUE_EXECUTION;
}

static void the_filter_may_continue(void **state)
{
    assert_null(ke_set_unhandled_filter((void *)filter_continue));
    ke_raise(0xE0000002, 0, 0, NULL); /* comes back */
    assert_ptr_equal(ke_set_unhandled_filter(NULL), filter_continue);
}

static void raise_unhandled(void)
{
    ke_raise(0xC0000094, 0, 0, NULL);
}

static void raise_to_filter(void)
{
    ke_set_unhandled_filter((void *)filter_execute);
    ke_raise(0xE0000011, 0, 0, NULL);
}

static void continue_noncontinuable(void)
{
    ke_set_unhandled_filter((void *)filter_continue);
    ke_raise(0xE0000012, KE_EXCEPTION_NONCONTINUABLE, 0, NULL);
}

static int32_t WINAPI_DEF filter_raises(struct ke_exception_pointers *pointers)
{
    ke_raise(0xE0000014, 0, 0, NULL);
    return KE_CONTINUE_SEARCH;
}

static void raise_in_filter(void)
{
    ke_set_unhandled_filter((void *)filter_raises);
    ke_raise(0xE0000013, 0, 0, NULL);
}

static void raise_thread_name(void)
{
    ke_raise(0x406D1388, 0, 0, NULL);
    _exit(0);
}

static void unhandled_exceptions_end_the_process(void **state)
{
    char text[16384];
    assert_int_equal(status_of(raise_unhandled, text, sizeof(text)), 0x94);
    assert_non_null(strstr(text, "peldr: unhandled exception STATUS_INTEGER_DIVIDE_BY_ZERO"));
    assert_non_null(strstr(text, "0xc0000094"));
    assert_int_equal(status_of(raise_to_filter, text, sizeof(text)), 0x11);
    assert_string_equal(text, "");
    assert_int_equal(status_of(continue_noncontinuable, text, sizeof(text)), 0x25);
    assert_non_null(strstr(text, "STATUS_NONCONTINUABLE_EXCEPTION"));
    assert_int_equal(status_of(raise_in_filter, text, sizeof(text)), 0x14);
    assert_non_null(strstr(text, "0xe0000014"));
    assert_int_equal(status_of(raise_thread_name, text, sizeof(text)), 0);
}

static void a_captured_context_holds_the_callers_registers(void **state)
{
    struct ke_context context;
    memset(&context, 0xCC, sizeof(context));
    ke_capture_context(&context);
    uintptr_t here = (uintptr_t)&a_captured_context_holds_the_callers_registers;
#ifdef __x86_64__
    assert_in_range(context.Rip, here, here + 0x1000);
    assert_in_range(context.Rsp, (uintptr_t)&context - 512, (uintptr_t)&context + 512);
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    assert_int_equal(context.MxCsr, mxcsr);
    assert_int_equal(context.SegCs, 0x33);
#else
    assert_in_range(context.Eip, here, here + 0x1000);
    assert_in_range(context.Esp, (uintptr_t)&context - 512, (uintptr_t)&context + 512);
    assert_int_equal(context.SegCs, 0x23);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectored_handlers_run_in_order_and_may_continue),
        cmocka_unit_test(a_handler_may_remove_itself),
        cmocka_unit_test(the_filter_may_continue),
        cmocka_unit_test(unhandled_exceptions_end_the_process),
        cmocka_unit_test(a_captured_context_holds_the_callers_registers),
    };
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
